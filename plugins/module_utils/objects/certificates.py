# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""A private certificate authority and the certificates that it signs, as PEM strings. No file is written.

A server's Secret `<name>-ca` has its certificate authority, and `<name>-tls` its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import Step

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # See require.
    x509 = None  # type: ignore[assignment]

# The clock of a machine that checks a certificate may be behind the clock of the control node.
CLOCK_SKEW = timedelta(minutes=5)


def require() -> None:
    """Raise ManifestError if the library that creates certificates is missing."""
    if x509 is None:
        raise ManifestError("The Python library cryptography", "is missing", f"Install it, {AGAIN}")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: str
    key: str

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Pair:
        """Return the pair in the values of a Secret."""
        return cls(values["tls.crt"], values["tls.key"])

    @property
    def values(self) -> dict[str, str]:
        """Return the values of a Secret with this pair."""
        return {"tls.crt": self.certificate, "tls.key": self.key}

    @property
    def not_after(self) -> datetime:
        return x509.load_pem_x509_certificate(self.certificate.encode()).not_valid_after_utc


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(**true: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**(dict.fromkeys(names, False) | true))


def authority(name: str, days: int, now: datetime, key: str = "") -> Pair:
    """Return a new certificate authority. With the old `key`, clients that trust the old certificate trust it too."""
    private = serialization.load_pem_private_key(key.encode(), None) if key else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        _builder(subject, subject, private.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(private, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), key or _key_text(private))


def server(ca: Pair, names: Sequence[str], days: int, now: datetime) -> Pair:
    """Return a server certificate for DNS names, with a new key. It expires no later than its certificate authority."""
    issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    end = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    certificate = (
        _builder(subject, issuer.subject, private.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(serialization.load_pem_private_key(ca.key.encode(), None), hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_text(private))


def fault(pair: Pair) -> str:
    """Return the fault of a certificate and its key, or an empty string."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
        key = serialization.load_pem_private_key(pair.key.encode(), None)
    except (TypeError, ValueError):
        return "it cannot be read"
    return "" if certificate.public_key() == key.public_key() else "its key belongs to another certificate"


def authority_reason(ca: Pair, now: datetime, days_left: int) -> str:
    """Return why a certificate authority must be renewed, or an empty string."""
    return lifetime_reason(ca.not_after, now, days_left)


def server_reason(pair: Pair, ca: Pair, names: Sequence[str], now: datetime, days_left: int) -> str:
    """Return why a server certificate must be renewed, or an empty string."""
    if reason := fault(pair):
        return reason
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate.encode()))
    except (InvalidSignature, TypeError, ValueError):
        return "another certificate authority signed it"
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if sorted(found.get_values_for_type(x509.DNSName)) != sorted(names):
            return "its host names differ"
    except x509.ExtensionNotFound:
        return "it has no host name"
    return lifetime_reason(certificate.not_valid_after_utc, now, days_left)


def lifetime_reason(end: datetime, now: datetime, days_left: int) -> str:
    """Return why a certificate that is valid until `end` must be renewed, or an empty string."""
    left = (end - now).days
    if left < 0:
        return "it has expired"
    return f"{left} days are left" if left < days_left else ""


def renewals(params: Mapping[str, Any], held: Mapping[str, dict[str, str]], now: datetime, role: str) -> list[Step]:
    """Return the certificate authority and server certificate that are missing, faulty, or soon to expire.

    Args:
        params: the options of a module for the name, the namespace, the DNS names, and the lifetimes.
        held: the values of existing Secrets, by the suffix of their names.
        now: the current time.
        role: the role whose variables set the lifetimes.
    """
    days, ca_days, names = params["certificate_days"], params["ca_days"], params["dns_names"]
    if params["renew_days"] >= days:
        thing = f"A certificate that is valid for {days} days and renewed {params['renew_days']} days before it expires"
        raise ManifestError(thing, "would be renewed in each run", f"Raise {role}_certificate_days, {AGAIN}")
    todo = []
    title = f"{params['name']} in {params['namespace']}"
    ca = Pair.of(held["ca"]) if "ca" in held else None
    # Early enough that no server certificate expires before its regular lifetime.
    reason = authority_reason(ca, now, min(days, ca_days - 1)) if ca else "it is missing"
    if reason:
        text = f"renew the certificate authority because {reason}" if ca else "create a certificate authority"
        ca = authority(title, ca_days, now, ca.key if ca else "")
        todo.append(Step("ca", ca.values, text))
    reason, text = "it is missing", "create the server's certificate"
    if "tls" in held:
        reason = server_reason(Pair.of(held["tls"]), ca, names, now, params["renew_days"])
        text = f"renew the server's certificate because {reason}"
    if reason:
        todo.append(Step("tls", server(ca, names, days, now).values, text))
    return todo


def served_fault(certificate: bytes, now: datetime) -> str:
    """Return why a server's DER certificate is not valid now, or an empty string."""
    shown = x509.load_der_x509_certificate(certificate)
    if now > shown.not_valid_after_utc:
        return f"its certificate expired on {shown.not_valid_after_utc:%Y-%m-%d}"
    if now < shown.not_valid_before_utc:
        return f"its certificate is not valid before {shown.not_valid_before_utc:%Y-%m-%d}"
    return ""


def current_time() -> datetime:
    return datetime.now(UTC)
