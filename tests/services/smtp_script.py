"""An SMTP server on loopback that says OK to everything but what a test has it say otherwise."""

import contextlib
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: What a step may do in place of a reply.
CLOSE, RESET, SILENCE = "close", "reset", "silence"
OFFERS = ("8BITMIME", "AUTH PLAIN LOGIN")
#: The steps by name; END is the dot.
DEFAULTS = {
    "GREETING": "220 ready", "STARTTLS": "220 go", "AUTH": "235 in", "MAIL": "250 Ok",
    "RCPT": "250 Ok", "DATA": "354 go", "RSET": "250 Ok", "QUIT": "221 bye",
}  # fmt: skip


@dataclass
class ScriptedSmtp:
    """`says`: for each step what is said when it comes the first time, the second time …; after
    that, and for other steps, everything is fine."""

    says: dict[str, list[str]] = field(default_factory=dict)
    offers: tuple[str, ...] = OFFERS
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    pause: float = 0.0  #: before each answer to a message
    #: All commands, of all connections, and the messages that were ended by a dot.
    heard: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_at_once: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ScriptedSmtp":
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for one in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self.open_now += 1
            self.most_at_once = max(self.most_at_once, self.open_now)
        talk = _Talk(self, connection)
        try:
            with contextlib.suppress(OSError, ConnectionAbortedError):
                talk.run()
        finally:
            talk.close()
            with self._lock:
                self.open_now -= 1

    def next(self, step: str, otherwise: str) -> str:
        """What is to be said now."""
        with self._lock:
            script = self.says.get(step)
            return script.pop(0) if script else otherwise


class _Talk:
    def __init__(self, server: ScriptedSmtp, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._secured = False

    def _secure(self, context: ssl.SSLContext) -> None:
        self._lines.close()
        self._connection = context.wrap_socket(self._connection, server_side=True)
        self._lines = self._connection.makefile("rb")
        self._secured = True

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._connection.close()

    def run(self) -> None:
        """Until either side has had enough."""
        if self._server.tls is not None and self._server.implicit:
            self._secure(self._server.tls)
        self._step("GREETING")
        while line := self._lines.readline():
            command = line.decode().strip()
            self._server.heard.append(command)
            self._command(command.partition(" ")[0].upper())

    def _command(self, verb: str) -> None:
        if verb == "EHLO":
            offers = [
                *self._server.offers,
                *(["STARTTLS"] if self._server.tls and not self._secured else []),
            ]
            self._step("EHLO", "".join(f"250-{word}\r\n" for word in ("me", *offers)) + "250 Ok")
            return
        self._step(verb, DEFAULTS.get(verb, "500 what?"))
        if verb == "STARTTLS" and self._server.tls is not None:
            self._secure(self._server.tls)
        elif verb == "DATA" and self._said.startswith("354"):
            self._message()

    def _message(self) -> None:
        lines = []
        while (line := self._lines.readline()) != b".\r\n":
            if not line:
                raise ConnectionAbortedError
            lines.append(line)
        self._server.messages.append(b"".join(lines))
        time.sleep(self._server.pause)
        self._step("END", f"250 Ok 0100018f-{len(self._server.messages)}-000000")

    def _step(self, step: str, otherwise: str | None = None) -> None:
        self._said = self._server.next(step, otherwise or DEFAULTS[step])
        if self._said in (CLOSE, RESET):
            if self._said == RESET:
                linger = struct.pack("ii", 1, 0)
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionAbortedError
        if self._said == SILENCE:
            self._server.released.wait(20)
            self._said = otherwise or DEFAULTS[step]
        self._connection.sendall(self._said.encode() + b"\r\n")


def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    """A certificate for 127.0.0.1: the server's context, and one that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "smtp.pem"
    file.write_bytes(public + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, lambda: ssl.create_default_context(cadata=public.decode())
