"""Values in the shared cache: JSON with a signature."""

import hashlib
import hmac
import json
import logging
import threading
from collections import Counter
from typing import Any

from django.conf import settings

logger = logging.getLogger("cloud_django.cache")

MOST_BYTES = 256 * 1024
MAC_BYTES = 16

# How often the cache did not help, in this worker: skipped, failed, slow, refused, unreadable, too_large.
counts: Counter[str] = Counter()
# Without it, two threads could count the first event at the same time, and neither would log it.
counting = threading.Lock()


def sealed(key: str, value: Any) -> bytes | None:
    """Return a value as signed JSON, or None if it is too large.

    Other applications may write to the same server. Unpickling would let them run code here. Without a signature, they
    could change values, and without the key in it, copy a value to another key.
    """
    text = json.dumps(value, separators=(",", ":")).encode()
    if len(text) > MOST_BYTES:
        count("too_large", "A value of %d bytes is too large for the cache.", len(text))
        return None
    return _mac(key, text, settings.SECRET_KEY) + text


def unsealed(key: str, data: bytes, default: Any) -> Any:
    """Return the value that this site stored under this key, or the default if another application wrote it."""
    mac, text = data[:MAC_BYTES], data[MAC_BYTES:]
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if len(text) <= MOST_BYTES and any(hmac.compare_digest(mac, _mac(key, text, secret)) for secret in secrets):
        return json.loads(text)
    count("unreadable", "A value of %d bytes in the cache is not from this site, and is ignored.", len(data))
    return default


def _mac(key: str, text: bytes, secret: str) -> bytes:
    # JSON has no NUL, so the last one ends the key. A key of blake2b has at most 64 bytes.
    signed, secret_bytes = key.encode() + b"\0" + text, hashlib.sha512(secret.encode()).digest()
    return hashlib.blake2b(signed, digest_size=MAC_BYTES, key=secret_bytes, person=b"cloud_django").digest()


def count(name: str, message: str, *arguments: object) -> None:
    """Count an event, and log the 1st, 10th, 100th and so on, so that a client cannot fill the log."""
    with counting:
        counts[name] += 1
        number = counts[name]
    if str(number).strip("0") == "1":
        logger.warning(message + " Number of such events: %d.", *arguments, number)
