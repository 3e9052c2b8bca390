"""Certificates of the private certificate authority: creation, renewal, and verification by OpenSSL."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates as certs
from cryptography import x509

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAMES = ["polls-postgresql", "polls-postgresql.polls.svc"]


@pytest.fixture(scope="module")
def ca() -> certs.Pair:
    return certs.authority("polls", 3650, NOW)


def loaded(pair: certs.Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.encode())


def handshake(tmp_path: Path, authority: certs.Pair, shown: certs.Pair, name: str) -> None:
    """Verify a server with a client over a socket pair. Raises the ssl.SSLError of the client."""
    files = {"cert": shown.certificate, "key": shown.key}
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    trusting = ssl.create_default_context(cadata=authority.certificate)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            listening.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join(5)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_trusts_the_server(tmp_path: Path, name: str) -> None:
    now = certs.current_time()
    ca = certs.authority("polls", 10, now)
    handshake(tmp_path, ca, certs.server(ca, NAMES, 5, now), name)


def test_a_client_that_trusts_the_old_authority_trusts_the_renewed_one(tmp_path: Path) -> None:
    now = certs.current_time()
    old = certs.authority("polls", 10, now)
    new = certs.authority("polls", 20, now, old.key)
    assert new.key == old.key
    handshake(tmp_path, old, certs.server(new, NAMES, 5, now), NAMES[0])
    handshake(tmp_path, new, certs.server(old, NAMES, 5, now), NAMES[0])


@pytest.mark.parametrize("case", ["another authority", "another name", "expired"])
def test_a_client_rejects_an_invalid_certificate(tmp_path: Path, case: str) -> None:
    now = certs.current_time()
    ca = certs.authority("polls", 100, now - timedelta(days=50))
    other = certs.authority("polls", 100, now)
    days_ago = 20 if case == "expired" else 0
    shown = certs.server(ca, NAMES, 5, now - timedelta(days=days_ago))
    name = "elsewhere" if case == "another name" else NAMES[0]
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, other if case == "another authority" else ca, shown, name)


def test_a_certificate_expires_no_later_than_its_authority(ca: certs.Pair) -> None:
    assert certs.server(ca, NAMES, 30, NOW).not_after == NOW + timedelta(days=30)
    assert certs.server(ca, NAMES, 99999, NOW).not_after == ca.not_after == NOW + timedelta(days=3650)
    assert loaded(ca).not_valid_before_utc == NOW - timedelta(minutes=5)


def test_each_certificate_has_another_key_and_serial_number(ca: certs.Pair) -> None:
    one, other = (certs.server(ca, NAMES, 30, NOW) for _ in range(2))
    assert one.key != other.key
    assert loaded(one).serial_number != loaded(other).serial_number


def test_a_server_cannot_sign_and_an_authority_only_signs(ca: certs.Pair) -> None:
    for pair, is_authority in ((ca, True), (certs.server(ca, NAMES, 30, NOW), False)):
        extensions = loaded(pair).extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is is_authority
        assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is is_authority
        assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature is not is_authority


def test_long_names_are_shortened_only_in_the_subject(ca: certs.Pair) -> None:
    long = "a" * 60 + ".svc.cluster.local"
    names = loaded(certs.server(ca, [long], 30, NOW)).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [long]


@pytest.mark.parametrize(
    ("passed", "reason"), [(0, ""), (334, ""), (335, ""), (336, "29 days are left"), (400, "it has expired")]
)
def test_a_certificate_is_renewed_when_few_days_are_left(ca: certs.Pair, passed: int, reason: str) -> None:
    pair = certs.server(ca, NAMES, 365, NOW)
    assert certs.server_reason(pair, ca, NAMES, NOW + timedelta(days=passed), 30) == reason


def test_a_certificate_is_renewed_when_it_does_not_fit(ca: certs.Pair) -> None:
    pair = certs.server(ca, NAMES, 365, NOW)
    other = certs.authority("polls", 3650, NOW)

    def reason(pair: certs.Pair, ca: certs.Pair = ca, names: list[str] = NAMES) -> str:
        return certs.server_reason(pair, ca, names, NOW, 30)

    assert reason(pair, names=NAMES[::-1]) == ""
    assert reason(pair, names=NAMES[:1]) == "its host names differ"
    assert reason(pair, names=[*NAMES, "more"]) == "its host names differ"
    assert reason(pair, other) == "another certificate authority signed it"
    assert reason(certs.Pair(pair.certificate, ca.key)) == "its key belongs to another certificate"
    assert reason(certs.Pair("nonsense", pair.key)) == "it cannot be read"
    assert reason(certs.Pair(pair.certificate, "")) == "it cannot be read"
    assert reason(certs.Pair(ca.certificate, ca.key)) == "it has no host name"


def test_an_authority_is_renewed_in_time(ca: certs.Pair) -> None:
    assert certs.authority_reason(ca, NOW, 365) == ""
    assert certs.authority_reason(ca, NOW + timedelta(days=3285), 365) == ""
    assert certs.authority_reason(ca, NOW + timedelta(days=3286), 365) == "364 days are left"


def test_the_fault_of_a_served_certificate_is_reported(ca: certs.Pair) -> None:
    shown = loaded(certs.server(ca, NAMES, 10, NOW)).public_bytes(certs.serialization.Encoding.DER)
    assert certs.served_fault(shown, NOW) == ""
    assert certs.served_fault(shown, NOW + timedelta(days=11)) == "its certificate expired on 2026-12-05"
    assert certs.served_fault(shown, NOW - timedelta(days=1)) == "its certificate is not valid before 2026-11-25"
