"""The HTTP server in front of the three ESPs and the control API; knows sockets, no ESP's rules."""

import ipaddress
import socket
import sys
import threading
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from simulator import control, sabotage
from simulator.courier import Courier
from simulator.esps import find
from simulator.faults import DOOR, WIRE, Fault
from simulator.ses_smtp_session import Session
from simulator.slam import reset_on_close
from simulator.state import State
from simulator.visits import Readers
from simulator.webhooks import VOICES, Teller
from simulator.wire import Answer, Request

LARGEST_BODY = 64_000_000
BACKLOG = 1024
# How often the accepting thread looks whether it is to stop.
STOP_SECONDS = 0.01


class NotLoopbackError(ValueError):
    """The simulator listens for programs of this machine only."""


class Server(ThreadingHTTPServer):
    """A thread per connection; none of them keeps the process alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(
        self, address: tuple[str, int], state: State,
        talk: type[BaseRequestHandler] | None = None,
    ) -> None:  # fmt: skip
        """`talk`: what is spoken on a connection; HTTP unless something else is named."""
        self.state = state
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, talk or Handler)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of the host's name, which may wait for a resolver."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open: a stopped simulator answers nobody."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        if not self.state.faults.refuses_all():
            return True
        reset_on_close(request)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
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

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve  # noqa: N815

    def _control(self, request: Request) -> None:
        body = self._read_body()
        if body is None:
            return
        request.body = body
        self._write(control.serve(self.server.state, request))

    def _esp(self, request: Request) -> None:
        state = self.server.state
        esp, route, known = find(request)
        struck = state.faults.strike(esp.NAME, route is not None and route.sends)
        for fault in struck:
            if fault.kind == "latency":
                self.server.stopping.wait(fault.milliseconds / 1000)
        fatal = next((fault for fault in struck if fault.kind != "latency"), None)
        if fatal is not None and fatal.when == DOOR:
            state.meters.answered(esp.NAME, 0)
            self._slam()
        body = self._read_body()
        if body is None:
            return
        request.body = body
        if fatal is not None and fatal.kind == "partial":
            request.fail_every = int(fatal.every)
        answer = sabotage.answer(state, esp, route, known, request, fatal)
        state.meters.answered(esp.NAME, answer.status)
        if fatal is not None and fatal.when == WIRE:
            self._break(answer, fatal)
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
        if fault.kind in ("malformed", "empty_200"):
            self._write(sabotage.spoiled(answer, fault))
        elif fault.kind == "slow":
            self._dribble(answer, fault)
        elif fault.kind == "truncated":
            self._raw(sabotage.cut(answer))
            self.close_connection = True
        else:
            if fault.kind in ("hang", "accepted_hang"):
                self.server.stopping.wait(fault.hold_seconds)
            self._slam()

    def _dribble(self, answer: Answer, fault: Fault) -> None:
        for byte in sabotage.raw(answer):
            self._raw(bytes((byte,)))
            if self.server.stopping.wait(fault.milliseconds / 1000):
                break

    def _raw(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _slam(self) -> NoReturn:
        """Close with a reset instead of a farewell, as a crashing host would."""
        self.close_connection = True
        reset_on_close(self.connection)
        # The parsing side holds the socket too; shutting both files lets the reset go out now.
        with suppress(OSError):
            self.rfile.close()
            self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError


class Running:
    """A started simulator: its address, its parts, and the way to stop it."""

    def __init__(self, servers: list[Server], couriers: list[Courier], url: str) -> None:
        """The first of the servers speaks HTTP."""
        self.url, self.state = url, servers[0].state
        self._servers, self._couriers = servers, couriers
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(STOP_SECONDS,), daemon=True).start()
        for courier in couriers:
            courier.start()

    @property
    def port(self) -> int:
        return self._servers[0].server_port

    def stop(self) -> None:
        """Stop listening and posting; what is not told yet waits in the outbox."""
        for server in self._servers:
            server.stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.hang_up()
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
        raise NotLoopbackError(f"{host} is not a loopback address: only this machine is served")
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
    couriers = [*(Teller(state, esp) for esp in VOICES), Readers(state)]
    return Running([server, _smtp_server(host, state)], couriers, state.url)


def _smtp_server(host: str, state: State) -> Server:
    """SES' SMTP interface: on a free port, and on the same one again after a restart."""
    port = int(state.log.get("smtp_port") or 0)
    try:
        server = Server((host, port), state, Session)
    except OSError:  # somebody else has it now
        server = Server((host, 0), state, Session)
    state.log.put("smtp_port", str(server.server_port).encode())
    state.smtp = (host, server.server_port)
    return server
