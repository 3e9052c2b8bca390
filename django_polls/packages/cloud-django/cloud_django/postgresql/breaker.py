"""A circuit breaker: after a failure one thread at a time goes on trying, and the others are told at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Breaker:
    """Lets everybody try until somebody gets no answer, and then one in each `seconds` until somebody gets one."""

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = seconds, clock
        self.lock = threading.Lock()
        self.is_open = False
        self.is_tried = False
        self.next_try = 0.0

    @contextmanager
    def attempt(self, error: type[Exception]) -> Iterator[None]:
        """Try to connect in the block. Raises `error` at once while there is no point in it."""
        is_ours = self.begin(error)
        try:
            yield
        except error as failure:
            # Whoever is told why, for instance that there are too many connections, got an answer.
            self.end(is_ours, answered="FATAL:" in str(failure))
            raise
        except BaseException:
            self.end(is_ours, answered=not self.is_open)
            raise
        self.end(is_ours, answered=True)

    def begin(self, error: type[Exception]) -> bool:
        with self.lock:
            if self.is_open and (self.is_tried or self.clock() < self.next_try):
                raise error("The server gave no answer a moment ago.")
            is_ours = self.is_open
            self.is_tried |= is_ours
            return is_ours

    def end(self, is_ours: bool, *, answered: bool) -> None:
        with self.lock:
            self.is_open = not answered
            self.next_try = self.clock() + self.seconds
            if is_ours:
                self.is_tried = False
