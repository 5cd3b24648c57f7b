"""gunicorn's worker, made to bear the world outside: clients that are slow, and requests that are
none.

A thread belongs to a client only while there is something to read, and not for ever. What cannot be
read as HTTP is answered as the API answers. Knows no route but those that are read piece by piece.
"""

import json
import logging
import selectors
import socket
import struct
import time
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from web.frame import API_POLICY, STREAMED

log = logging.getLogger(__name__)

#: A request's head must be here by then, and so must a body that is not read piece by piece.
HEAD_SECONDS, BODY_SECONDS = 5.0, 60.0
#: So long nothing may move, in either direction, in a body or an answer of any length.
STALL_SECONDS = 30
#: What is still being read so long after SIGTERM is cut off: the others may end (30 s in all).
STOP_SECONDS = 15.0
#: What gunicorn cannot read as HTTP; anything else of its kind is 400.
STATUS: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}
_BAD = (400, "Bad Request")
_FAULT = (500, "Internal Server Error")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Threads that no client can hold."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Until when each client that has a thread may take to tell what it wants.
        self._until: dict[TConn, float] = {}
        self._stop_at: float | None = None

    def accept(self, listener: Any) -> None:
        """A new client waits here, and gets a thread with its first byte."""
        try:
            client, address = listener.accept()
        except OSError:  # gone again
            return
        self.nr_conns += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _seconds(STALL_SECONDS))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _seconds(STALL_SECONDS))
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + HEAD_SECONDS
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(client, selectors.EVENT_READ, readable)

    def handle(self, conn: TConn) -> Any:
        """In a thread: read a request and answer it."""
        self._until[conn] = time.monotonic() + HEAD_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._until.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """The head is here."""
        patience = float("inf") if req.path in STREAMED else BODY_SECONDS
        self._until[conn] = time.monotonic() + patience
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """About once a second, in the main thread."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive and self._stop_at is None:
            self._stop_at = now + STOP_SECONDS
        for connection, until in list(self._until.items()):
            if now > min(until, self._stop_at or until):
                self._until.pop(connection, None)
                _read_no_more(connection)

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: Exception) -> None:
        """What is no HTTP, as a problem. Nothing of it is repeated, here or in the log."""
        unreadable = isinstance(exc, errors.ParseException)
        status, title = STATUS.get(type(exc), _BAD) if unreadable else _FAULT
        if unreadable:
            log.warning("a request could not be read: %s", type(exc).__name__)
        else:
            log.error("a request was not answered", exc_info=exc)
        try:
            util.write_nonblock(client, problem(status, title, self.app.mode))
        except OSError:
            log.debug("nobody waits for the answer")


def _seconds(whole: int) -> bytes:
    return struct.pack("ll", whole, 0)


def _read_no_more(connection: TConn) -> None:
    """Whoever reads from it finds the end; an answer under way still goes out."""
    try:
        connection.sock.shutdown(socket.SHUT_RD)
    except OSError:  # closed meanwhile
        return


def problem(status: int, title: str, mode: str) -> bytes:
    """An answer by hand, with the headers that every answer has."""
    detail = "The request cannot be read as HTTP." if status < 500 else "It is our fault."
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        f"X-Mode: {mode}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
        f"Content-Security-Policy: {API_POLICY}\r\n\r\n"
    )
    return (head + body).encode()
