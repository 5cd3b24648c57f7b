"""A server on loopback that does to one connection exactly what a test says, byte by byte."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple


class Seen(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


#: What to do with a request whose head has been read; the body waits in the socket.
Script = Callable[["Peer"], None]


class Peer:
    """One request on one connection."""

    def __init__(self, server: "ScriptedServer", connection: socket.socket, data: bytes) -> None:
        head, _, rest = data.partition(b"\r\n\r\n")
        self._server = server
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:])
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.connection = connection
        self._rest = rest

    def body(self) -> bytes:
        """Read the body."""
        length = int(self.headers.get("content-length", "0"))
        while len(self._rest) < length:
            more = self.connection.recv(65536)
            if not more:
                raise ConnectionAbortedError
            self._rest += more
        return self._rest[:length]

    def note(self) -> Seen:
        """Read the request whole; the server remembers it."""
        seen = Seen(self.method, self.path, self.headers, self.body())
        self._server.seen.append(seen)
        return seen

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{named}\r\n"
        self.connection.sendall(head.encode() + body)

    def drip(self, data: bytes, pause: float) -> None:
        """A byte at a time."""
        for byte in data:
            self.connection.sendall(bytes((byte,)))
            time.sleep(pause)

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.connection.close()


class ScriptedServer:
    """Takes the next script for each request; the last one stays."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.seen: list[Seen] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._lock = threading.Lock()

    def __enter__(self) -> "ScriptedServer":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for open_socket in (self._server, *self._open):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                peer = Peer(self, connection, data)
                with self._lock:
                    script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                script(peer)


def answering(status: int, body: bytes = b"", **headers: str) -> Script:
    """Reads each request whole and gives this answer."""

    def script(peer: Peer) -> None:
        peer.note()
        peer.answer(status, body, **headers)

    return script
