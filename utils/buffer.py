"""Things to be written soon, by a thread that nobody waits for. Losing some is allowed; delaying or
failing whoever adds one is not."""

import atexit
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

#: More waiting things than this mean that writing fails or stalls; new ones are dropped.
_MOST = 20_000


class Buffer(Generic[T]):
    """Collects, and writes at most `seconds` later. Its thread starts with the first thing, so a
    fork before that is harmless."""

    def __init__(self, write: Callable[[list[T]], object], seconds: float) -> None:
        """`write` may raise: what it was given is dropped then, and the log says so."""
        self._write = write
        self._seconds = seconds
        self._waiting: list[T] = []
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, thing: T) -> None:
        """Return at once, whatever state the writing is in."""
        with self._changed:
            if len(self._waiting) >= _MOST:
                log.warning("dropped: %d are waiting to be written already", _MOST)
                return
            self._waiting.append(thing)
            if self._thread is None and not self._closed:
                self._start()
            self._changed.notify()
        if self._closed:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        with self._writing:
            with self._changed:
                things, self._waiting = self._waiting, []
            if not things:
                return
            try:
                self._write(things)
            except Exception:
                log.exception("dropped: %d could not be written", len(things))

    def close(self) -> None:
        """Write the rest; the thread ends. Runs by itself when the process ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.flush()
        atexit.unregister(self.close)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="buffer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._changed.wait_for(lambda: self._closed, timeout=self._seconds)
            self.flush()
