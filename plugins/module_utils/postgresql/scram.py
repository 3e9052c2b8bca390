# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""SCRAM-SHA-256 verifiers as PostgreSQL stores them, so that the plain password never leaves the control node.

Follows RFC 5802 and RFC 7677, and prepares passwords as libpq does (src/common/saslprep.c): by RFC 4013 if possible,
and unchanged otherwise.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata

ITERATIONS = 4096
SALT_BYTES = 16
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")

# Stored strings must not have code points that Unicode 3.2 had not assigned (a1), such as most emoji.
_PROHIBITED = [
    getattr(stringprep, f"in_table_{table}") for table in ("c12", "c21_c22", *(f"c{n}" for n in range(3, 10)), "a1")
]


def prepared(password: str) -> bytes:
    """Return the bytes that client and server hash for a password."""
    if password.isascii():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    has_right_to_left = any(stringprep.in_table_d1(char) for char in normal)
    breaks_direction = has_right_to_left and (
        any(stringprep.in_table_d2(char) for char in normal)
        or not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1]))
    )
    if not normal or breaks_direction or any(table(char) for char in normal for table in _PROHIBITED):
        return password.encode()
    return normal.encode()


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return the verifier of a password, with a new random salt if none is given."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    stored, server = (base64.b64encode(key).decode() for key in _keys(password, salt, iterations))
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


def fits(password: str, stored: str | None) -> bool:
    """Return whether a password matches a stored verifier. Other kinds of verifiers never match."""
    match = VERIFIER.fullmatch(stored or "")
    if not match:
        return False
    try:
        salt = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(verifier(password, salt, int(match[1])).encode(), (stored or "").encode())
