"""Messages over SMTP on kept connections to one server, and the certainty whether they were taken.

Until the dot that ends a message has left, every trouble is certain. Knows no ESP.
"""

import base64
import os
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from services.esp import Misconfigured, NotTried
from services.smtp_line import AUTH, CONNECT, LastWordError, Letter, Line, NoReplyError, expect
from services.wire import CONNECT_SECONDS, Answer, Exchange, begin, tls_context

#: At most so many at once: SES refuses more than it likes with 421.
CONNECTIONS = 10
#: Then a connection has had its turn: the ESP's hosts change, and should get their share.
MESSAGES_PER_CONNECTION = 200
#: The server is hanging up (RFC 5321 §3.8; SES says 451 when it waited too long): a kept connection
#: that meets its next message with these was dead already.
_HANGING_UP = (421, 451)


class Server(NamedTuple):
    """Where mail is submitted, and as whom."""

    host: str
    port: int
    username: str
    password: str
    starttls: bool = True  #: False: TLS from the first byte
    hello: str | None = None  #: our name for EHLO; None = our address

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


class SmtpWire:
    """Kept connections to one server, a limited number of them."""

    def __init__(
        self, server: Server, seconds: float, *, connections: int = CONNECTIONS,
        context: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:  # fmt: skip
        """`seconds`: the total deadline of one message. `context`: whose certificates are good."""
        self._server = server
        self._seconds = seconds
        self._connections = connections
        self._context = context
        self._kept: deque[Line] = deque()
        self._free = threading.BoundedSemaphore(connections)
        self._process = os.getpid()
        weakref.finalize(self, _close, self._kept)

    def begin(self, letter: Letter, deadline: float) -> Exchange:
        """Start to hand a message over. Raises NotTried when no connection is free until the
        deadline (`time.monotonic()`), or not for as long as one message may take."""
        self._check_process()
        wait = min(deadline - time.monotonic(), self._seconds)
        if not self._free.acquire(timeout=max(0.0, wait)):
            raise NotTried(f"all {self._connections} connections are busy")
        free = self._free

        def job() -> Answer:
            try:
                return self._hand_over(letter)
            finally:
                free.release()

        return begin(job, self._seconds)

    def _check_process(self) -> None:
        if self._process != os.getpid():  # forked: the connections are the parent's
            _close(self._kept)
            self._free = threading.BoundedSemaphore(self._connections)
            self._process = os.getpid()

    def _hand_over(self, letter: Letter) -> Answer:
        """On a kept connection, or on a new one when that has died before the message began."""
        line = self._usable()
        if line is not None:
            try:
                answer = self._talk(line, letter)
            except (OSError, NoReplyError):
                if line.began:
                    raise
            else:
                if line.began or answer.status not in _HANGING_UP:
                    return answer
        try:
            line = self._connect()
        except LastWordError as refused:
            return refused.answer
        return self._talk(line, letter)

    def _usable(self) -> Line | None:
        while self._kept:
            try:
                line = self._kept.pop()
            except IndexError:
                break
            if line.usable():
                return line
            line.close()
        return None

    def _talk(self, line: Line, letter: Letter) -> Answer:
        try:
            answer = line.transact(letter)
        except LastWordError as refused:
            line.close()
            return refused.answer
        except BaseException:
            line.close()
            raise
        if answer.status in _HANGING_UP or line.messages >= MESSAGES_PER_CONNECTION:
            line.quit()
        else:
            line.idle_since = time.monotonic()
            self._kept.append(line)
        return answer

    def _connect(self) -> Line:
        """A connection on which mail may be named. Raises LastWordError when the server says no."""
        server = self._server
        seconds = max(0.05, self._seconds * 0.95)  # a stalled write must be seen as such
        plain = socket.create_connection(
            (server.host, server.port), timeout=min(CONNECT_SECONDS, seconds)
        )
        line = Line(plain, seconds)
        try:
            line.waited_for()
            if not server.starttls:
                line.secure(self._context(), server.host)
            expect(line.reply(), 220, CONNECT)
            line.hello(server.hello)
            if server.starttls and ("STARTTLS" in line.offers or not line.on_loopback()):
                self._start_tls(line)
            _log_in(line, server)
        except BaseException:
            line.close()
            raise
        return line

    def _start_tls(self, line: Line) -> None:
        if "STARTTLS" not in line.offers:
            raise Misconfigured("the server offers no STARTTLS", code="STARTTLS")
        expect(line.command("STARTTLS"), 220, CONNECT)
        line.secure(self._context(), self._server.host)
        line.hello(self._server.hello)


def _log_in(line: Line, server: Server) -> None:
    """RFC 4954; only where TLS or loopback keeps the password private."""
    ways = line.offers.get("AUTH", "").upper().split()
    if "PLAIN" in ways:
        reply = line.command("AUTH PLAIN " + _base64(f"\0{server.username}\0{server.password}"))
    elif "LOGIN" in ways:
        expect(line.command("AUTH LOGIN"), 334, AUTH)
        expect(line.command(_base64(server.username)), 334, AUTH)
        reply = line.command(_base64(server.password))
    else:
        raise Misconfigured("the server offers neither AUTH PLAIN nor AUTH LOGIN", code="AUTH")
    expect(reply, 235, AUTH)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _close(lines: deque[Line]) -> None:
    while lines:
        lines.pop().close()
