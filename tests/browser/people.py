"""Users of a site, each with a separate browser."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expect
from selenium.webdriver.support.ui import WebDriverWait

HERE = Path(__file__).resolve().parent
AXE = HERE / "node_modules/axe-core/axe.min.js"
PATIENCE_SECONDS = 15


@dataclass
class Site:
    """URL and administrator of the site."""

    base_url: str
    admin_path: str
    admin_name: str
    admin_password: str = field(repr=False)

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return self.base_url.rstrip("/") + path

    def admin(self, path: str = "") -> str:
        """Return the URL of an admin page."""
        return self.url(f"/{self.admin_path.strip('/')}/{path}")


@dataclass
class Person:
    """User with a separate browser."""

    driver: webdriver.Chrome
    site: Site

    def goes_to(self, path: str) -> None:
        """Open a page by its path or URL."""
        self.driver.get(path if "://" in path else self.site.url(path))

    def sees(self, text: str) -> None:
        """Wait until the page contains the text."""
        self.waits().until(expect.text_to_be_present_in_element((By.TAG_NAME, "body"), text))

    def finds(self, selector: str) -> WebElement:
        """Return an element as soon as it exists."""
        return self.waits().until(expect.presence_of_element_located((By.CSS_SELECTOR, selector)))

    def counts(self, selector: str) -> int:
        """Return the number of matching elements."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def clicks(self, text: str) -> None:
        """Click the link or button with this text."""
        xpath = f'//*[self::a or self::button][normalize-space(.)="{text}"]'
        self.waits().until(expect.element_to_be_clickable((By.XPATH, xpath))).click()

    def chooses(self, answer: str) -> None:
        """Click the label of a choice, like a user with a touchscreen."""
        xpath = f'//label[normalize-space(.)="{answer}"]'
        self.waits().until(expect.element_to_be_clickable((By.XPATH, xpath))).click()

    def votes(self, question_path: str, answer: str) -> None:
        """Open the question, choose, vote, and wait for the results."""
        self.goes_to(question_path)
        self.chooses(answer)
        self.clicks("Vote")
        self.waits().until(expect.url_contains("/results/"))

    def waits(self) -> WebDriverWait:
        """Return a wait with a timeout.

        While a page replaces another one, the browser can raise several kinds of errors, so the query is repeated.
        """
        return WebDriverWait(self.driver, PATIENCE_SECONDS, ignored_exceptions=[WebDriverException])

    def logs_in(self) -> None:
        """Log in with the admin's form."""
        self.goes_to(self.site.admin("login/"))
        self.finds("#id_username").send_keys(self.site.admin_name)
        self.finds("#id_password").send_keys(self.site.admin_password)
        self.finds("[type=submit]").click()
        self.finds("#user-tools")

    def looks(self, *, scheme: str = "light", width: int = 1280, height: int = 900) -> None:
        """Use a screen of this width, with light or dark colors."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )

    def console_errors(self) -> list[str]:
        """Return errors in the browser's console since the last call, including policy violations.

        Status 404 and 409 of a requested page are expected.
        """
        here = self.driver.current_url
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in {"SEVERE", "WARNING"} and not entry["message"].startswith(f"{here} - Failed to load")
        ]

    def barriers(self) -> list[str]:
        """Return the findings of axe-core, one line per element."""
        self.driver.execute_script(AXE.read_text())
        result: dict[str, Any] = self.driver.execute_async_script("axe.run(document).then(arguments[0])")
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
