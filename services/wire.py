"""One HTTP request with one total deadline, and the certainty whether it was written.

Every SDK's request passes through `Wire`, so what happened is seen at the socket and not guessed
from an SDK's exception. Knows no ESP: an answer of any status is just an answer.
"""

import contextlib
import functools
import http.client
import os
import queue
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import certifi

from services.esp import EspError, InDoubt, Unavailable

#: A connection idle for longer is closed, not used: the far end may be closing it just now, and a
#: request written into that race would be in doubt.
IDLE_SECONDS = 15
#: Connections kept per ESP; more are opened when more requests run at once.
KEPT_CONNECTIONS = 16
CONNECT_SECONDS = 10.0
#: An answer is at most 500 results of some hundred bytes; more is not an ESP's answer.
MAX_ANSWER_BYTES = 8_000_000
#: A thread that waits for its next request ends after this.
THREAD_IDLE_SECONDS = 60


class Answer(NamedTuple):
    """What came back: names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _TooLateError(Exception):
    """Nobody waits for this request any more: it must not be written."""


class Exchange:
    """A request on its way, made by `job` on a thread of its own and awaited until its deadline."""

    def __init__(self, job: Callable[[], Answer], seconds: float) -> None:
        self.seconds = 0.0  #: how long it took, once there is an answer
        self._job = job
        self._limit = seconds
        self._began = time.monotonic()
        self._done = threading.Lock()
        self._guard = threading.Lock()
        self._written = False  # all of it may have left
        self._broken = False  # writing failed: not all of it has left
        self._given_up = False
        self._socket: socket.socket | None = None
        self._answer: Answer | None = None
        self._trouble: BaseException | None = None
        self._done.acquire()

    def may_write(self, sock: socket.socket | None, *, last: bool = True) -> None:
        """Called before bytes are written; raises when nobody waits any more. Until the `last`
        ones it is certain that nothing was accepted."""
        with self._guard:
            if self._given_up:
                raise _TooLateError
            self._written = self._written or last
            self._socket = sock

    def broke(self) -> None:
        """Called when writing failed."""
        self._broken = True

    def run(self) -> None:
        """Make the request; on its own thread."""
        _here.exchange = self
        try:
            self._answer = self._job()
        except BaseException as trouble:  # noqa: BLE001 -- it is told to the thread that waits
            self._trouble = trouble
        finally:
            _here.exchange = None
            self._done.release()

    def answer(self) -> Answer | EspError:
        """Wait for the answer; an error says whether the request may have been accepted."""
        left = self._began + self._limit - time.monotonic()
        in_time = self._done.acquire(timeout=max(0.0, left))
        self.seconds = time.monotonic() - self._began
        if not in_time:
            return self._give_up()
        return self._answer if self._answer is not None else self._error(self._trouble)

    def _error(self, trouble: BaseException | None) -> EspError:
        certain = self._broken or not self._written
        if certain and isinstance(trouble, EspError):
            return trouble
        words = f"{type(trouble).__name__}: {trouble}" if trouble else "no answer"
        return Unavailable(words) if certain else InDoubt(words)

    def _give_up(self) -> EspError:
        with self._guard:
            self._given_up = True
            certain = self._broken or not self._written
        if self._socket is not None:
            with contextlib.suppress(OSError):  # frees the thread; past TLS, which is in use there
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        words = f"no answer within {self._limit:g} s"
        return Unavailable(words) if certain else InDoubt(words)


class _Here(threading.local):
    exchange: Exchange | None = None


_here = _Here()


def current() -> Exchange | None:
    """The exchange whose job runs on this thread."""
    return _here.exchange


class _Thread(threading.Thread):
    """Runs one exchange after the other; a new thread for each would cost twice the time."""

    def __init__(self) -> None:
        super().__init__(name="esp-request", daemon=True)
        self.work: queue.SimpleQueue[Exchange] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            try:
                exchange = self.work.get(timeout=THREAD_IDLE_SECONDS)
            except queue.Empty:
                try:
                    _idle.remove(self)
                except ValueError:
                    continue  # somebody has just taken this thread: work is coming
                return
            exchange.run()
            del exchange  # holds the body and the answer
            _idle.append(self)


_idle: deque[_Thread] = deque()


def begin(job: Callable[[], Answer], seconds: float) -> Exchange:
    """Start a request; it has `seconds` in total, however slowly its answer drips."""
    exchange = Exchange(job, seconds)
    while True:
        try:
            thread = _idle.pop()
        except IndexError:
            thread = _Thread()
            thread.start()
        if thread.is_alive():  # not so in a forked child
            break
    thread.work.put(exchange)
    return exchange


class _Watched(http.client.HTTPConnection):
    """Tells the current exchange what is written."""

    reply_seconds: float = CONNECT_SECONDS
    idle_since: float = 0.0

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.reply_seconds)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = _here.exchange
        if exchange is None:
            super().send(data)
            return
        exchange.may_write(self.sock)
        try:
            super().send(data)
        except OSError:
            exchange.broke()
            raise


class _WatchedTls(_Watched, http.client.HTTPSConnection):
    pass


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, and certifi's where an image has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Wire:
    """Requests to one address over kept connections. Follows no redirect and no proxy."""

    def __init__(self, base_url: str, seconds: float) -> None:
        """`seconds`: the total deadline; one read or write gets a little less, so that a stalled
        write is seen as such instead of being given up in doubt."""
        parts = urlsplit(base_url)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._seconds = max(0.05, seconds * 0.95)
        self._kept: deque[_Watched] = deque()
        self._process = os.getpid()
        weakref.finalize(self, _close, self._kept)

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Write one request and read its answer, whatever its status."""
        connection = self._connection()
        try:
            reply = self._reply(connection, method, path, headers, body)
            content = _content(reply)
        except BaseException:
            connection.close()
            raise
        self._keep(connection, reply)
        named = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, named, content)

    @staticmethod
    def _reply(
        connection: _Watched, method: str, path: str, headers: Mapping[str, str],
        body: bytes | None,
    ) -> http.client.HTTPResponse:  # fmt: skip
        try:
            connection.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError) as broken:
            # The far end may have answered and closed before it read all, e.g. with 413.
            try:
                return connection.getresponse()
            except (OSError, http.client.HTTPException):
                raise broken from None
        return connection.getresponse()

    def _connection(self) -> _Watched:
        if self._process != os.getpid():  # forked: the connections are the parent's
            _close(self._kept)
            self._process = os.getpid()
        while self._kept:
            try:
                connection = self._kept.pop()
            except IndexError:
                break
            if _usable(connection):
                return connection
            connection.close()
        return self._new()

    def _new(self) -> _Watched:
        seconds = min(CONNECT_SECONDS, self._seconds)
        connection = (
            _WatchedTls(self._host, self._port, timeout=seconds, context=tls_context())
            if self._tls
            else _Watched(self._host, self._port, timeout=seconds)
        )
        connection.reply_seconds = self._seconds
        return connection

    def _keep(self, connection: _Watched, reply: http.client.HTTPResponse) -> None:
        if reply.will_close or not reply.isclosed() or len(self._kept) >= KEPT_CONNECTIONS:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._kept.append(connection)


def _close(connections: deque[_Watched]) -> None:
    while connections:
        connections.pop().close()


def _content(reply: http.client.HTTPResponse) -> bytes:
    """The body; nothing when it breaks off, because the status has arrived and may say enough."""
    try:
        content = reply.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException):
        return b""
    return content if len(content) <= MAX_ANSWER_BYTES else b""


def _usable(connection: _Watched) -> bool:
    """Whether a kept connection is fresh and silent; bytes or an end on it mean it is dead."""
    if connection.sock is None or time.monotonic() - connection.idle_since > IDLE_SECONDS:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
