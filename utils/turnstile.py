"""One at a time, in turn, over all threads and processes of a machine: a lock that cannot starve.

Whoever wants the lock first takes the place at its door and keeps it until inside, so that somebody
who leaves and comes back at once finds the door taken. The kernel frees both when a process dies.
"""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_POLL_SECONDS = 0.001


class Crowded(Exception):
    """The lock was not free within the time that was allowed."""


class Turnstile:
    """A lock on two files beside `path`. Not for NFS, not over a fork, not twice by one thread."""

    def __init__(self, path: Path, seconds: float) -> None:
        """`seconds` is the longest wait."""
        self._paths = (path.with_name(f"{path.name}.door"), path.with_name(f"{path.name}.turn"))
        self._files: tuple[IO[bytes], ...] = ()
        self._seconds = seconds
        self._threads = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock. Raises Crowded."""
        if not self._threads.acquire(timeout=self._seconds):
            raise Crowded
        try:
            door, inside = self._opened()
            deadline = time.monotonic() + self._seconds
            _take(door, deadline)
            try:
                _take(inside, deadline)
            finally:
                fcntl.flock(door, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(inside, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Close the files; the next turn opens them again."""
        with self._threads:
            for file in self._files:
                file.close()
            self._files = ()

    def _opened(self) -> tuple[IO[bytes], ...]:
        if not self._files:
            self._files = tuple(path.open("ab") for path in self._paths)
        return self._files


def _take(file: IO[bytes], deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Crowded from None
            time.sleep(_POLL_SECONDS)
        else:
            return
