"""Environment variables and secret files."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from cloud_django.environment import Environment, PublicURL, read_secret


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "on", " yes "])
def test_words_for_true(word: str) -> None:
    assert Environment({"X": word}).flag("X", default=False) is True


@pytest.mark.parametrize("word", ["0", "false", "False", "NO", "off"])
def test_words_for_false(word: str) -> None:
    assert Environment({"X": word}).flag("X", default=True) is False


@pytest.mark.parametrize("word", ["maybe", "null", "1e5", "0123"])
def test_word_that_is_no_boolean_fails(word: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"variable X is .* Set it to true or false\."):
        Environment({"X": word}).flag("X", default=True)


@pytest.mark.parametrize("value", ["-1", "1e5", "٣", "1_0", "99999999999", "ten", "0", "101"])
def test_numbers_are_strict(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="whole number from 1 to 100"):
        Environment({"X": value}).number("X", 5, least=1, most=100)


def test_an_empty_variable_counts_as_unset() -> None:
    environment = Environment({"X": ""})
    assert environment.text("X", "default") == "default"
    assert environment.number("X", 7) == 7
    assert environment.flag("X", default=True) is True
    assert environment.optional_secret("X") == ""
    with pytest.raises(ImproperlyConfigured, match="variable X is not set"):
        environment.required("X", "something")


def test_lists_accept_commas_and_spaces() -> None:
    assert Environment({"X": "a, b  c,,d\n"}).words("X") == ["a", "b", "c", "d"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_secret_is_read_exactly_as_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "secret"
    path.write_bytes(f"{text}\n".encode())
    assert read_secret("X_FILE", str(path)) == text.removesuffix("\r")
    path.write_bytes(text.encode())
    expected = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    assert read_secret("X_FILE", str(path)) == expected


def test_only_one_newline_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" pass word \n\n")
    assert read_secret("X_FILE", str(path)) == " pass word \n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"a\0b", "NUL byte"), (b"\xff\xfe", "not UTF-8")],
)
def test_unusable_secret_fails(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=sentence):
        Environment({"X_FILE": str(path)}).secret("X_FILE", "a password")


def test_missing_secret_file_fails(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"No such file or directory\. Mount the Secret there"):
        Environment({"X_FILE": str(tmp_path / "none")}).secret("X_FILE", "a password")


@pytest.mark.parametrize(
    ("value", "origin", "host"),
    [
        ("https://www.example.org", "https://www.example.org", "www.example.org"),
        ("https://www.example.org:443/", "https://www.example.org", "www.example.org"),
        ("http://192.0.2.7:30080", "http://192.0.2.7:30080", "192.0.2.7"),
        ("http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000", "[2001:db8::1]"),
        ("https://Bücher.example", "https://xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_public_urls(value: str, origin: str, host: str) -> None:
    url = PublicURL("X", value)
    assert (url.origin, url.host) == (origin, host)


@pytest.mark.parametrize(
    "value",
    [
        "www.example.org",
        "ftp://www.example.org",
        "https://",
        "https://u:p@www.example.org",
        "https://www.example.org/a",
        "https://www.example.org?a",
        "http://host:99999",
        "http://[::1",
    ],
)
def test_invalid_public_url_fails(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="not the URL of a site"):
        PublicURL("X", value)
