"""Carries what is due to the product in the background, over kept connections; knows no ESP."""

import http.client
import sqlite3
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

from simulator.state import State

IDLE_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 60.0
UNREACHED = 0


class Courier(threading.Thread):
    """A thread that looks for work, and lanes that carry it: one connection each."""

    timeout_seconds = 15.0

    def __init__(self, state: State, name: str, lanes: int) -> None:
        super().__init__(name=f"simulator-{name}", daemon=True)
        self._state, self._lanes = state, lanes
        self._ended = threading.Event()
        self._lane = threading.local()
        self._lines: list[http.client.HTTPConnection] = []

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        lanes = ThreadPoolExecutor(self._lanes, f"{self.name}-lane")
        with lanes, closing(self._state.log.connect()) as connection:
            while not self._ended.is_set():
                if not self._round(lanes, connection):
                    self._ended.wait(IDLE_SECONDS)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections of all lanes."""
        for line in self._lines:
            line.close()

    def _round(self, lanes: Executor, connection: sqlite3.Connection) -> bool:
        """Carry what is due; whether there was anything."""
        raise NotImplementedError

    def _again_at(self, attempts: int) -> int:
        """When something is tried again that was tried so often before, in milliseconds."""
        wait = self._state.webhooks.retry_seconds * 2 ** min(attempts, 10)
        return int((time.time() + min(wait, LONGEST_WAIT_SECONDS)) * 1000)

    def _call(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> int:
        """One request to the target over this lane's connection; its status, or UNREACHED.

        Nothing is followed: a redirect is an answer like any other.
        """
        target = urlsplit(self._state.webhooks.target or "")
        if not target.hostname:
            return UNREACHED
        for fresh in (False, True):
            line = self._line(target.hostname, target.port or 80, fresh)
            used = line.sock is not None
            try:
                line.request(method, path, body, headers)
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                line.close()
                # A kept connection may have been closed while idle; only then try once more.
                if used:
                    continue
                return UNREACHED
            return answer.status
        return UNREACHED

    def _line(self, host: str, port: int, fresh: bool) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._lane, "line", None)
        if kept is None or fresh or (kept.host, kept.port) != (host, port):
            if kept is not None:
                kept.close()
                self._lines.remove(kept)
            kept = http.client.HTTPConnection(host, port, timeout=self.timeout_seconds)
            self._lane.line = kept
            self._lines.append(kept)
        return kept
