"""People in front of a site, each with a browser of their own."""

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
    """Where the site is and who may administer it."""

    base_url: str
    admin_path: str
    admin_name: str
    admin_password: str = field(repr=False)

    def url(self, path: str) -> str:
        """The address of a path."""
        return self.base_url.rstrip("/") + path

    def admin(self, path: str = "") -> str:
        """The address of a page of the admin."""
        return self.url(f"/{self.admin_path.strip('/')}/{path}")


@dataclass
class Person:
    """Somebody with a browser of their own."""

    driver: webdriver.Chrome
    site: Site

    def goes_to(self, path: str) -> None:
        """Open a page by its path or its whole address."""
        self.driver.get(path if "://" in path else self.site.url(path))

    def sees(self, text: str) -> None:
        """Wait until the page has the text."""
        self.waits().until(expect.text_to_be_present_in_element((By.TAG_NAME, "body"), text))

    def finds(self, selector: str) -> WebElement:
        """The element, as soon as it is there."""
        return self.waits().until(expect.presence_of_element_located((By.CSS_SELECTOR, selector)))

    def counts(self, selector: str) -> int:
        """How many such elements the page has now."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def clicks(self, text: str) -> None:
        """Press the link or button with this text."""
        xpath = f'//*[self::a or self::button][normalize-space(.)="{text}"]'
        self.waits().until(expect.element_to_be_clickable((By.XPATH, xpath))).click()

    def chooses(self, answer: str) -> None:
        """Press the label of an answer, as somebody with a finger does."""
        xpath = f'//label[normalize-space(.)="{answer}"]'
        self.waits().until(expect.element_to_be_clickable((By.XPATH, xpath))).click()

    def votes(self, question_path: str, answer: str) -> None:
        """Open the question, choose, vote, and arrive at the results."""
        self.goes_to(question_path)
        self.chooses(answer)
        self.clicks("Vote")
        self.waits().until(expect.url_contains("/results/"))

    def waits(self) -> WebDriverWait:
        """Patience, with an end.

        While one page replaces another, the browser may answer with an error of several kinds: it is asked again.
        """
        return WebDriverWait(self.driver, PATIENCE_SECONDS, ignored_exceptions=[WebDriverException])

    def logs_in(self) -> None:
        """Log in to the admin with the form."""
        self.goes_to(self.site.admin("login/"))
        self.finds("#id_username").send_keys(self.site.admin_name)
        self.finds("#id_password").send_keys(self.site.admin_password)
        self.finds("[type=submit]").click()
        self.finds("#user-tools")

    def looks(self, *, scheme: str = "light", width: int = 1280, height: int = 900) -> None:
        """Use a screen of this width, with light or dark colours."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )

    def complaints(self) -> list[str]:
        """What the browser wrote to its console since the last call: errors, and violations of the policy.

        That a page we asked for answers 404 or 409 is the test's own doing.
        """
        here = self.driver.current_url
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in {"SEVERE", "WARNING"} and not entry["message"].startswith(f"{here} - Failed to load")
        ]

    def barriers(self) -> list[str]:
        """What axe-core finds on the page, one line for each element."""
        self.driver.execute_script(AXE.read_text())
        result: dict[str, Any] = self.driver.execute_async_script("axe.run(document).then(arguments[0])")
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
