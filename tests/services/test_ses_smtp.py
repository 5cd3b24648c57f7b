"""SES' adapter over SMTP: the contract, and what only SMTP does."""

import base64
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from config.esp_config import SES_SMTP_FACTS
from mail.message import Attachment
from services import smtp_wire
from services.amazon_ses import AmazonSes
from services.esp import (
    Accepted,
    Batch,
    Capabilities,
    Esp,
    InDoubt,
    Misconfigured,
    NotTried,
    Refused,
    Rejected,
    Suspended,
    Throttled,
    Unavailable,
)
from services.ses_client import AwsKeys
from services.ses_smtp import AT_ONCE, SesSmtp, endpoint, password
from services.smtp_line import Line
from services.words import QuotaSpent
from simulator import Running
from tests.services.esp_contract import NONCE, content, kinds, message, only, people
from tests.services.ses_contract import SesContract
from tests.services.smtp_script import (
    CLOSE,
    OFFERS,
    RESET,
    SILENCE,
    ScriptedSmtp,
    own_certificate,
)


def wait_for(done: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def capabilities(**changes: Any) -> Capabilities:
    return Capabilities(**SES_SMTP_FACTS.fields() | changes)


class TestSesSmtp(SesContract):
    def make(self, simulator: Running, **changes: Any) -> Esp:
        url = urlsplit(changes.pop("base_url", "//{}:{}".format(*simulator.state.smtp)))
        trusted = self.topics(simulator) if changes.pop("webhooks", True) else None
        api = AmazonSes(capabilities(), keys=self.keys(simulator), topics=trusted)
        changes.pop("batch_size", None)  # there is always one message a request
        given = changes.pop("capabilities", None)
        fits = {"max_bytes": given.max_bytes} if given else {}
        server = endpoint(
            changes.pop("keys", self.keys(simulator)), simulator.state.keys.ses_region,
            url.hostname, url.port or 0,
        )  # fmt: skip
        return SesSmtp(capabilities(**fits), server, api, **changes)

    def with_wrong_key(self, simulator: Running) -> tuple[Esp, str]:
        keys = self.keys(simulator)._replace(secret_access_key="wrong/secret")
        region = simulator.state.keys.ses_region
        return self.make(simulator, keys=keys), password("wrong/secret", region)

    def read(self, text: str) -> str:
        """Mail is read in lines, of which the last one needs no end."""
        return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")

    def test_no_request_has_more_messages_than_the_batch_size(self, simulator: Running) -> None:
        """Whatever the batch size is: SMTP carries one."""
        report = self.make(simulator).send(Batch(content(), people(20)))
        assert [call.messages for call in report.calls] == [1] * 20

    def test_too_large_is_cut_smaller(self, simulator: Running, esp: Esp) -> None:
        """What cannot be cut is refused, and nobody else with it."""
        self.fault(simulator, "payload_too_large", count=2)
        report = esp.send(Batch(content(), people(16)))
        assert kinds(report) == [Refused] * 2 + [Accepted] * 14

    def test_some_entries_fail(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "partial", every=4)
        report = esp.send(Batch(content(), people(12)))
        assert kinds(report) == [Accepted] * 3 + [Unavailable] + [NotTried] * 8
        assert len(self.arrived(simulator)) == 3

    @pytest.mark.parametrize("kind", ["malformed", "truncated", "empty_200"])
    def test_an_answer_that_cannot_be_read(self, simulator: Running, esp: Esp, kind: str) -> None:
        self.fault(simulator, kind)
        assert isinstance(only(esp.send(Batch(content(), people(3)))), InDoubt)


# --- what only a scripted server does -------------------------------------------------------------


def adapter(server: ScriptedSmtp, **settings: Any) -> SesSmtp:
    keys = AwsKeys("AKIAEXAMPLE", "secret")
    starttls = settings.pop("starttls", True)
    its = endpoint(keys, "us-east-1", "127.0.0.1", server.port, starttls=starttls)
    api = AmazonSes(capabilities(), keys=keys)
    can = settings.pop("capabilities", capabilities())
    return SesSmtp(can, its, api, **{"timeout_seconds": 5.0} | settings)


def outcome(server: ScriptedSmtp, batch: Batch | None = None, **settings: Any) -> Any:
    """Of one message."""
    report = adapter(server, **settings).send(batch or Batch(content(), people(1)))
    assert len(report.outcomes) == 1
    return report.outcomes[0]


@pytest.mark.parametrize(
    "secret, region, expected",
    [
        ("some+secret+key", "eu-central-1", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"),
        ("another+secret+key", "eu-central-1", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
        ("some+secret+key", "us-west-1", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
        ("another+secret+key", "us-west-1", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
    ],
)
def test_the_password_is_the_documented_one(secret: str, region: str, expected: str) -> None:
    """The values are those that Terraform's AWS provider is tested with."""
    assert password(secret, region) == expected


def test_the_endpoint_is_the_regions() -> None:
    its = endpoint(AwsKeys("AKIA", "secret"), "eu-west-1")
    assert (its.host, its.port, its.username) == ("email-smtp.eu-west-1.amazonaws.com", 587, "AKIA")
    assert its.password not in repr(its)


@pytest.mark.parametrize("how", [CLOSE, RESET])
@pytest.mark.parametrize("step", ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
def test_what_ends_before_the_dot_was_certainly_not_taken(step: str, how: str) -> None:
    with ScriptedSmtp({step: [how]}) as server:
        assert type(outcome(server)) is Unavailable
        assert not server.messages
        assert server.connections == 1


@pytest.mark.parametrize(
    "words", [CLOSE, RESET, "25", "250", "250 Ok", "250 Ok short", "<html>", "999 what", "150 Ok x",
              "250-Ok 0100018f-aa-000000\r\n251 Ok", "354 go", "220 Ok 0100018f-aa-000000"],
)  # fmt: skip
def test_after_the_dot_all_but_an_answer_that_names_the_message_is_doubt(words: str) -> None:
    with ScriptedSmtp({"END": [words]}) as server:
        assert type(outcome(server)) is InDoubt
        assert len(server.messages) == 1


def test_after_the_dot_silence_is_doubt() -> None:
    with ScriptedSmtp({"END": [SILENCE]}) as server:
        assert type(outcome(server, timeout_seconds=0.4)) is InDoubt


@pytest.mark.parametrize("step", ["GREETING", "AUTH", "MAIL", "DATA"])
def test_who_is_given_up_before_the_dot_never_says_it(step: str) -> None:
    """The server answers after all, when nobody waits any more."""
    with ScriptedSmtp({step: [SILENCE]}) as server:
        assert type(outcome(server, timeout_seconds=0.4)) is Unavailable
        server.released.set()
        wait_for(lambda: server.open_now == 0)
        assert not server.messages


@pytest.mark.parametrize(
    "step, words, expected",
    [
        ("GREETING", "421 Too many concurrent SMTP connections", Throttled),
        ("GREETING", "421 closing", Unavailable), ("GREETING", "554 no service", Unavailable),
        ("EHLO", "500 what?", Unavailable), ("AUTH", "535 Authentication Credentials Invalid",
         Misconfigured), ("AUTH", "535 Account not subscribed to SES", Misconfigured),
        ("AUTH", "454 Temporary authentication failure", Unavailable),
        ("AUTH", "504 no such way", Misconfigured),
        ("MAIL", "530 Authentication required", Misconfigured),
        ("MAIL", "501 Invalid MAIL FROM address provided", Refused),
        ("MAIL", "451 Temporary service failure", Unavailable),
        ("RCPT", "501 Invalid RCPT TO address provided", Rejected), ("RCPT", "550 no", Rejected),
        ("RCPT", "553 no", Rejected), ("RCPT", "450 later", Unavailable),
        ("DATA", "451 Temporary service failure", Unavailable), ("DATA", "554 no", Refused),
        ("DATA", "250 Ok 0100018f-aa-000000", Unavailable),
        ("END", "454 Throttling failure: Maximum sending rate exceeded.", Throttled),
        ("END", "454 Throttling failure: Daily message quota exceeded.", QuotaSpent),
        ("END", "454 Temporary service failure", Unavailable),
        ("END", "451 4.4.2 Timeout waiting for data from client.", Unavailable),
        ("END", "451 Temporary service failure", InDoubt), ("END", "421 closing", InDoubt),
        ("END", "450 later", InDoubt), ("END", "552 Message is too long.", Refused),
        ("END", "554 Access denied: User `x' is not authorized to perform `ses:SendRawEmail'",
         Misconfigured),
        ("END", "554 Message rejected: Email address is not verified. The following …", Refused),
        ("END", "554 Message rejected: Sending paused for this account. For more …", Suspended),
        ("END", "554 Email sending is disabled for configuration set x", Suspended),
        ("END", "554 Configuration set <x> does not exist.", Misconfigured),
        ("END", "554 Transaction failed: Missing final '@domain'", Rejected),
        ("END", "554 Transaction failed: illegal characters in user name: '…'.", Rejected),
        ("END", "554 Transaction failed: something: '<person0@example.org>'.", Rejected),
        ("END", "554 Transaction failed: Duplicate header 'DKIM-Signature'.", Refused),
        ("END", "550-several\r\n550 lines", Refused),
    ],
)  # fmt: skip
def test_what_a_reply_means(step: str, words: str, expected: Any) -> None:
    with ScriptedSmtp({step: [words]}) as server:
        error = outcome(server)
        taken = server.messages if step == "END" else []
    kind, spent = (Throttled, True) if expected is QuotaSpent else (expected, False)
    assert type(error) is kind
    assert getattr(error, "quota_spent", False) is spent
    assert len(taken) == (step == "END")
    assert error.code == words[:3]


def test_no_reply_brings_the_password_into_the_words() -> None:
    secret = password("secret", "us-east-1")
    with ScriptedSmtp({"AUTH": [f"535 no: {secret} of AKIAEXAMPLE"]}) as server:
        assert str(outcome(server)) == "535: no: [secret] of [secret]"


# -- kept connections


def test_a_connection_is_kept_and_a_dead_one_is_seen_before_it_is_used() -> None:
    with ScriptedSmtp() as server:
        esp = adapter(server)
        for _ in range(3):
            assert kinds(esp.send(Batch(content(), people(2)))) == [Accepted] * 2
        assert server.connections == 1
        server.says["MAIL"] = [CLOSE]  # as good as dead, but it does not show yet
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        assert server.connections == 2
        assert len(server.messages) == 7


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("words", [CLOSE, RESET, "421 bye", "451 4.4.2 Timeout waiting", "junk"])
def test_a_kept_connection_that_dies_before_the_message_is_replaced_once(
    step: str, words: str
) -> None:
    with ScriptedSmtp() as server:
        esp = adapter(server)
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        server.says[step] = [words, words]
        assert kinds(esp.send(Batch(content(), people(1)))) == [Unavailable]
        server.says[step] = [words]
        assert kinds(esp.send(Batch(content(), people(1)))) == [Unavailable]  # it was a fresh one
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        server.says[step] = [words]
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        assert len(server.messages) == 3


def test_once_the_message_has_begun_nothing_is_repeated() -> None:
    with ScriptedSmtp() as server:
        esp = adapter(server)
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        server.says["END"] = [CLOSE]
        assert kinds(esp.send(Batch(content(), people(1)))) == [InDoubt]
        assert (server.connections, len(server.messages)) == (1, 2)


def test_an_idle_connection_that_the_server_has_closed_is_not_used() -> None:
    with ScriptedSmtp() as server:
        esp = adapter(server)
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        for one in server._sockets:
            one.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: server.open_now == 0)
        assert kinds(esp.send(Batch(content(), people(1)))) == [Accepted]
        assert [words.split()[0] for words in server.heard].count("MAIL") == 2


def test_after_a_refused_address_the_connection_is_reset_and_used_again() -> None:
    with ScriptedSmtp({"RCPT": ["550 no"]}) as server:
        report = adapter(server).send(Batch(content(), people(2)))
        assert kinds(report) == [Rejected, Accepted]
        verbs = [words.split()[0] for words in server.heard]
        assert verbs == ["EHLO", "AUTH", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]
        assert server.connections == 1


def test_a_connection_ends_after_its_share_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_wire, "MESSAGES_PER_CONNECTION", 3)
    with ScriptedSmtp() as server:
        assert set(kinds(adapter(server).send(Batch(content(), people(7))))) == {Accepted}
        assert server.connections == 3


def test_there_are_never_more_connections_than_allowed() -> None:
    with ScriptedSmtp(pause=0.03) as server:
        esp = adapter(server)
        with ThreadPoolExecutor(6) as pool:
            reports = list(pool.map(esp.send, [Batch(content(), people(20))] * 6))
        assert all(set(kinds(report)) == {Accepted} for report in reports)
        assert 1 < server.most_at_once <= smtp_wire.CONNECTIONS


def test_who_finds_all_connections_busy_until_the_deadline_was_not_tried() -> None:
    with ScriptedSmtp({"END": [SILENCE] * smtp_wire.CONNECTIONS}) as server:
        esp = adapter(server)
        with ThreadPoolExecutor(smtp_wire.CONNECTIONS) as pool:
            busy = [pool.submit(esp.send, Batch(content(), people(1)))
                    for _ in range(smtp_wire.CONNECTIONS)]  # fmt: skip
            wait_for(lambda: len(server.messages) == smtp_wire.CONNECTIONS)
            soon = time.monotonic() + 0.2
            report = esp.send(Batch(content(), people(2), deadline=soon))
            assert kinds(report) == [NotTried] * 2
            server.released.set()
            assert all(kinds(one.result()) == [Accepted] for one in busy)


def test_a_far_server_gets_several_messages_at_once_but_a_careful_batch_goes_one_by_one() -> None:
    with ScriptedSmtp(pause=0.05) as server:
        assert set(kinds(adapter(server).send(Batch(content(), people(24))))) == {Accepted}
        assert server.most_at_once == AT_ONCE
    with ScriptedSmtp(pause=0.05) as server:
        report = adapter(server).send(Batch(content(), people(4), careful=True))
        assert set(kinds(report)) == {Accepted}
        assert server.most_at_once == 1


def test_after_doubt_no_further_message_begins() -> None:
    with ScriptedSmtp({"END": [CLOSE]}) as server:
        report = adapter(server).send(Batch(content(), people(9)))
        assert kinds(report) == [InDoubt] + [NotTried] * 8
        assert len(server.messages) == 1


# -- TLS


def test_starttls_comes_before_the_password(tmp_path: Path) -> None:
    context, believed = own_certificate(tmp_path)
    with ScriptedSmtp(tls=context) as server:
        report = adapter(server, tls=believed).send(Batch(content(), people(2)))
        assert kinds(report) == [Accepted] * 2
        assert [words.split()[0] for words in server.heard[:4]] == [
            "EHLO", "STARTTLS", "EHLO", "AUTH",
        ]  # fmt: skip


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    context, believed = own_certificate(tmp_path)
    with ScriptedSmtp(tls=context, implicit=True) as server:
        report = adapter(server, tls=believed, starttls=False).send(Batch(content(), people(2)))
        assert kinds(report) == [Accepted] * 2
        assert server.connections == 1


@pytest.mark.parametrize("implicit", [False, True])
def test_a_certificate_that_is_not_believed_gets_no_password(
    tmp_path: Path, implicit: bool
) -> None:
    context, _ = own_certificate(tmp_path)
    with ScriptedSmtp(tls=context, implicit=implicit) as server:
        error = outcome(server, starttls=not implicit)
        assert type(error) is Unavailable
        assert "certificate" in str(error)
        assert not any(words.startswith("AUTH") for words in server.heard)


def test_without_tls_nothing_is_said_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "on_loopback", lambda _: False)
    with ScriptedSmtp() as server:
        error = outcome(server)
        assert type(error) is Misconfigured
        assert error.code == "STARTTLS"
        assert [words.split()[0] for words in server.heard] == ["EHLO"]


def test_words_smuggled_in_before_tls_end_the_connection(tmp_path: Path) -> None:
    context, believed = own_certificate(tmp_path)
    smuggled = "220 go\r\n250-me\r\n250 AUTH PLAIN"
    with ScriptedSmtp({"STARTTLS": [smuggled]}, tls=context) as server:
        assert type(outcome(server, tls=believed)) is Unavailable
        assert not any(words.startswith("AUTH") for words in server.heard)


def test_the_older_way_to_log_in() -> None:
    """The words of AUTH LOGIN are base64 and come without a verb."""
    user, secret = (
        base64.b64encode(words.encode()).decode()
        for words in ("AKIAEXAMPLE", password("secret", "us-east-1"))
    )
    says = {
        "AUTH": ["334 VXNlcm5hbWU6"], user.upper(): ["334 UGFzc3dvcmQ6"], secret.upper(): ["235 in"]
    }  # fmt: skip
    with ScriptedSmtp(says, offers=("AUTH LOGIN",)) as server:
        assert type(outcome(server)) is Accepted
    with ScriptedSmtp(offers=("AUTH CRAM-MD5",)) as server:
        assert type(outcome(server)) is Misconfigured


# -- addresses and headers


@pytest.mark.parametrize(
    "to", ["a>\r\nRCPT TO:<b@x.example", "a\nb@x.example", "a\x00@x.example", "a> X=Y@x.example",
           "<a@x.example", "ünal@" + "ü" * 80 + ".example"],
)  # fmt: skip
def test_no_address_ends_the_command(to: str) -> None:
    with ScriptedSmtp() as server:
        error = outcome(server, Batch(content(), [message(0, to)]))
        assert type(error) is Rejected
        assert server.connections == 0


def test_a_local_part_of_another_script_needs_smtputf8() -> None:
    people = [message(0, "ünal@bücher.example"), message(1, "ann@bücher.example")]
    with ScriptedSmtp() as server:
        report = adapter(server).send(Batch(content(), people))
        assert kinds(report) == [Rejected, Accepted]
        assert "RCPT TO:<ann@xn--bcher-kva.example>" in server.heard
        assert b"\r\nTo: ann@xn--bcher-kva.example\r\n" in server.messages[0]
    with ScriptedSmtp(offers=(*OFFERS, "SMTPUTF8")) as server:
        assert kinds(adapter(server).send(Batch(content(), people))) == [Accepted] * 2
        assert "MAIL FROM:<news@example.com> SMTPUTF8 BODY=8BITMIME" in server.heard
        assert "RCPT TO:<ünal@xn--bcher-kva.example>" in server.heard


def test_the_size_is_told_where_it_is_asked_for() -> None:
    with ScriptedSmtp(offers=(*OFFERS, "SIZE 10485760")) as server:
        assert type(outcome(server)) is Accepted
        assert f"MAIL FROM:<news@example.com> SIZE={len(server.messages[0])}" in server.heard


def test_a_header_that_would_be_two_fails_its_person_alone() -> None:
    bad = message(0)._replace(headers=("<https://x.example>\r\nBcc: eve@x.example",))
    with ScriptedSmtp() as server:
        report = adapter(server).send(Batch(content(), [bad, message(1)]))
        assert kinds(report) == [Rejected, Accepted]
        assert b"eve@" not in server.messages[0]


def test_a_header_of_the_content_that_would_be_two_refuses_the_content() -> None:
    with ScriptedSmtp() as server:
        odd = content(headers=(("List-Id", "<x>\r\nBcc: eve@x.example"),))
        assert type(outcome(server, Batch(odd, people(1)))) is Refused
        assert server.connections == 0


def test_what_ses_reads_stands_in_its_headers() -> None:
    with ScriptedSmtp() as server:
        assert type(outcome(server, configuration_set="campaigns")) is Accepted
    mail = message_from_bytes(server.messages[0], policy=policy.default)
    assert mail["X-SES-CONFIGURATION-SET"] == "campaigns"
    assert mail["X-SES-MESSAGE-TAGS"] == f"send_id={NONCE}-0, campaign=campaign-42"
    assert mail["Message-ID"] is None


def test_lines_of_dots_arrive_and_end_nothing() -> None:
    text = ".\n..\n.x\n\n.\r\nMAIL FROM:<eve@x.example>\r\n"
    with ScriptedSmtp() as server:
        dots = content(html=None, text=("", 0), slot_count=1, attachments=())
        assert type(outcome(server, Batch(dots, [message(0, slots=(text,))]))) is Accepted
        assert len([words for words in server.heard if words.startswith("MAIL")]) == 1
    stuffed = server.messages[0]
    assert b"\r\n.\r\n" not in stuffed
    mail = message_from_bytes(stuffed.replace(b"\r\n..", b"\r\n."), policy=policy.default)
    assert mail.get_content().replace("\r\n", "\n").rstrip("\n") == (
        text.replace("\r\n", "\n").rstrip("\n")
    )


def test_a_message_over_the_limit_is_refused_and_not_sent() -> None:
    with ScriptedSmtp() as server:
        esp = adapter(server, capabilities=capabilities(max_bytes=20_000))
        report = esp.send(Batch(content(), [message(0, slots=("x", "y" * 20_000)), message(1)]))
        assert kinds(report) == [Refused, Accepted]
        assert len(server.messages) == 1


def test_files_travel_with_the_message() -> None:
    file = Attachment("invoice ä.pdf", "application/pdf", b"%PDF\x00\xff\r\n.\r\n")
    with ScriptedSmtp() as server:
        assert type(outcome(server, Batch(content(attachments=(file,)), people(1)))) is Accepted
    mail: Any = message_from_bytes(server.messages[0], policy=policy.default)
    [part] = mail.iter_attachments()
    assert (part.get_filename(), part.get_content_type()) == ("invoice ä.pdf", "application/pdf")
    assert part.get_content() == file.content
    assert mail.get_body(("html",)).get_content().strip() == "<p>Hi Ann0, you are number 0</p>"
