"""Verifiers of passwords. Those marked as PostgreSQL's own were made by PostgreSQL 17 from the clear password."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import scram

ODD = "@:/?#% $$ $(X) {{ {% ' \" \\ é 🔑"


def test_known_answer() -> None:
    """RFC 7677, section 3: user `user`, password `pencil`, with the signatures there."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored = scram.verifier("pencil", salt)
    assert stored == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("password", ["a", "pencil", ODD, "-dash", " ", "\n", "ﬁ²", "\u00a0", "א", "אa", "\u00ad"])
def test_a_password_fits_its_own_verifier_only(password: str) -> None:
    stored = scram.verifier(password)
    assert scram.fits(password, stored)
    assert not scram.fits(password + "x", stored)


def test_each_verifier_has_a_salt_of_its_own() -> None:
    assert scram.verifier("pencil") != scram.verifier("pencil")


@pytest.mark.parametrize("iterations", [1, 4096, 10000])
def test_the_stored_number_of_iterations_counts(iterations: int) -> None:
    assert scram.fits("pencil", scram.verifier("pencil", b"salt", iterations))


@pytest.mark.parametrize("stored", [None, "", "md5abcdef", "SCRAM-SHA-256$4096:!!$a:b", "SCRAM-SHA-256$x:YQ==$a:b"])
def test_nothing_fits_what_is_no_verifier(stored: str | None) -> None:
    assert not scram.fits("pencil", stored)


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("I\u00adX", b"IX"),  # soft hyphen: mapped to nothing
        ("\u2168", b"IX"),  # Roman numeral nine: NFKC
        ("a\u00a0é", "a é".encode()),  # no-break space: mapped to a space
        ("\u00aa", b"a"),
        ("ascii\x07", b"ascii\x07"),  # ASCII is never looked into
        ("é\x07", "é\x07".encode()),  # prohibited: as it is
        ("\u0627\u0031", "\u0627\u0031".encode()),  # begins but does not end from right to left: as it is
        ("א\u00adא", "אא".encode()),  # all from right to left
        ("א\u00adaא", "א\u00adaא".encode()),  # holds a letter from left to right: as it is
        ("א\u00ad1", "א\u00ad1".encode()),  # ends, or begins, with what has no direction: as it is
        ("1\u00adא", "1\u00adא".encode()),
        ("\u00ad", "\u00ad".encode()),  # nothing is left: as it is
        ("🔑²", "🔑²".encode()),  # unassigned in Unicode 3.2: as it is
    ],
)
def test_passwords_are_prepared_as_libpq_does(password: str, same: bytes) -> None:
    assert scram.prepared(password) == same
