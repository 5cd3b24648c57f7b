"""What every adapter must do, proven over real HTTP against the simulator of its ESP."""

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from config.esp_config import ESP_FACTS
from database.models import BounceKind, EventKind, Lane
from mail.message import Attachment, Content, Message, fill
from services.esp import (
    Accepted,
    Batch,
    Capabilities,
    Esp,
    EspError,
    EspEvent,
    InDoubt,
    Misconfigured,
    NotTried,
    Outcome,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    WebhookNotConfigured,
    WebhookRefused,
    WebhookRequest,
)
from simulator import Running, mailbox, start
from simulator.esps import ESPS
from simulator.wire import Json

NONCE = "abcd2345"


def content(**changes: Any) -> Content:
    """A campaign with two slots in each part."""
    fields: dict[str, Any] = {
        "nonce": NONCE, "campaign_id": 42,
        "from_email": "news@example.com", "from_name": "News", "reply_to": "reply@example.com",
        "subject": ("Hello ", 0), "html": ("<p>Hi ", 0, ", you are ", 1, "</p>"),
        "text": ("Hi ", 0, ", you are ", 1), "slot_count": 2,
        "headers": (("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),),
        "personal_headers": ("List-Unsubscribe",),
    }  # fmt: skip
    return Content(**fields | changes)


def message(n: int, to: str | None = None, slots: tuple[str, ...] | None = None) -> Message:
    link = f"<https://news.example.com/u/{n}>"
    return Message(
        f"{NONCE}-{n}", to or f"person{n}@example.org", slots or (f"Ann{n}", f"number {n}"), (link,)
    )


def people(count: int) -> list[Message]:
    return [message(n) for n in range(count)]


def kinds(report: Report) -> list[type[Outcome]]:
    return [type(outcome) for outcome in report.outcomes]


def only(report: Report) -> EspError:
    """The one error of all messages whose request was made."""
    tried = [outcome for outcome in report.outcomes if not isinstance(outcome, NotTried)]
    assert len(tried) == sum(call.messages for call in report.calls)
    assert len(set(map(type, tried))) == 1
    error = tried[0]
    assert isinstance(error, EspError)
    return error


def capabilities(name: str, **changes: Any) -> Capabilities:
    return Capabilities(**ESP_FACTS[name].fields() | changes)


HOSTILE = (
    "{{7*7}}", "{{s0}}", "{{ s1 }}", "{", "}}", "{{{x}}}", "\\{{s0}}", "-s0-", "-n0-", "-name-",
    "[unsubscribe]", "<%asm_group_unsubscribe_raw_url%>", "{{{ pm:unsubscribe }}}",
    "%s %b %(x)s %%",
    "${x} $1 \\1", '"quoted" \\ back\\slash\\', "\x7f delete \x7f\x7f", "line\nline\r\n\ttab",
    "Zoë Ünïcode 中文 🎉 \u202ertl", "nul\x00 \\u0000 \\x7f", "&amp; <b> '", "", " ", "a" * 3000,
)  # fmt: skip


def _without_times(told: Json) -> Json:
    if not isinstance(told, dict):
        return told
    times = ("timestamp", "DeliveredAt")
    return {name: _without_times(value) for name, value in told.items() if name not in times}


class EspContract:
    """Inherited by one class for each adapter."""

    name: str
    #: Statuses that make this ESP behave.
    forged: int
    unreadable: int
    #: Whether the ESP answers for each message instead of for the request.
    answers_each = True

    def make(self, simulator: Running, **changes: Any) -> Esp:
        raise NotImplementedError

    def with_wrong_key(self, simulator: Running) -> tuple[Esp, str]:
        raise NotImplementedError

    def signed(self, simulator: Running, told: Json) -> WebhookRequest:
        """A webhook call with this event, as the ESP would make it."""
        raise NotImplementedError

    def read(self, text: str) -> str:
        """How a text looks to its recipient."""
        return text

    def unsigned_content(self) -> bytes:
        """A body that is not what this ESP sends."""
        return b'{"not": json'

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        with start(tmp_path_factory.mktemp("simulator") / "simulator.db") as running:
            yield running

    @pytest.fixture
    def simulator(self, running: Running) -> Iterator[Running]:
        yield running
        running.state.log.reset()
        running.state.meters.reset()
        running.state.faults.clear()

    @pytest.fixture
    def esp(self, simulator: Running) -> Esp:
        return self.make(simulator)

    def fault(self, simulator: Running, kind: str, **settings: Any) -> None:
        _, wrong = simulator.state.faults.order({"kind": kind, "esp": self.name, **settings})
        assert not wrong

    def arrived(self, simulator: Running) -> dict[str, Json]:
        """What is in the ESP's mailbox by send id; a second copy fails the test."""
        items, _ = mailbox.page(simulator.state.log, {"limit": "10000"})
        shown = [mailbox.show(simulator.state, ESPS[item.esp], item) for item in items]
        assert len({mail["send_id"] for mail in shown}) == len(shown)
        return {mail["send_id"]: mail for mail in shown}

    # -- accepted

    def test_everyone_gets_their_own_message_once(self, simulator: Running, esp: Esp) -> None:
        report = esp.send(Batch(content(), people(120)))
        assert kinds(report) == [Accepted] * 120
        arrived = self.arrived(simulator)
        assert len(arrived) == 120
        for n in (0, 1, 119):
            mail = arrived[f"{NONCE}-{n}"]
            assert mail["address"] == f"person{n}@example.org"
            assert mail["subject"] == f"Hello Ann{n}"
            assert mail["html"] == f"<p>Hi Ann{n}, you are number {n}</p>"
            assert mail["text"] == f"Hi Ann{n}, you are number {n}"
            assert mail["headers"]["List-Unsubscribe"] == f"<https://news.example.com/u/{n}>"
            assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            assert "reply@example.com" in str(mail["headers"].get("Reply-To", ""))
            assert mail["from"] == "News <news@example.com>"

    def test_calls_are_counted_with_their_time(self, esp: Esp) -> None:
        report = esp.send(Batch(content(), people(20)))
        assert sum(call.messages for call in report.calls) == 20
        assert all(call.error is None and call.seconds > 0 for call in report.calls)

    def test_nobody_is_nothing(self, esp: Esp) -> None:
        assert esp.send(Batch(content(), [])) == Report([], [])

    def test_no_request_has_more_messages_than_the_batch_size(self, simulator: Running) -> None:
        report = self.make(simulator, batch_size=7).send(Batch(content(), people(20)))
        assert sorted(call.messages for call in report.calls) == [6, 7, 7]
        assert len(self.arrived(simulator)) == 20

    def test_no_request_is_larger_than_the_esps_limit(self, simulator: Running) -> None:
        small = capabilities(self.name, max_bytes=20_000)
        html = ("<p>" + "x" * 2000, 0, "</p>")
        report = self.make(simulator, capabilities=small).send(
            Batch(content(html=html), [message(n, slots=("y" * 900, "z")) for n in range(30)])
        )
        assert kinds(report) == [Accepted] * 30
        assert len(report.calls) > 1
        assert len(self.arrived(simulator)) == 30

    def test_text_or_html_may_be_missing(self, simulator: Running, esp: Esp) -> None:
        assert kinds(esp.send(Batch(content(html=None), people(1)))) == [Accepted]
        assert self.arrived(simulator)[f"{NONCE}-0"]["text"] == "Hi Ann0, you are number 0"

    def test_a_content_without_slots(self, simulator: Running, esp: Esp) -> None:
        plain = content(
            subject=("Same",), html=("<p>{{same}} -same- 100%</p>",), text=None, slot_count=0
        )
        bare = [message(n)._replace(slots=()) for n in range(3)]
        assert kinds(esp.send(Batch(plain, bare))) == [Accepted] * 3
        assert self.arrived(simulator)[f"{NONCE}-2"]["html"] == "<p>{{same}} -same- 100%</p>"

    def test_values_arrive_as_they_are(self, simulator: Running, esp: Esp) -> None:
        parts = [part for n, text in enumerate(HOSTILE) for part in (text, n % 2, "{", n % 2, "}")]
        odd = content(html=("<p>", *parts, "</p>"), text=("", *parts))
        messages = [message(n, slots=(text, HOSTILE[n - 1])) for n, text in enumerate(HOSTILE)]
        messages = [m._replace(slots=tuple(s or "-" for s in m.slots)) for m in messages]
        odd = dataclasses.replace(odd, subject=("Hi",))
        assert set(kinds(esp.send(Batch(odd, messages)))) == {Accepted}
        arrived = self.arrived(simulator)
        for one in messages:
            assert arrived[one.send_id]["html"] == self.read(fill(odd.html or (), one.slots))
            assert arrived[one.send_id]["text"] == self.read(fill(odd.text or (), one.slots))

    def test_an_empty_value_leaves_nothing(self, simulator: Running, esp: Esp) -> None:
        esp.send(Batch(content(), [message(0, slots=("", ""))]))
        assert self.arrived(simulator)[f"{NONCE}-0"]["text"] == "Hi , you are "

    def test_values_over_the_slot_limit_go_rendered(self, simulator: Running) -> None:
        esp = self.make(simulator)
        large = "ä" * 300_000
        messages = [message(0), message(1, slots=("B", large)), message(2)]
        assert kinds(esp.send(Batch(content(), messages))) == [Accepted] * 3
        assert self.arrived(simulator)[f"{NONCE}-1"]["text"] == f"Hi B, you are {large}"

    def test_text_that_is_not_unicode_fails_its_person_alone(
        self, simulator: Running, esp: Esp
    ) -> None:
        messages = [message(0), message(1, slots=("\ud800", "x")), message(2)]
        report = esp.send(Batch(content(), messages))
        assert kinds(report) == [Accepted, Rejected, Accepted]
        assert len(self.arrived(simulator)) == 2

    @pytest.mark.parametrize(
        "name", ['Zoë, News; "& Co"', "日本語のとても長い名前のニュースレター配信システム部門", ""]
    )
    def test_the_senders_name_is_readable(self, simulator: Running, esp: Esp, name: str) -> None:
        assert kinds(esp.send(Batch(content(from_name=name), people(1)))) == [Accepted]
        self.check_sender(self.arrived(simulator)[f"{NONCE}-0"]["from"], name)

    def check_sender(self, shown: str, name: str) -> None:
        assert shown == (f"{name} <news@example.com>" if name else "news@example.com")

    def test_a_single_mail_carries_its_file(self, simulator: Running, esp: Esp) -> None:
        file = Attachment("Rechnung für 日本.pdf", "application/pdf", b"%PDF\x00\xff")
        batch = Batch(content(attachments=(file,)), people(1), lane=Lane.TRANSACTIONAL)
        assert kinds(esp.send(batch)) == [Accepted]
        assert len(self.arrived(simulator)) == 1

    def test_threads_share_one_adapter(self, simulator: Running, esp: Esp) -> None:
        shared = content()
        batches = [Batch(shared, people(400)[n : n + 25]) for n in range(0, 400, 25)]
        with ThreadPoolExecutor(8) as pool:
            reports = list(pool.map(esp.send, batches))
        assert all(set(kinds(report)) == {Accepted} for report in reports)
        assert len(self.arrived(simulator)) == 400

    # -- refused

    def test_one_bad_address_costs_nobody_else(self, simulator: Running, esp: Esp) -> None:
        messages = people(20)
        messages[3] = message(3, "reject+3@example.org")
        report = esp.send(Batch(content(), messages))
        expected: list[type[Outcome]] = [Accepted] * 20
        expected[3] = Rejected
        assert kinds(report) == expected
        assert all(call.error is None for call in report.calls)
        assert len(self.arrived(simulator)) == 19

    def test_several_bad_addresses_cost_nobody_else(self, simulator: Running, esp: Esp) -> None:
        bad = {0: "reject+a@example.org", 7: "not-an-address", 19: "a b@example.org"}
        messages = [message(n, bad.get(n)) for n in range(20)]
        report = esp.send(Batch(content(), messages))
        assert [n for n, kind in enumerate(kinds(report)) if kind is Rejected] == [0, 7, 19]
        assert len(self.arrived(simulator)) == 17

    def test_only_bad_addresses(self, simulator: Running, esp: Esp) -> None:
        messages = [message(n, f"reject+{n}@example.org") for n in range(4)]
        assert kinds(esp.send(Batch(content(), messages))) == [Rejected] * 4
        assert not self.arrived(simulator)

    def test_a_content_nobody_may_send_is_refused_for_all_with_few_requests(self, esp: Esp) -> None:
        report = esp.send(Batch(content(html=None, text=None), people(40)))
        assert set(kinds(report)) == {Refused}
        assert len(report.calls) <= 4

    @pytest.mark.parametrize(
        "kind, expected",
        [
            ("unverified_sender", Refused),
            ("suspended", Suspended),
            ("bad_key", Misconfigured),
            ("error_503", Unavailable),
        ],
    )
    def test_what_concerns_all_stops_the_batch(
        self, simulator: Running, kind: str, expected: type[EspError]
    ) -> None:
        self.fault(simulator, kind)
        esp = self.make(simulator, batch_size=5)
        report = esp.send(Batch(content(), people(40)))
        assert isinstance(report.outcomes[0], expected)
        assert set(kinds(report)) <= {expected, NotTried}
        assert len(report.calls) <= 4  # what was on the road together
        assert all(isinstance(call.error, expected) for call in report.calls)
        assert not self.arrived(simulator)

    def test_too_fast(self, simulator: Running) -> None:
        self.fault(simulator, "throttle", retry_after=30)
        report = self.make(simulator, batch_size=5).send(Batch(content(), people(40)))
        error = report.outcomes[0]
        assert isinstance(error, Throttled)
        assert not error.quota_spent
        assert set(kinds(report)) == {Throttled, NotTried}
        if self.name == "sendgrid":
            assert error.retry_after is not None
            assert 25 < error.retry_after <= 30

    def test_the_days_quota_is_spent(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "quota")
        error = only(esp.send(Batch(content(), people(3))))
        assert isinstance(error, Throttled)
        assert error.quota_spent

    def test_too_large_is_cut_smaller(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "payload_too_large", count=2)
        report = esp.send(Batch(content(), people(16)))
        assert set(kinds(report)) == {Accepted}
        assert len(self.arrived(simulator)) == 16

    def test_a_single_message_that_is_too_large_is_refused(
        self, simulator: Running, esp: Esp
    ) -> None:
        self.fault(simulator, "payload_too_large")
        assert set(kinds(esp.send(Batch(content(), people(2))))) == {Refused}

    def test_some_entries_fail(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "partial", every=4, count=1)
        report = esp.send(Batch(content(), people(12)))
        failed = [n for n, kind in enumerate(kinds(report)) if kind is not Accepted]
        assert failed == [3, 7, 11]
        assert not any(isinstance(report.outcomes[n], InDoubt) for n in failed)
        assert len(self.arrived(simulator)) == 9

    def test_a_wrong_key_is_a_matter_of_configuration(self, simulator: Running) -> None:
        esp, key = self.with_wrong_key(simulator)
        error = only(esp.send(Batch(content(), people(3))))
        assert isinstance(error, Misconfigured)
        assert key not in str(error)
        assert key not in repr(esp)

    # -- not reached, or in doubt

    def test_nobody_listens(self, simulator: Running) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        error = only(self.make(simulator, base_url=url).send(Batch(content(), people(3))))
        assert isinstance(error, Unavailable)

    @pytest.mark.parametrize(
        "kind",
        ["error_500", "accepted_500", "error_502", "error_504", "reset", "accepted_reset"],
    )
    def test_an_answer_that_does_not_say_leaves_them_in_doubt(
        self, simulator: Running, kind: str
    ) -> None:
        self.fault(simulator, kind)
        report = self.make(simulator, batch_size=5).send(Batch(content(), people(40)))
        assert isinstance(report.outcomes[0], InDoubt)
        assert set(kinds(report)) == {InDoubt, NotTried}
        assert len(report.calls) <= 4
        self.nobody_not_tried_arrived(simulator, report)

    def nobody_not_tried_arrived(self, simulator: Running, report: Report) -> None:
        arrived = self.arrived(simulator)
        tried = [o for o in report.outcomes if not isinstance(o, NotTried)]
        assert len(arrived) <= len(tried)

    @pytest.mark.parametrize("kind", ["hang", "accepted_hang", "slow"])
    def test_one_deadline_holds_for_the_whole_request(self, simulator: Running, kind: str) -> None:
        self.fault(simulator, kind, hold_seconds=3.0, count=1)
        esp = self.make(simulator, timeout_seconds=0.6)
        began = time.monotonic()
        report = esp.send(Batch(content(), people(3)))
        assert time.monotonic() - began < 2.5
        assert isinstance(only(report), InDoubt)
        assert 0.5 < report.calls[0].seconds < 1.5

    @pytest.mark.parametrize("kind", ["malformed", "truncated", "empty_200"])
    def test_an_answer_that_cannot_be_read(self, simulator: Running, esp: Esp, kind: str) -> None:
        self.fault(simulator, kind)
        report = esp.send(Batch(content(), people(3)))
        # SendGrid's 202 says all there is to say, whatever stands in the body.
        by_status = self.name == "sendgrid" and kind != "empty_200"
        expected = Accepted if by_status else InDoubt
        assert set(kinds(report)) == {expected}

    def test_a_connection_that_ends_at_the_door_may_have_taken_it(
        self, simulator: Running, esp: Esp
    ) -> None:
        self.fault(simulator, "reset_early")
        assert isinstance(only(esp.send(Batch(content(), people(3)))), InDoubt | Unavailable)

    def test_a_large_request_that_was_not_written_whole_is_certain(
        self, simulator: Running
    ) -> None:
        self.fault(simulator, "reset_early")
        roomy = capabilities(self.name, max_bytes=40_000_000, max_slot_bytes=30_000_000)
        esp = self.make(simulator, capabilities=roomy)
        batch = Batch(content(html=("x" * 20_000_000, 0)), people(1))
        assert isinstance(only(esp.send(batch)), Unavailable)

    def test_it_works_again_after_trouble(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "accepted_reset", count=1)
        assert kinds(esp.send(Batch(content(), people(1)))) == [InDoubt]
        assert kinds(esp.send(Batch(content(), [message(9)]))) == [Accepted]
        assert len(self.arrived(simulator)) == 2

    def test_a_careful_batch_is_one_message_a_request(self, simulator: Running, esp: Esp) -> None:
        self.fault(simulator, "accepted_500", after=2)
        report = esp.send(Batch(content(), people(6), careful=True))
        assert [call.messages for call in report.calls] == [1, 1, 1]
        assert kinds(report) == [Accepted, Accepted, InDoubt, NotTried, NotTried, NotTried]
        assert len(self.arrived(simulator)) == 3

    def test_after_the_deadline_nothing_begins(self, simulator: Running, esp: Esp) -> None:
        report = esp.send(Batch(content(), people(3), deadline=time.monotonic() - 1))
        assert set(kinds(report)) == {NotTried}
        assert not report.calls
        assert not self.arrived(simulator)

    # -- webhooks

    def caught(
        self, simulator: Running, esp: Esp, addresses: Sequence[str]
    ) -> list[WebhookRequest]:
        """Send to these and catch what the ESP posts about it."""
        calls: list[WebhookRequest] = []

        class Catcher(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                calls.append(WebhookRequest(headers, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                """Quiet."""

        server = HTTPServer(("127.0.0.1", 0), Catcher)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        simulator.state.log.put("sns_confirmed", b"1")
        simulator.state.webhooks.target = f"http://127.0.0.1:{server.server_port}"
        try:
            esp.send(Batch(content(), [message(n, to) for n, to in enumerate(addresses)]))
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and not self._told(simulator):
                time.sleep(0.05)
        finally:
            simulator.state.webhooks.target = None
            server.shutdown()
            server.server_close()
        return calls

    @staticmethod
    def _told(simulator: Running) -> bool:
        from simulator import outbox

        return not outbox.pending(simulator.state.log)

    def test_what_the_esp_tells_reaches_us_in_our_words(self, simulator: Running, esp: Esp) -> None:
        words = ("hard", "soft", "block", "complaint", "defer", "click", "unsub")
        calls = self.caught(simulator, esp, [f"{word}+1@example.org" for word in words])
        events = [event for call in calls for event in esp.read_webhook(call)]
        assert {event.esp for event in events} == {self.name}
        assert len({event.key for event in events}) == len(events)
        assert all(abs(event.at - time.time()) < 60 for event in events)
        told: dict[str, set[Any]] = {}
        for event in events:
            assert event.send_id is not None
            assert event.message_id
            told.setdefault(event.send_id, set()).add(event.bounce or event.kind)
        by_word = {word: told[f"{NONCE}-{n}"] for n, word in enumerate(words)}
        assert BounceKind.HARD in by_word["hard"]
        assert BounceKind.SOFT in by_word["soft"]
        assert BounceKind.BLOCK in by_word["block"]
        assert EventKind.COMPLAINT in by_word["complaint"]
        assert {EventKind.DEFERRED, EventKind.DELIVERED} <= by_word["defer"]
        # Tracking and footers are ours: switched off at the ESP, so it has nothing to tell of them.
        assert by_word["click"] <= {EventKind.ACCEPTED, EventKind.DELIVERED}
        assert (EventKind.UNSUBSCRIBE in by_word["unsub"]) is (self.name == "postmark")

    def test_the_same_call_has_the_same_keys(self, simulator: Running, esp: Esp) -> None:
        for call in self.caught(simulator, esp, ["hard+1@example.org"]):
            first, second = esp.read_webhook(call), esp.read_webhook(call)
            assert [event.key for event in first] == [event.key for event in second]

    def test_an_event_without_a_time_is_the_same_when_it_is_told_again(
        self, simulator: Running, esp: Esp
    ) -> None:
        """Events are kept under their time and key: the moment of hearing would count it twice."""
        odd = {"event": "teleported", "eventType": "Teleported", "RecordType": "Teleported"}
        events: list[Json] = [_without_times(self.a_delivery()), odd, {"event": []}]
        for told in events:
            call = self.signed(simulator, told)
            first, second = esp.read_webhook(call), esp.read_webhook(call)
            assert first
            assert [(e.key, e.at) for e in first] == [(e.key, e.at) for e in second]

    def test_a_forged_call_is_refused(self, simulator: Running, esp: Esp) -> None:
        good = self.signed(simulator, self.a_delivery())
        assert esp.read_webhook(good)
        for bad in self.forgeries(good):
            with pytest.raises(WebhookRefused) as refused:
                esp.read_webhook(bad)
            assert refused.value.status == self.forged

    def forgeries(self, good: WebhookRequest) -> list[WebhookRequest]:
        raise NotImplementedError

    def a_delivery(self) -> Json:
        raise NotImplementedError

    def test_junk_is_refused_with_a_status_that_makes_the_esp_behave(
        self, simulator: Running, esp: Esp
    ) -> None:
        for body in (b"", b"{", b"\xff\xfe", b"null", b"3", b'"text"', b"[" * 100_000):
            headers = self.signed(simulator, self.a_delivery()).headers
            with pytest.raises(WebhookRefused) as refused:
                esp.read_webhook(WebhookRequest(headers, body))
            assert refused.value.status in (self.forged, self.unreadable)

    @pytest.mark.parametrize(
        "change", [{}, {"never": "seen"}, {"event": 3, "eventType": [], "RecordType": {}}]
    )
    def test_unknown_words_are_kept_raw(
        self, simulator: Running, esp: Esp, change: dict[str, Any]
    ) -> None:
        told = {"event": "teleported", "eventType": "Teleported", "RecordType": "Teleported"}
        events = esp.read_webhook(self.signed(simulator, told | change))
        assert [event.kind for event in events] == [EventKind.UNKNOWN]
        assert events[0].raw == told | change

    def test_events_of_odd_shape_never_crash(self, simulator: Running, esp: Esp) -> None:
        good = self.a_delivery()
        for name in good:
            odd_values: tuple[Any, ...] = (None, 3, -1e400, [], {}, "\x00", [None], {"a": {}}, True)
            for odd in odd_values:
                read = esp.read_webhook(self.signed(simulator, good | {name: odd}))
                assert all(isinstance(event, EspEvent) for event in read)

    def test_without_keys_nothing_is_believed(self, simulator: Running) -> None:
        esp = self.make(simulator, webhooks=False)
        with pytest.raises(WebhookNotConfigured):
            esp.read_webhook(self.signed(simulator, self.a_delivery()))

    def test_no_secret_is_shown(self, simulator: Running, esp: Esp) -> None:
        keys = simulator.state.keys
        secrets = (
            keys.sendgrid_api_key, keys.ses_secret_access_key, keys.postmark_server_token,
            keys.postmark_webhook_password,
        )  # fmt: skip
        with contextlib.suppress(Exception):
            esp.send(Batch(content(), people(1)))
        assert not any(secret in repr(esp) + str(vars(esp)) for secret in secrets)
