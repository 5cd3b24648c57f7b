"""One at a time, in turn, over all threads and processes of a machine: a lock that cannot starve.

Whoever wants the lock first takes the place at its door and keeps it until inside, so that somebody
who leaves and comes back at once finds the door taken. The kernel frees both when a process dies.
"""

import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.001


class Crowded(Exception):
    """The lock was not free within the time that was allowed."""


class Turnstile:
    """A lock on two files beside `path`. Not for NFS, not over a fork, not twice by one thread."""

    def __init__(self, path: Path, seconds: float) -> None:
        """`seconds` is the longest wait."""
        self._paths = (path.with_name(f"{path.name}.door"), path.with_name(f"{path.name}.turn"))
        self._files: list[int] = []
        weakref.finalize(self, _close, self._files)
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
            _close(self._files)

    def _opened(self) -> list[int]:
        if not self._files:
            self._files += [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for path in self._paths]
        return self._files


def _close(files: list[int]) -> None:
    while files:
        os.close(files.pop())


def _take(file: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Crowded from None
            time.sleep(_POLL_SECONDS)
        else:
            return
