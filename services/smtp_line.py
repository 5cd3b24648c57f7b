"""One SMTP connection (RFC 5321): commands, replies, and one message from MAIL to the dot.

A message is handed over by the dot that ends it, and by nothing before. Knows no pool and no ESP: a
reply of any code is just an answer, with the phase in which it came.
"""

import contextlib
import ipaddress
import re
import select
import socket
import ssl
import time
from typing import NamedTuple

from services.esp import Rejected
from services.wire import Answer, current

#: Where in the conversation a reply came: a key of `Answer.headers`.
PHASE = "phase"
CONNECT, AUTH, MAIL, RCPT, DATA, END = "connect", "auth", "mail", "rcpt", "data", "end"
#: SES hangs up after some ten silent seconds ("451 Timeout waiting for data from client"), so a
#: connection that was idle for half of that is not used again.
IDLE_SECONDS = 5.0
#: RFC 5321 §4.5.3.1.5 says 512 octets, and servers say more; what is longer still is no reply.
MAX_LINE_BYTES, MAX_REPLY_LINES = 8192, 100

_REPLY = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)


class Letter(NamedTuple):
    """One message for one person, with its envelope."""

    sender: str
    to: str
    data: bytes  #: the message, lines ending in CRLF


class Reply(NamedTuple):
    """What the server said."""

    code: int
    words: str

    def told(self, phase: str) -> Answer:
        """The same in the words of `services.wire`."""
        return Answer(self.code, {PHASE: phase}, self.words.encode())


class NoReplyError(Exception):
    """The connection ended, or what came is not SMTP."""


class LastWordError(Exception):
    """A reply after which there is nothing to be said on this connection."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer


class Line:
    """One connection: what was said on it so far."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.settimeout(seconds)
        self._heard = b""
        self._unfinished = False  # a transaction was begun and refused half-way
        self.offers: dict[str, str] = {}
        self.messages = 0
        self.began = False  #: the server has said that the message may come
        self.idle_since = 0.0

    def transact(self, letter: Letter) -> Answer:
        """One message; the answer is the first reply that is a refusal, or the last one."""
        self.began = False
        self.messages += 1
        commands = self._commands(letter)
        if self._unfinished and self.command("RSET").code != 250:
            raise NoReplyError("RSET was refused")
        self._unfinished = True
        for phase, words, good in commands:
            reply = self.command(words)
            if reply.code not in good:
                return reply.told(phase)
        self.began = True
        answer = self._write(_stuffed(letter.data))
        self._unfinished = False
        return answer

    def _commands(self, letter: Letter) -> list[tuple[str, str, tuple[int, ...]]]:
        sender, to = letter.sender, letter.to
        extra = ""
        if not (sender.isascii() and to.isascii()):
            if "SMTPUTF8" not in self.offers:
                words = "an address outside ASCII, and the ESP offers no SMTPUTF8"
                raise Rejected(words, code="SMTPUTF8")
            extra = " SMTPUTF8 BODY=8BITMIME"
        if "SIZE" in self.offers:
            extra += f" SIZE={len(letter.data)}"
        return [
            (MAIL, f"MAIL FROM:<{sender}>{extra}", (250,)),
            (RCPT, f"RCPT TO:<{to}>", (250, 251)),
            (DATA, "DATA", (354,)),
        ]

    def _write(self, data: bytes) -> Answer:
        """The message, and then the dot by which it is handed over."""
        exchange = current()
        try:
            self._sock.sendall(data)
            if exchange is not None:
                exchange.may_write(self._sock)
            self._sock.sendall(b".\r\n")
        except OSError as broken:
            if exchange is not None:
                exchange.broke()
            if isinstance(broken, BrokenPipeError | ConnectionResetError):
                raise LastWordError(self._early_word()) from broken
            raise
        return self.reply().told(END)

    def _early_word(self) -> Answer:
        """The server has hung up before it had everything; it may have said why, e.g. 552."""
        reply = self.reply()
        if reply.code < 400:
            raise NoReplyError(f"{reply.code} before the message had ended")
        return reply.told(DATA)

    def command(self, words: str) -> Reply:
        """Say something and hear what comes."""
        if self._heard:
            raise NoReplyError("words out of turn")
        self.waited_for()
        self._sock.sendall(words.encode() + b"\r\n")
        return self.reply()

    def waited_for(self) -> None:
        """Nothing is said any more once nobody waits for it."""
        exchange = current()
        if exchange is not None:
            exchange.may_write(self._sock, last=False)

    def reply(self) -> Reply:
        """The next reply, all lines of it."""
        lines: list[str] = []
        code = b""
        while len(lines) < MAX_REPLY_LINES:
            found = _REPLY.fullmatch(self._heard_line())
            if found is None or found[1] != (code or found[1]):
                raise NoReplyError("what the server said is not SMTP")
            code = found[1]
            lines.append((found[3] or b"").decode(errors="replace").strip())
            if found[2] != b"-":
                return Reply(int(code), "\n".join(lines))
        raise NoReplyError("a reply without end")

    def _heard_line(self) -> bytes:
        while b"\n" not in self._heard:
            if len(self._heard) > MAX_LINE_BYTES:
                raise NoReplyError("a reply without end")
            more = self._sock.recv(8192)
            if not more:
                raise NoReplyError("the server ended the connection")
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.rstrip(b"\r")

    def hello(self, name: str | None) -> None:
        """Say who we are and hear what the server can do (RFC 5321 §4.1.1.1)."""
        reply = expect(self.command(f"EHLO {name or self._address()}"), 250, CONNECT)
        offers = (line.partition(" ") for line in reply.words.split("\n")[1:])
        self.offers = {word.upper(): rest for word, _, rest in offers}

    def _address(self) -> str:
        """Our address as a literal, for a host that has no name (RFC 5321 §4.1.3)."""
        address = ipaddress.ip_address(self._sock.getsockname()[0].partition("%")[0])
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"

    def on_loopback(self) -> bool:
        """Whether what is said cannot leave this machine."""
        return ipaddress.ip_address(self._sock.getpeername()[0].partition("%")[0]).is_loopback

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """TLS from here on. What came before the handshake is nobody's word (RFC 3207 §6)."""
        if self._heard:
            raise NoReplyError("words before the TLS handshake")
        self._sock = context.wrap_socket(self._sock, server_hostname=host)
        self.waited_for()

    def usable(self) -> bool:
        """Whether it is fresh and silent; words or an end on it mean that the server is gone."""
        if self._heard or time.monotonic() - self.idle_since > IDLE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def quit(self) -> None:
        """A polite end; nobody waits for the answer."""
        with contextlib.suppress(OSError):
            self._sock.sendall(b"QUIT\r\n")
        self.close()

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._sock.close()


def expect(reply: Reply, code: int, phase: str) -> Reply:
    """The reply, when it is the one that is needed to go on."""
    if reply.code != code:
        raise LastWordError(reply.told(phase))
    return reply


def _stuffed(data: bytes) -> bytes:
    """RFC 5321 §4.5.2: a line that begins with a dot gets one more."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
