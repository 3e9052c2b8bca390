"""Numbers that are expensive to compute."""

import threading
import time
from collections.abc import Callable

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache


class Remembered:
    """Number that this worker remembers for some seconds, and the cache that all workers share for longer.

    One thread computes it, while the others get the old one.
    """

    def __init__(self, name: str, compute: Callable[[], int], own_seconds: float, shared_seconds: int) -> None:
        self.name, self.compute = name, compute
        self.own_seconds, self.shared_seconds = own_seconds, shared_seconds
        self.value: int | None = None
        self.since = 0.0
        # Changes when the number is forgotten. The number is from the time of `counted_in`.
        self.era: object = object()
        self.counted_in: object = None
        self.lock = threading.Lock()

    @property
    def known(self) -> int | None:
        """Return the number if this worker remembers it."""
        return self.value if self._is_younger_than(self.own_seconds) else None

    def get(self, seconds: float | None = None) -> int:
        """Return the number. This worker remembers it for at most `seconds`, if they are given."""
        most = self.own_seconds if seconds is None else seconds
        value = self.value
        if value is not None and (self._is_younger_than(most) or self.lock.locked()):
            return value
        with self.lock:
            if self.value is None or not self._is_younger_than(most):
                # Before the query, so that a number that was forgotten meanwhile does not stay.
                era, since = self.era, time.monotonic()
                self.value, self.since = self._shared_or_computed(era), since
                self.counted_in = era
            return self.value

    def forget(self) -> None:
        """Compute it again at the next call, in this worker. Others forget it after their seconds."""
        self.era = object()
        if cache := shared_cache():
            cache.delete(self.name)

    def _is_younger_than(self, seconds: float) -> bool:
        return self.counted_in is self.era and time.monotonic() < self.since + seconds

    def _shared_or_computed(self, era: object) -> int:
        cache = shared_cache()
        value = cache.get(self.name) if cache else None
        if type(value) is int:
            return value
        value = self.compute()
        if cache:
            cache.set(self.name, value, self.shared_seconds)
            if era is not self.era:
                cache.delete(self.name)
        return value


def shared_cache() -> BaseCache | None:
    """Return the cache that all workers share, or None: in local memory, another worker could not forget a value."""
    cache = caches["default"]
    return None if isinstance(cache, LocMemCache) else cache
