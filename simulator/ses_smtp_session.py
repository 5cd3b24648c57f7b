"""One SMTP connection to the simulated SES: reads commands, lets faults strike, writes replies.

The words and rules are `ses_smtp`'s. A fault strikes a message: the first one of a connection when
it connects, each further one at its MAIL.
"""

import ssl
import traceback
from collections.abc import Callable
from contextlib import suppress
from socketserver import StreamRequestHandler
from typing import Any, NoReturn

from simulator import sabotage, ses, ses_rules
from simulator import ses_smtp as smtp
from simulator.faults import Fault
from simulator.ses_smtp import Envelope, Reply
from simulator.slam import reset_on_close
from simulator.state import State

#: SES hangs up on a client that is silent for so long.
PATIENCE_SECONDS = 10.0
LONGEST_COMMAND = 4096


class Session(StreamRequestHandler):
    """Commands in, replies out."""

    server: Any  # `simulator.server.Server`: this module is below it
    timeout = PATIENCE_SECONDS
    wbufsize = -1
    disable_nagle_algorithm = True
    #: With one, STARTTLS is offered and needed.
    tls: ssl.SSLContext | None = None
    #: TLS from the first byte instead.
    implicit = False

    @property
    def state(self) -> State:
        return self.server.state  # type: ignore[no-any-return]

    def handle(self) -> None:
        """Talk until either side has had enough."""
        self.secured = self.logged_in = self.over = False
        self.sender: str | None = None
        self.people: list[str] = []
        self._strike()
        self.waiting = True  # the fault that has struck is for a message that has not begun
        if self.tls is not None and self.implicit:
            self._secure(self.tls)
        self._say(smtp.GREETING)
        try:
            while not self.over:
                self._command()
        except TimeoutError:
            self._say(smtp.TIMED_OUT)

    def finish(self) -> None:
        """TLS has a socket of its own, which the server does not know."""
        super().finish()
        if self.secured:
            self.connection.close()

    def _command(self) -> None:
        line = self.rfile.readline(LONGEST_COMMAND)
        if not line.endswith(b"\n"):
            self.over = True
            return
        verb, _, rest = line.decode(errors="replace").strip().partition(" ")
        known: dict[str, Callable[[str], Reply | None]] = {
            "EHLO": self._hello, "HELO": self._hello, "STARTTLS": self._start_tls,
            "AUTH": self._log_in, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data,
            "RSET": self._reset, "NOOP": lambda _: smtp.OK, "QUIT": lambda _: smtp.BYE,
        }  # fmt: skip
        act = known.get(verb.upper())
        reply = smtp.UNKNOWN if act is None else act(rest)
        if reply is not None:
            self._say(reply)
        self.over = self.over or reply == smtp.BYE

    # -- who is there -----------------------------------------------------------------------

    def _hello(self, _rest: str) -> Reply:
        return smtp.offers(starttls=self.tls is not None and not self.secured)

    def _start_tls(self, _rest: str) -> Reply | None:
        if self.tls is None or self.secured:
            return smtp.UNKNOWN
        self._say(smtp.READY_FOR_TLS)
        self._secure(self.tls)
        return None

    def _secure(self, context: ssl.SSLContext) -> None:
        self.rfile.close()
        self.wfile.close()
        self.request = self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", self.wbufsize)
        self.secured = True

    def _log_in(self, rest: str) -> Reply:
        if self.tls is not None and not self.secured:
            return smtp.NO_TLS
        way, _, first = rest.partition(" ")
        if way.upper() == "PLAIN":
            _, _, both = smtp.plain(first or self._asked("")).partition("\0")
            user, _, secret = both.partition("\0")
        elif way.upper() == "LOGIN":
            user = smtp.plain(first or self._asked("VXNlcm5hbWU6"))
            secret = smtp.plain(self._asked("UGFzc3dvcmQ6"))
        else:
            return Reply(504, "Error: unrecognized authentication type")
        self.logged_in = smtp.knows(self.state, user, secret) and not self._has_bad_key()
        return smtp.LOGGED_IN if self.logged_in else self._counted(smtp.BAD_LOGIN)

    def _asked(self, words: str) -> str:
        self._say(Reply(334, words))
        return self.rfile.readline(LONGEST_COMMAND).decode(errors="replace").strip()

    # -- one message ------------------------------------------------------------------------

    def _mail(self, rest: str) -> Reply:
        if not self.logged_in:
            return smtp.NO_LOGIN
        if self.sender is not None:
            return smtp.OUT_OF_ORDER
        if not self.waiting:
            self._strike()
        self.waiting = False
        if self._has_bad_key():
            return self._counted(smtp.BAD_LOGIN)
        sender = smtp.path(rest, "FROM")
        if sender is None:
            return smtp.BAD_SENDER
        self.sender, self.people = sender, []
        return smtp.OK

    def _rcpt(self, rest: str) -> Reply:
        if self.sender is None:
            return smtp.OUT_OF_ORDER
        if len(self.people) == ses_rules.MAX_RECIPIENTS:
            return smtp.TOO_MANY
        person = smtp.path(rest, "TO")
        if person is None:
            return smtp.BAD_RECIPIENT
        self.people.append(person)
        return smtp.OK

    def _reset(self, _rest: str) -> Reply:
        self.sender = None
        return smtp.OK

    def _data(self, _rest: str) -> Reply | None:
        if self.sender is None or not self.people:
            return smtp.OUT_OF_ORDER
        self._say(smtp.GO_AHEAD)
        if self.fault is not None and self.fault.kind == "reset_early":
            self._slam()
        data = self._message()
        envelope = Envelope(self.sender, self.people)
        self.sender = None
        return self._answer(envelope, data, self.fault)

    def _message(self) -> bytes:
        """Everything up to the dot, which counts only as a line of its own between two CRLF."""
        lines: list[bytes] = []
        size, after_crlf = 0, True
        while True:
            line = self.rfile.readline()
            if not line:
                raise ConnectionAbortedError
            if after_crlf and line == b".\r\n":
                return b"".join(lines)
            after_crlf = line.endswith(b"\r\n")
            size += len(line)
            if size <= ses_rules.MAX_MESSAGE + len(line):  # one line more: it is seen as too long
                lines.append(line[1:] if line.startswith(b".") else line)

    def _answer(self, envelope: Envelope, data: bytes, fault: Fault | None) -> Reply | None:
        """SES' own answer, or what the fault makes of it; None: it was said."""
        if fault is None:
            return self._taken(envelope, data)
        if fault.kind == "partial":
            spared = fault.hits % int(fault.every)
            return self._taken(envelope, data) if spared else self._counted(smtp.NOT_NOW)
        taken = self._taken(envelope, data) if fault.takes_mail else None
        instead = smtp.words_of(fault.kind, self.state, envelope.sender)
        if instead is not None:
            return self._counted(instead)
        self.over = True
        self._break(taken or smtp.NOT_NOW, fault)
        return None

    def _taken(self, envelope: Envelope, data: bytes) -> Reply:
        try:
            return self._counted(smtp.take(self.state, envelope, data))
        except Exception:  # noqa: BLE001 - a bug here must show as an answer
            traceback.print_exc()
            return self._counted(Reply(451, "this is a bug of the simulator; see its output"))

    def _counted(self, reply: Reply) -> Reply:
        self.state.meters.answered(ses.NAME, reply.code)
        return reply

    # -- faults -----------------------------------------------------------------------------

    def _strike(self) -> None:
        struck = self.state.faults.strike(ses.NAME, sends=True)
        for fault in struck:
            if fault.kind == "latency":
                self.server.stopping.wait(fault.milliseconds / 1000)
        self.fault = next((fault for fault in struck if fault.kind != "latency"), None)
        if self.fault is not None and self.fault.kind == "refuse":
            self._slam()

    def _has_bad_key(self) -> bool:
        return self.fault is not None and self.fault.kind == "bad_key"

    def _break(self, reply: Reply, fault: Fault) -> None:
        """Do to the reply what the fault says, and hang up."""
        if fault.kind == "slow":
            for byte in reply.raw:
                self._raw(bytes((byte,)))
                if self.server.stopping.wait(fault.milliseconds / 1000):
                    break
        elif fault.kind == "truncated":
            self._raw(reply.raw[:2])
        elif fault.kind == "empty_200":
            self._raw(b"250\r\n")
        elif fault.kind in ("hang", "accepted_hang", "reset", "accepted_reset"):
            if "hang" in fault.kind:
                self.server.stopping.wait(fault.hold_seconds)
            self._slam()
        else:  # a gateway's page, or something else that is not SMTP
            self._raw(sabotage.JUNK + b"\r\n")

    def _say(self, reply: Reply) -> None:
        self._raw(reply.raw)

    def _raw(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _slam(self) -> NoReturn:
        self.state.meters.answered(ses.NAME, 0)
        reset_on_close(self.connection)
        with suppress(OSError):
            self.rfile.close()
            self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError
