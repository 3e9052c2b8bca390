"""Circuit breaker for connections to a server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Breaker:
    """Allow all attempts until one fails, then one per interval of `seconds` until one succeeds."""

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = seconds, clock
        self.lock = threading.Lock()
        self.is_open = False
        self.is_tried = False
        self.next_try = 0.0

    @contextmanager
    def attempt(self, error: type[Exception]) -> Iterator[None]:
        """Run the block as an attempt. Raises `error` at once while the breaker is open."""
        is_trial = self.begin(error)
        try:
            yield
        except error as failure:
            # A FATAL message, for example about too many connections, is an answer of the server.
            self.end(is_trial, answered="FATAL:" in str(failure))
            raise
        except BaseException:
            # Says nothing about the server.
            self.end(is_trial, answered=None)
            raise
        self.end(is_trial, answered=True)

    def begin(self, error: type[Exception]) -> bool:
        with self.lock:
            if self.is_open and (self.is_tried or self.clock() < self.next_try):
                raise error("The server did not answer the last attempt.")
            is_trial = self.is_open
            self.is_tried |= is_trial
            return is_trial

    def end(self, is_trial: bool, *, answered: bool | None) -> None:
        """End an attempt. None, for an attempt that did not reach the server, leaves the breaker as it is."""
        with self.lock:
            if is_trial:
                self.is_tried = False
            # Only a trial closes the breaker, not the late answer to an attempt from before the failure.
            if answered is None or (answered and self.is_open and not is_trial):
                return
            self.is_open = not answered
            self.next_try = self.clock() + self.seconds
