"""The HTTP server in front of the three ESPs and the control API; knows sockets, no ESP's rules."""

import ipaddress
import socket
import struct
import sys
import threading
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from simulator import control, postmark, sendgrid, ses, webhooks
from simulator.faults import ANSWER, DOOR, WIRE, Fault
from simulator.state import State
from simulator.wire import Answer, Request, Route, match_route

ESPS: tuple[ModuleType, ...] = (sendgrid, ses, postmark)
LARGEST_BODY = 64_000_000
BACKLOG = 1024
GATEWAYS = {"error_502": (502, "Bad Gateway"), "error_504": (504, "Gateway Time-out")}
JUNK = b"<html><head><title>Welcome</title></head><body>proxy error</body></html>"


class NotLoopbackError(ValueError):
    """The simulator listens for programs of this machine only."""


class Server(ThreadingHTTPServer):
    """A thread per connection; none of them keeps the process alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(self, address: tuple[str, int], state: State) -> None:
        self.state = state
        self.stopping = threading.Event()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of the host's name, which may wait for a resolver."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if not self.state.faults.refuses_all():
            return True
        _linger_off(request)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, lets faults strike, writes answers."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Unbuffered writes would meet the client's delayed acknowledgement: 40 ms per answer.
    wbufsize = -1
    disable_nagle_algorithm = True
    server_version = "simulator"
    sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the delivery log is the log."""

    def handle_expect_100(self) -> bool:
        result = super().handle_expect_100()
        self.wfile.flush()
        return result

    def serve(self) -> None:
        """Answer one request, of whatever method."""
        path, _, raw_query = self.path.partition("?")
        query = dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {}
        request = Request(self.command, path, raw_query, query, self.headers)
        if path.startswith("/_"):
            self._control(request)
        else:
            self._esp(request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve

    def _control(self, request: Request) -> None:
        body = self._read_body()
        if body is None:
            return
        request.body = body
        self._write(control.serve(self.server.state, request))

    def _esp(self, request: Request) -> None:
        state = self.server.state
        esp, route, known = find(request)
        name: str = esp.NAME
        struck = state.faults.strike(name, route is not None and route.sends)
        for fault in struck:
            if fault.kind == "latency":
                self.server.stopping.wait(fault.milliseconds / 1000)
        fault = next((f for f in struck if f.kind != "latency"), None)
        if fault is not None and fault.when == DOOR:
            state.meters.answered(name, 0)
            self._slam()
            return
        body = self._read_body()
        if body is None:
            return
        request.body = body
        if fault is not None and fault.kind == "partial":
            request.fail_every = fault.every
        answer = _answer(state, esp, route, known, request, fault)
        state.meters.answered(name, answer.status)
        if fault is not None and fault.when == WIRE:
            self._break(answer, fault)
        else:
            self._write(answer)

    def _read_body(self) -> bytes | None:
        """The whole body; None if it is too large, after the refusal has been written."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdigit() else 0
        if size > LARGEST_BODY:
            self.close_connection = True
            self._write(Answer(413, b"{}"))
            return None
        body = self.rfile.read(size) if size else b""
        if len(body) < size:
            raise ConnectionAbortedError
        return body

    def _read_chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if sum(map(len, parts)) > LARGEST_BODY:
                raise ConnectionAbortedError
        self.rfile.readline()
        return b"".join(parts)

    def _head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        if answer.body:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def _write(self, answer: Answer) -> None:
        self._head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _break(self, answer: Answer, fault: Fault) -> None:
        """Do to the answer what the fault says."""
        if fault.kind == "malformed":
            self._write(Answer(answer.status, JUNK, content_type="text/html"))
        elif fault.kind == "empty_200":
            self._write(Answer(200))
        elif fault.kind == "slow":
            self._dribble(answer, fault)
        elif fault.kind == "truncated":
            self._raw(_cut(_bytes_of(answer)))
            self.close_connection = True
        else:
            if fault.kind in ("hang", "accepted_hang"):
                self.server.stopping.wait(fault.hold_seconds)
            self._slam()

    def _dribble(self, answer: Answer, fault: Fault) -> None:
        for byte in _bytes_of(answer):
            self._raw(bytes((byte,)))
            if self.server.stopping.wait(fault.milliseconds / 1000):
                break

    def _raw(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _slam(self) -> None:
        """Close with a reset instead of a farewell, as a crashing host would."""
        self.close_connection = True
        _linger_off(self.connection)
        # The parsing side holds the socket too; shutting both files lets the reset go out now.
        with suppress(OSError):
            self.rfile.close()
            self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError


def find(request: Request) -> tuple[ModuleType, Route | None, bool]:
    """The ESP and route for a path; an unknown path belongs to the ESP whose prefix it has."""
    for esp in ESPS:
        route, found, known = match_route(esp.ROUTES, request.method, request.path)
        if route is not None and found is not None:
            request.matched = found.groups()
            return esp, route, True
        if known:
            return esp, None, True
    if request.path.startswith("/v3/"):
        return sendgrid, None, False
    return (ses if request.path.startswith("/v2/") else postmark), None, False


def _answer(
    state: State, esp: ModuleType, route: Route | None, known: bool, request: Request,
    fault: Fault | None,
) -> Answer:  # fmt: skip
    instead = None
    if fault is not None and fault.when == ANSWER:
        instead = _instead(state, esp, request, fault)
    if fault is not None and not fault.takes_mail:
        # Nothing is taken; a fault on the wire has no answer to break.
        return instead or Answer(HTTPStatus.SERVICE_UNAVAILABLE)
    if route is None:
        return instead or _typed(esp.not_found(request, known))
    try:
        own = route.serve(state, request)
    except Exception:  # noqa: BLE001 - a bug here must show as an answer, not as a fault of the wire
        traceback.print_exc()
        own = Answer(500, b'{"simulator":"this is a bug of the simulator; see its output"}')
    return instead or own


def _instead(state: State, esp: ModuleType, request: Request, fault: Fault) -> Answer:
    if fault.kind in GATEWAYS:
        status, words = GATEWAYS[fault.kind]
        page = f"<html><head><title>{status} {words}</title></head><body>{words}</body></html>"
        return Answer(status, page.encode(), content_type="text/html")
    kind = "error_500" if fault.kind == "accepted_500" else fault.kind
    return _typed(esp.refusal(kind, fault, state, request))


def _typed(value: Any) -> Answer:
    if not isinstance(value, Answer):
        raise TypeError("an ESP's module answers with an Answer")
    return value


def _bytes_of(answer: Answer) -> bytes:
    phrase = HTTPStatus(answer.status).phrase
    headers = (*answer.headers, ("Content-Length", str(len(answer.body))))
    if answer.body:
        headers = (("Content-Type", answer.content_type), *headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{lines}\r\n".encode() + answer.body


def _cut(whole: bytes) -> bytes:
    """Half of the body, or half of the head where there is no body."""
    head, gap, body = whole.partition(b"\r\n\r\n")
    return head + gap + body[: len(body) // 2] if body else head[: len(head) // 2]


def _linger_off(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Running:
    """A started simulator: its address, its parts, and the way to stop it."""

    def __init__(self, server: Server, couriers: list[webhooks.Courier], url: str) -> None:
        self.url, self.state = url, server.state
        self._server, self._couriers = server, couriers
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def stop(self) -> None:
        """Stop listening and posting; what is not told yet waits in the outbox."""
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for courier in self._couriers:
            courier.stop()
        for courier in self._couriers:
            courier.join(timeout=5)
        self.state.log.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    db: str | Path, port: int = 0, host: str = "127.0.0.1", webhook_target: str | None = None,
    engagement: float | None = None,
) -> Running:  # fmt: skip
    """Start a simulator in the background; port 0 takes a free one."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise NotLoopbackError(
            f"{host} is not a loopback address; the simulator serves this machine only"
        )
    state = State(db)
    wanted: dict[str, Any] = {}
    if webhook_target is not None:
        wanted["target"] = webhook_target
    if engagement is not None:
        wanted["engagement"] = engagement
    wrong = state.webhooks.change(wanted)
    if wrong:
        state.log.close()
        raise ValueError(f"not possible: {', '.join(wrong)}")
    state.save()
    server = Server((host, port), state)
    shown = f"[{host}]" if ":" in host else host
    state.url = f"http://{shown}:{server.server_port}"
    return Running(server, webhooks.start(state), state.url)
