"""Fixtures for a real browser and a running site.

URL and administrator come from options or the environment. The tests start no server.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from people import AXE, HERE, Person, Site

OPTIONS = {
    "--base-url": ("BASE_URL", "", "URL of the site, such as http://192.0.2.1:30080."),
    "--admin-name": ("ADMIN_NAME", "admin", "User name of the administrator."),
    "--admin-password-file": ("ADMIN_PASSWORD_FILE", "", "File that contains the administrator's password."),
    "--admin-path": ("ADMIN_PATH", "admin/", "Path of the admin, relative to the URL of the site."),
    "--screenshots": ("SCREENSHOTS", str(HERE / "screenshots"), "Directory for the screenshots of all pages."),
    "--chromium": ("CHROMIUM", "/usr/bin/chromium", "The browser."),
    "--chromedriver": ("CHROMEDRIVER", "/usr/bin/chromedriver", "The WebDriver of the browser."),
}
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options, each with an environment variable for CI."""
    for name, (variable, default, meaning) in OPTIONS.items():
        parser.addoption(name, default=os.environ.get(variable) or default, help=f"{meaning} [{variable}]")


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Site:
    """Return the site under test."""
    base_url, password_file = pytestconfig.getoption("--base-url"), pytestconfig.getoption("--admin-password-file")
    if not base_url or not password_file:
        pytest.fail("The site is unknown. Set BASE_URL and ADMIN_PASSWORD_FILE, or use the options of these names.")
    if not AXE.exists():
        pytest.fail(f"axe-core is missing. Run `npm ci` in {HERE}.")
    password = Path(password_file).read_text().removesuffix("\n")
    return Site(base_url, pytestconfig.getoption("--admin-path"), pytestconfig.getoption("--admin-name"), password)


@pytest.fixture(scope="session")
def new_person(site: Site, pytestconfig: pytest.Config) -> Iterator[Callable[..., Person]]:
    """Return a function that opens another browser, without cookies."""
    drivers: list[webdriver.Chrome] = []
    folders: list[tempfile.TemporaryDirectory[str]] = []

    def make(*, scripts: bool = True) -> Person:
        folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        folders.append(folder)
        options = webdriver.ChromeOptions()
        options.binary_location = pytestconfig.getoption("--chromium")
        for switch in [*SWITCHES, f"--user-data-dir={folder.name}"]:
            options.add_argument(switch)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(pytestconfig.getoption("--chromedriver")))
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(60)
        drivers.append(driver)
        person = Person(driver, site)
        person.looks()
        return person

    yield make
    for driver in drivers:
        driver.quit()
    for folder in folders:
        folder.cleanup()


@pytest.fixture(scope="session")
def administrator(new_person: Callable[..., Person]) -> Person:
    """Return a user who is logged in to the admin."""
    person = new_person()
    person.logs_in()
    return person


@pytest.fixture
def person(new_person: Callable[..., Person]) -> Person:
    """Return a new user without cookies."""
    return new_person()


@pytest.fixture(scope="session")
def ask(administrator: Person) -> Iterator[Callable[..., tuple[str, str]]]:
    """Create a question in the admin like a user; return its text and path.

    All questions are deleted at the end, so that the tests can run on a site in use.
    """
    written: list[str] = []

    def write(text: str = "", answers: tuple[str, str] = ("Tea", "Coffee")) -> tuple[str, str]:
        text = text or f"What do you drink? {uuid.uuid4().hex[:8]}"
        administrator.looks()
        administrator.goes_to(administrator.site.admin("polls/question/add/"))
        # With a script, because the driver cannot type characters outside of the basic plane.
        fill = "arguments[0].value = arguments[1]"
        administrator.driver.execute_script(fill, administrator.finds("#id_text"), text)
        for number, answer in enumerate(answers):
            administrator.driver.execute_script(fill, administrator.finds(f"#id_choices-{number}-text"), answer)
            position = administrator.finds(f"#id_choices-{number}-position")
            administrator.driver.execute_script(fill, position, str(number + 1))
        administrator.finds("[name=_continue]").click()
        administrator.finds(".messagelist .success")
        number = administrator.driver.current_url.rstrip("/").split("/")[-2]
        written.append(number)
        return text, f"/polls/{number}/"

    yield write
    for number in written:
        administrator.goes_to(administrator.site.admin(f"polls/question/{number}/delete/"))
        administrator.finds("#content form [type=submit]").click()
        administrator.finds(".messagelist .success")


@pytest.fixture(scope="session")
def screenshots(pytestconfig: pytest.Config) -> Path:
    """Return the directory of the screenshots."""
    folder = Path(pytestconfig.getoption("--screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
