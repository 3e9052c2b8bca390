"""SCRAM-SHA-256 verifiers of passwords."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import scram

ODD = "@:/?#% $$ $(X) {{ {% ' \" \\ é 🔑"


def test_known_answer() -> None:
    """Example of RFC 7677, section 3: user `user` and password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored = scram.verifier("pencil", salt)
    assert stored == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("password", ["a", "pencil", ODD, "-dash", " ", "\n", "ﬁ²", "\u00a0", "א", "אa", "\u00ad"])
def test_a_password_matches_only_its_own_verifier(password: str) -> None:
    stored = scram.verifier(password)
    assert scram.fits(password, stored)
    assert not scram.fits(password + "x", stored)


def test_each_verifier_has_a_different_salt() -> None:
    assert scram.verifier("pencil") != scram.verifier("pencil")


@pytest.mark.parametrize("iterations", [1, 4096, 10000])
def test_the_stored_number_of_iterations_is_used(iterations: int) -> None:
    assert scram.fits("pencil", scram.verifier("pencil", b"salt", iterations))


@pytest.mark.parametrize("stored", [None, "", "md5abcdef", "SCRAM-SHA-256$4096:!!$a:b", "SCRAM-SHA-256$x:YQ==$a:b"])
def test_no_password_matches_an_invalid_verifier(stored: str | None) -> None:
    assert not scram.fits("pencil", stored)


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("I\u00adX", b"IX"),  # soft hyphen: mapped to nothing
        ("\u2168", b"IX"),  # Roman numeral nine: NFKC
        ("a\u00a0é", "a é".encode()),  # no-break space: mapped to a space
        ("\u00aa", b"a"),
        ("ascii\x07", b"ascii\x07"),  # ASCII is never changed
        ("é\x07", "é\x07".encode()),  # prohibited: unchanged
        ("\u0627\u0031", "\u0627\u0031".encode()),  # starts but does not end right-to-left: unchanged
        ("א\u00adא", "אא".encode()),  # all right-to-left
        ("א\u00adaא", "א\u00adaא".encode()),  # contains a left-to-right letter: unchanged
        ("א\u00ad1", "א\u00ad1".encode()),  # ends or starts without a direction: unchanged
        ("1\u00adא", "1\u00adא".encode()),
        ("\u00ad", "\u00ad".encode()),  # empty after mapping: unchanged
        ("🔑²", "🔑²".encode()),  # unassigned in Unicode 3.2: unchanged
    ],
)
def test_passwords_are_prepared_as_libpq_does(password: str, same: bytes) -> None:
    assert scram.prepared(password) == same
