"""A web service in the product's place: it gets webhooks and visits, and answers as it is told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = Any
PATIENCE_SECONDS = 10


@dataclass
class Posted:
    """One request that the receiver got, and when, and from which port."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str
    at: float
    port: int

    @property
    def json(self) -> Json:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A product's web service, with a say in what it answers."""

    url: str = ""
    posts: list[Posted] = field(default_factory=list)
    answer: Callable[[Posted], int] = lambda _post: 200

    def at(self, path: str) -> list[Posted]:
        return [post for post in list(self.posts) if post.path == path]

    def wait(self, path: str, count: int) -> list[Posted]:
        """The posts to a path, as soon as there are that many."""
        until = time.monotonic() + PATIENCE_SECONDS
        while len(self.at(path)) < count:
            assert time.monotonic() < until, f"{len(self.at(path))} of {count} posts to {path}"
            time.sleep(0.01)
        return self.at(path)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            posted = Posted(
                self.path, dict(self.headers), body, self.command, time.time(),
                self.client_address[1],
            )  # fmt: skip
            status = receiver.answer(posted)
            receiver.posts.append(posted)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "/followed")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the base class's name

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
