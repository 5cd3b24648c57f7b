"""SES' SMTP interface as Python's own client meets it."""

import contextlib
import shutil
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator import ses_smtp, ses_smtp_session
from simulator.server import Server
from simulator.state import State
from tests.services.smtp_script import own_certificate
from tests.simulator.receiver import Receiver
from tests.simulator.rig import Rig, eventually

Json = Any
TAGS = "send_id=s-1, campaign=c1"


def letter(to: str = "ann@x.example", sender: str = "news@a.example", **headers: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"News <{sender}>", to, "Hello"
    mail["X-SES-MESSAGE-TAGS"] = TAGS
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Hi\n.\n..dots\n")
    mail.add_alternative('<a href="https://a.example/p">see</a>', subtype="html")
    return bytes(mail).replace(b"\n", b"\r\n")


@contextmanager
def client(rig: Rig, *, log_in: bool = True) -> Iterator[smtplib.SMTP]:
    keys = rig.keys["ses"]
    with smtplib.SMTP(keys["smtp_host"], keys["smtp_port"], timeout=5) as line:
        if log_in:
            line.login(keys["access_key_id"], smtp_password(rig))
        yield line


def smtp_password(rig: Rig) -> str:
    """AWS' own algorithm is in the product; here the simulator is asked for what it expects."""
    return ses_smtp.password_of(rig.keys["ses"]["secret_access_key"], rig.keys["ses"]["region"])


def say(
    line: smtplib.SMTP, data: bytes, to: str = "ann@x.example", sender: str = "news@a.example"
) -> tuple[int, str]:
    """The last reply."""
    code, words = line.mail(sender)
    if code == 250:
        code, words = line.rcpt(to)
    if code != 250:
        line.rset()
        return code, words.decode()
    code, words = line.data(data)
    return code, words.decode()


def test_a_message_arrives_as_it_was_sent(rig: Rig) -> None:
    with client(rig) as line:
        code, words = say(line, letter(List_Unsubscribe="<https://a.example/u/1>"))
    assert code == 250
    [mail] = rig.messages(esp="ses")
    assert words == f"Ok {mail['message_id']}"
    assert (mail["send_id"], mail["campaign"], mail["address"]) == ("s-1", "c1", "ann@x.example")
    assert (mail["from"], mail["subject"]) == ("News <news@a.example>", "Hello")
    assert mail["text"] == "Hi\n.\n..dots"
    assert mail["html"] == '<a href="https://a.example/p">see</a>'
    assert mail["headers"]["List-Unsubscribe"] == "<https://a.example/u/1>"
    assert not any(name.lower().startswith("x-ses") for name in mail["headers"])
    assert rig.get("/_stats")["esps"]["ses"]["answers"] == {"250": 1}


def test_it_offers_what_ses_offers(rig: Rig) -> None:
    with client(rig, log_in=False) as line:
        line.ehlo()
        assert set(line.esmtp_features) == {"8bitmime", "auth", "ok"}


@pytest.mark.parametrize("user", ["", "AKIAWRONG"])
def test_a_wrong_login_is_refused(rig: Rig, user: str) -> None:
    with client(rig, log_in=False) as line, pytest.raises(smtplib.SMTPAuthenticationError) as no:
        line.login(user or rig.keys["ses"]["access_key_id"], "wrong")
    assert no.value.smtp_code == 535


def test_without_login_nothing_is_taken(rig: Rig) -> None:
    with client(rig, log_in=False) as line:
        line.ehlo()
        assert line.mail("a@x.example")[0] == 530


@pytest.mark.parametrize("way", ["PLAIN", "LOGIN"])
def test_both_ways_to_log_in(rig: Rig, way: str) -> None:
    with client(rig, log_in=False) as line:
        line.ehlo()
        line.esmtp_features["auth"] = way
        keys = rig.keys["ses"]
        assert line.login(keys["access_key_id"], smtp_password(rig))[0] == 235


@pytest.mark.parametrize(
    "verb, code", [("RCPT TO:<a@x.example>", 503), ("DATA", 503), ("VRFY a", 500), ("RSET", 250),
                   ("NOOP", 250), ("MAIL FROM:<no>", 501), ("MAIL FROM:<a b@x.example>", 501),
                   ("STARTTLS", 500), ("AUTH CRAM-MD5", 504)],
)  # fmt: skip
def test_commands_out_of_order_and_unknown_ones(rig: Rig, verb: str, code: int) -> None:
    with client(rig) as line:
        assert line.docmd(verb)[0] == code
        assert say(line, letter())[0] == 250


@pytest.mark.parametrize("to", ["nobody", "a b@x.example", "a@x"])
def test_an_illegal_address_is_refused_at_once(rig: Rig, to: str) -> None:
    with client(rig) as line:
        line.mail("news@a.example")
        assert line.docmd(f"RCPT TO:<{to.encode().decode('latin-1')}>")[0] == 501


@pytest.mark.parametrize(
    "data, words",
    [
        (b"Subject: x\r\n\r\nx\r\n", "Missing"),
        (letter().replace(b"Subject", b"From: b@x.example\r\nSubject"), "Duplicate header 'From'"),
        (letter().replace(TAGS.encode(), b"send_id=not:legal"), "Invalid tag"),
        (b"From: a@x.example\r\n\r\n" + b"x" * 1000 + b"\r\n", "lines"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_after_the_dot(
    rig: Rig, data: bytes, words: str
) -> None:
    with client(rig) as line:
        code, said = say(line, data)
        assert code == 554
        assert words in said
        assert say(line, letter())[0] == 250
    assert rig.accepted("ses") == 1


def test_bare_line_ends_end_nothing(rig: Rig) -> None:
    """A dot counts between two CRLF only (CVE-2023-51764 and its like)."""
    keys = rig.keys["ses"]
    with client(rig) as line:
        line.mail("news@a.example")
        line.rcpt("ann@x.example")
        line.docmd("DATA")
        for trick in (b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r"):
            line.send(b"From: a@x.example\r\n\r\nx" + trick + b"MAIL FROM:<eve@x.example>\r\n")
        line.send(b"\r\n.\r\n")
        code, words = line.getreply()
    assert (code, b"lines of SMTP" in words) == (554, True)
    assert keys["smtp_port"]
    assert rig.accepted("ses") == 0


def test_limits_hold_as_over_the_api(rig: Rig) -> None:
    rig.limits("ses", daily_quota=2)
    with client(rig) as line:
        said = [say(line, letter()) for _ in range(3)]
        assert [code for code, _ in said] == [250, 250, 454]
        assert "Daily message quota exceeded" in said[2][1]
        rig.limits("ses", daily_quota=None, rate_per_second=0)
        assert "Maximum sending rate exceeded" in say(line, letter())[1]
        rig.limits("ses", rate_per_second=None, verified_senders=["a.example"])
        assert say(line, letter())[0] == 250
        for sender in ("eve@b.example", "news@a.example"):
            code, words = say(line, letter(sender="eve@b.example"), sender=sender)
            assert (code, "eve@b.example" in words) == (554, True)


def test_events_are_told_as_over_the_api(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url)
    assert rig.call("POST", "/_subscribe")[0] == 200
    with client(rig) as line:
        for local in ("hard+ann", "click+bob", "reject+eve"):
            say(line, letter(f"{local}@x.example"), f"{local}@x.example")
    eventually(lambda: rig.get("/_stats")["total"]["events_pending"] == 0)
    assert {event["kind"] for event in rig.get("/_events")["items"]} == {
        "processed", "hard", "delivered",
    }  # fmt: skip


def test_a_listed_address_is_taken_and_never_reached(rig: Rig) -> None:
    rig.limits("ses", suppression=True)
    with client(rig) as line:
        for _ in range(2):
            assert say(line, letter("hard+a@x.example"), "hard+a@x.example")[0] == 250
    assert {mail["outcome"] for mail in rig.messages()} == {"hard", "suppressed"}


@pytest.mark.parametrize(
    "kind, code", [("error_500", 451), ("accepted_500", 451), ("error_503", 454), ("throttle", 454),
                   ("quota", 454), ("suspended", 554), ("unverified_sender", 554),
                   ("payload_too_large", 552), ("bad_key", 535)],
)  # fmt: skip
def test_faults_in_words(rig: Rig, kind: str, code: int) -> None:
    with client(rig) as line:
        assert say(line, letter())[0] == 250
        rig.fault(kind, esp="ses", count=1)
        assert say(line, letter())[0] == code
    assert rig.accepted("ses") == (2 if kind == "accepted_500" else 1)


@pytest.mark.parametrize(
    "kind, taken", [("refuse", 0), ("reset_early", 0), ("reset", 0), ("accepted_reset", 1),
                    ("malformed", 1), ("error_502", 0)],
)  # fmt: skip
def test_faults_on_the_wire(rig: Rig, kind: str, taken: int) -> None:
    rig.fault(kind, esp="ses")
    said = -1  # smtplib's own code for what is no reply
    with contextlib.suppress(smtplib.SMTPException, OSError), client(rig) as line:
        said, _ = say(line, letter())
    assert said == -1
    assert rig.accepted("ses") == taken


def test_some_of_many_fail(rig: Rig) -> None:
    rig.fault("partial", esp="ses", every=3)
    with client(rig) as line:
        assert [say(line, letter())[0] for _ in range(6)] == [250, 250, 454, 250, 250, 454]


def test_it_waits_first_when_told_to(rig: Rig) -> None:
    rig.fault("latency", esp="ses", milliseconds=30, count=3)
    with client(rig) as line:
        assert say(line, letter())[0] == 250
        assert say(line, letter())[0] == 250
    [fault] = rig.get("/_faults")["items"]
    assert fault["hits"] == 2, "the first of a connection is struck when it connects"


def test_who_is_silent_is_told_and_left(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ses_smtp_session.Session, "timeout", 0.2)
    with client(rig) as line:
        assert line.file is not None
        assert line.file.readline().startswith(b"451 4.4.2 Timeout")
        assert line.file.readline() == b""


def test_the_port_stays_over_a_restart_unless_somebody_took_it(db: Path) -> None:
    with simulator.start(db) as running:
        port = running.state.smtp[1]
    with simulator.start(db) as running:
        assert running.state.smtp[1] == port
    with socket.create_server(("127.0.0.1", port)), simulator.start(db) as running:
        assert running.state.smtp[1] not in (0, port)


@pytest.mark.parametrize("implicit", [False, True])
def test_with_a_certificate_it_speaks_tls_and_nothing_else(
    keyed_db: Path, tmp_path: Path, implicit: bool
) -> None:
    context, believed = own_certificate(tmp_path)
    tls = type("Tls", (ses_smtp_session.Session,), {"tls": context, "implicit": implicit})
    state = State(shutil.copy(keyed_db, tmp_path / "simulator.db"))
    server = Server(("127.0.0.1", 0), state, tls)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    secret = ses_smtp.password_of(state.keys.ses_secret_access_key, state.keys.ses_region)
    try:
        if implicit:
            line: smtplib.SMTP = smtplib.SMTP_SSL(
                "127.0.0.1", server.server_port, context=believed(), timeout=5
            )
        else:
            line = smtplib.SMTP("127.0.0.1", server.server_port, timeout=5)
            line.ehlo()
            assert line.docmd("AUTH PLAIN AAAA")[0] == 530
            line.starttls(context=believed())
        with line:
            line.login(state.keys.ses_access_key_id, secret)
            assert say(line, letter())[0] == 250
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        state.log.close()
