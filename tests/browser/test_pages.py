"""All pages, light and dark, on a phone and a desktop: no accessibility or console errors, and a screenshot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from people import Person

VIEWS = [(scheme, width) for scheme in ("light", "dark") for width in (360, 1280)]


@pytest.fixture(scope="module")
def asked(ask: Callable[..., tuple[str, str]]) -> str:
    """Return the path of a question for all pages."""
    _, path = ask("Which of the two would you take to a desert island?", ("A good book", "A radio that works"))
    return path


@pytest.fixture(scope="module")
def voter(new_person: Callable[..., Person], asked: str) -> Person:
    """Return a user who has voted after two others."""
    for answer in ("A good book", "A radio that works"):
        new_person().votes(asked, answer)
    person = new_person()
    person.votes(asked, "A good book")
    return person


@pytest.fixture(scope="module")
def visitor(new_person: Callable[..., Person]) -> Person:
    """Return a user who has not voted."""
    return new_person()


def inspect(person: Person, folder: Path, name: str, address: str, *, after: str = "") -> None:
    """Check a page in all sizes and colors. `after` is a script that brings it into the tested state."""
    problems: list[str] = []
    person.driver.get_log("browser")
    for scheme, width in VIEWS:
        person.looks(scheme=scheme, width=width)
        person.goes_to(address)
        if after:
            person.driver.execute_script(after)
            person.finds("#problem")
        problems += [f"{scheme} {width}: {barrier}" for barrier in person.barriers()]
        problems += [f"{scheme} {width}: {error}" for error in person.console_errors()]
        if person.driver.execute_script("return document.documentElement.scrollWidth") > width and "admin" not in name:
            problems.append(f"{scheme} {width}: the page is wider than the screen")
        height = person.driver.execute_script("return document.documentElement.scrollHeight")
        person.looks(scheme=scheme, width=width, height=min(max(height, 640), 4000))
        person.driver.save_screenshot(str(folder / f"{name}-{scheme}-{width}.png"))
    assert not problems, "\n".join(problems)


def test_these_checks_can_fail(person: Person) -> None:
    person.goes_to("/")
    assert (person.barriers(), person.console_errors()) == ([], [])
    person.driver.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<main><input><p style=\"color: red\">low</p></main>')"
    )
    person.waits().until(lambda driver: driver.find_elements("tag name", "input"))
    assert any(barrier.startswith("label: ") for barrier in person.barriers())
    assert any("Content Security Policy" in error for error in person.console_errors())


def test_list(visitor: Person, asked: str, screenshots: Path) -> None:
    inspect(visitor, screenshots, "list", "/")


def test_question(visitor: Person, asked: str, screenshots: Path) -> None:
    inspect(visitor, screenshots, "question", asked)


def test_question_with_an_error(visitor: Person, asked: str, screenshots: Path) -> None:
    inspect(visitor, screenshots, "mistake", asked, after="document.querySelector('form').submit()")


def test_question_after_the_vote(voter: Person, asked: str, screenshots: Path) -> None:
    inspect(voter, screenshots, "voted", asked)


def test_results(voter: Person, asked: str, screenshots: Path) -> None:
    inspect(voter, screenshots, "results", f"{asked}results/")


def test_page_not_found(visitor: Person, screenshots: Path) -> None:
    inspect(visitor, screenshots, "404", "/polls/999999999/")


def test_login(visitor: Person, screenshots: Path) -> None:
    inspect(visitor, screenshots, "admin-login", visitor.site.admin("login/"))


def test_too_many_failed_logins(new_person: Callable[..., Person], screenshots: Path) -> None:
    person = new_person()
    for answer in ["Please enter the correct"] * 4 + ["Too many attempts"]:
        person.goes_to(person.site.admin("login/"))
        person.finds("#id_username").send_keys("somebody-who-forgot")
        person.finds("#id_password").send_keys("wrong")
        person.finds("[type=submit]").click()
        person.sees(answer)
    assert (person.console_errors(), person.barriers()) == ([], [])
    person.driver.save_screenshot(str(screenshots / "429.png"))


@pytest.mark.parametrize("page", ["", "polls/question/", "polls/question/add/", "{}change/", "{}history/", "{}delete/"])
def test_admin(administrator: Person, asked: str, screenshots: Path, page: str) -> None:
    number = asked.strip("/").split("/")[-1]
    address = administrator.site.admin(page.format(f"polls/question/{number}/"))
    name = page.strip("{}/").split("/")[-1] or "index"
    inspect(administrator, screenshots, f"admin-{name}", address)
