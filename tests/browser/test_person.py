"""Actions of a user on the site."""

from collections.abc import Callable

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from people import Person

Ask = Callable[..., tuple[str, str]]

WIDTH_OF_FIRST_BAR = "return getComputedStyle(document.querySelector('.share')).width"


def test_vote_moves_the_bar(person: Person, ask: Ask) -> None:
    text, path = ask()
    person.goes_to(f"{path}results/")
    person.sees("0 votes in all")

    person.goes_to("/")
    person.clicks(text)
    person.chooses("Tea")
    person.clicks("Vote")
    person.sees("1 vote in all")
    person.sees("your vote")
    assert person.finds(".share").get_attribute("width") == "100%"
    assert person.finds("[data-percent]").text == "100"
    assert person.console_errors() == []


def test_votes_of_others_appear_without_reload(person: Person, new_person: Callable[..., Person], ask: Ask) -> None:
    _, path = ask()
    person.votes(path, "Tea")
    person.driver.execute_script("window.notReloaded = true")
    full_width = float(person.driver.execute_script(WIDTH_OF_FIRST_BAR).removesuffix("px"))

    new_person().votes(path, "Coffee")
    person.sees("2 votes in all")
    person.waits().until(
        lambda driver: float(driver.execute_script(WIDTH_OF_FIRST_BAR).removesuffix("px")) <= full_width * 0.51
    )
    assert [element.text for element in person.driver.find_elements(By.CSS_SELECTOR, "[data-percent]")] == ["50", "50"]
    assert person.driver.execute_script("return window.notReloaded") is True
    assert person.console_errors() == []


def test_second_vote_is_refused(person: Person, ask: Ask) -> None:
    _, path = ask()
    person.votes(path, "Tea")
    person.goes_to(path)
    person.sees("You have voted on this question")
    assert person.finds("fieldset").get_attribute("disabled")
    assert person.counts("form [type=submit]") == 0

    # A user who bypasses the form gets the same error from the server.
    person.driver.execute_script(
        "document.querySelector('fieldset').disabled = false; document.querySelectorAll('[type=radio]')[1].click();"
        "document.querySelector('form').submit()"
    )
    person.sees("You have already voted on this question")
    person.goes_to(f"{path}results/")
    person.sees("1 vote in all")


def test_vote_without_a_choice_shows_an_error(person: Person, ask: Ask) -> None:
    _, path = ask()
    person.goes_to(path)
    person.clicks("Vote")
    assert person.driver.current_url.endswith(path), "the browser itself asks for an answer"
    person.driver.execute_script("document.querySelector('form').noValidate = true")
    person.clicks("Vote")
    person.sees("Please choose one of the answers, then vote.")
    person.waits().until(lambda driver: driver.switch_to.active_element.get_attribute("id") == "problem")
    person.chooses("Coffee")
    person.clicks("Vote")
    person.sees("1 vote in all")


def test_vote_with_the_keyboard_only(person: Person, ask: Ask) -> None:
    _, path = ask()
    person.goes_to(path)

    def press(key: str) -> None:
        person.driver.switch_to.active_element.send_keys(key)

    press(Keys.TAB)
    assert person.driver.switch_to.active_element.text == "Skip to the content"
    press(Keys.ENTER)
    press(Keys.TAB)
    assert person.driver.switch_to.active_element.get_attribute("type") == "radio"
    press(Keys.ARROW_DOWN)
    press(Keys.TAB)
    assert person.driver.switch_to.active_element.text == "Vote"
    press(Keys.ENTER)
    person.sees("1 vote in all")


def test_vote_without_scripts(new_person: Callable[..., Person], ask: Ask) -> None:
    _, path = ask()
    person = new_person(scripts=False)
    person.votes(path, "Coffee")
    person.sees("1 vote in all")
    assert not person.finds("[data-live]").is_displayed()


@pytest.mark.parametrize(
    "text",
    ["\u202eesrever <b>&amp;</b> é 🔑 👩‍👩‍👧‍👦", "W" * 200, "🔑" * 200],
    ids=["right to left", "200 letters", "200 emoji"],
)
def test_unusual_texts_are_shown_unchanged(person: Person, ask: Ask, text: str) -> None:
    _, path = ask(text, (f"{text[:190]} 1", f"{text[:190]} 2"))
    person.looks(width=360)
    for page in (path, f"{path}results/", "/"):
        person.goes_to(page)
        heading = person.driver.execute_script(
            "return [...document.querySelectorAll('h1, h2')].map(e => e.textContent)"
        )
        assert text in heading
        assert person.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    assert person.console_errors() == []


def test_pages_load_only_from_this_host(person: Person, ask: Ask) -> None:
    _, path = ask()
    for page in ("/", path, f"{path}results/"):
        person.goes_to(page)
        addresses = person.driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert addresses
        assert all(address.startswith(person.site.base_url.rstrip("/")) for address in addresses)
