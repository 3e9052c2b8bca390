"""Log in to an external cache, and write, read, and remove a key of this site.

The arguments are the directory with the files of the Secret, and `tls` or `plain`. Fails with the reason as one line.
"""

import socket
import ssl
import sys
import time
import uuid
from pathlib import Path
from typing import BinaryIO

# Seconds to repeat a failed connection, because nodes apply a new NetworkPolicy with a delay.
CONNECT_TIMEOUT = 10
# Seconds for each connection and response.
RESPONSE_TIMEOUT = 5
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
OTHER_HOST = (62, 64)
UNEXPECTED = "does not answer as expected: cache_tls must be true if, and only if, it uses TLS"


class UnusableError(Exception):
    """Why the cache cannot be used, as the end of a sentence."""


class RefusedError(Exception):
    """An error that the server returns."""


def connect(host: str, port: int) -> socket.socket:
    """Return a connection. Raises UnusableError after CONNECT_TIMEOUT seconds."""
    last = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            return socket.create_connection((host, port), RESPONSE_TIMEOUT)
        except OSError as error:
            if time.monotonic() < last:
                time.sleep(0.5)
                continue
            if isinstance(error, socket.gaierror):
                reason = "cannot be found: its name is unknown in the cluster, or a NetworkPolicy blocks DNS"
                raise UnusableError(reason) from None
            raise UnusableError(f"cannot be reached from the cluster: {error}") from None


def encrypt(connection: socket.socket, host: str, authority: Path) -> socket.socket:
    """Return the connection with TLS. Raises UnusableError unless the certificate is valid and for this host."""
    try:
        context = ssl.create_default_context(cafile=str(authority))
    except OSError:
        reason = "cannot be verified, because cache_ca_certificate is not a CA certificate in PEM"
        raise UnusableError(reason) from None
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in OTHER_HOST:
            raise UnusableError("has a certificate for another host: set cache_host to a name in it") from None
        reason = "has a certificate that cannot be trusted: it has expired, or cache_ca_certificate has another CA"
        raise UnusableError(f"{reason} ({error.verify_message})") from None
    except OSError:
        raise UnusableError(UNEXPECTED) from None


def ask(stream: BinaryIO, *words: str) -> str | None:
    """Send a command and return the response. Raises RefusedError for an error, and UnusableError for no response."""
    texts = [word.encode() for word in words]
    try:
        stream.write(b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts))
        stream.flush()
        line = stream.readline()
        kind, text = line[:1], line[1:].strip().decode(errors="replace")
        if kind == b"$":
            length = int(text)
            return None if length < 0 else stream.read(length + 2)[:-2].decode(errors="replace")
    except (OSError, ValueError):
        raise UnusableError(UNEXPECTED) from None
    if kind == b"-":
        raise RefusedError(text)
    if kind not in (b"+", b":"):
        raise UnusableError(UNEXPECTED)
    return text


def refusal(text: str, user: str, prefix: str) -> str:
    """Return what an error of the server means."""
    if any(words in text for words in ("WRONGPASS", "invalid password", "without any password")):
        step = "set cache_user and cache_password, or correct Secret keys user and password"
        return f"refuses the password of user {user}: {step}"
    if "NOPERM" in text:
        return f"does not let user {user} write, read, and remove keys that begin with {prefix}: {text}"
    if "OOM" in text:
        return "is full and evicts no keys: raise its memory, or set its maxmemory-policy to volatile-lru"
    return f"gives an unexpected response: {text}"


def check(stream: BinaryIO, user: str, password: str, prefix: str) -> None:
    """Log in, and write, read, and remove a key. Raises UnusableError if that fails."""
    key, value = f"{prefix}:check:{uuid.uuid4()}", str(uuid.uuid4())
    try:
        ask(stream, "AUTH", user, password)
        ask(stream, "SET", key, value, "EX", "60")
        found = ask(stream, "GET", key)
        ask(stream, "DEL", key)
    except RefusedError as error:
        # A server that does not know a command repeats its arguments.
        raise UnusableError(refusal(str(error).replace(password, "***"), user, prefix)) from None
    if found != value:
        raise UnusableError("does not return the key that it has stored: cache_host must be a primary server")


def main(directory: str, encryption: str) -> None:
    """Check the cache of the Secret. Exits with the reason of a failure."""
    host, port, user, password, prefix = (
        Path(directory, name).read_text(encoding="utf-8") for name in ("host", "port", "user", "password", "prefix")
    )
    try:
        with connect(host, int(port)) as plain:
            safe = encrypt(plain, host, Path(directory, "ca")) if encryption == "tls" else plain
            with safe, safe.makefile("rwb") as stream:
                check(stream, user, password, prefix)
    except UnusableError as error:
        sys.exit(f"The cache at {host}:{port} {error}")
    print(f"The cache at {host}:{port} accepts user {user}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
