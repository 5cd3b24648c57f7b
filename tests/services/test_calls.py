"""Who is to blame for a refused request, and with how many requests that is found out."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from mail.message import Message
from services.calls import EXTRA_REQUESTS, Delivery, Suspect, Verdict
from services.esp import (
    Accepted,
    Batch,
    InDoubt,
    Misconfigured,
    NotTried,
    Refused,
    Rejected,
    Report,
    Throttled,
    Unavailable,
)
from services.esp_state import EspState
from services.learning import answered
from services.parcels import Cut, Envelope, Parcel, Writing, parcels
from services.wire import Answer, Exchange, begin
from tests.services.esp_contract import content, kinds, people

WRITING = Writing(
    Envelope(b"[", b"]"),
    lambda messages: [message.send_id.encode() for message in messages],
    lambda message: (Envelope(b"[", b"]"), message.send_id.encode()),
)
Judge = Callable[[Answer, Parcel], Verdict]


def deliver(
    count: int, judge: Judge, *, per_request: int = 1000, careful: bool = False,
    end_after: int = 10**9,
) -> tuple[Report, list[Sequence[int]]]:  # fmt: skip
    """The report, and the places of each request's messages."""
    asked: list[Sequence[int]] = []

    def note(answer: Answer, parcel: Parcel) -> Verdict:
        asked.append(list(parcel.places))
        return judge(answer, parcel)

    batch = Batch(content(), people(count), careful=careful, ending=lambda: len(asked) >= end_after)
    work = parcels(batch, WRITING, Cut(per_request, 10**9))
    here = Delivery(batch, work, lambda _: begin(lambda: Answer(200, {}, b""), 5), note)
    return here.run(), asked


def guilty(places: Collection[int], words: str = "no") -> Judge:
    def judge(_: Answer, parcel: Parcel) -> Verdict:
        if set(parcel.places) & set(places):
            return Suspect(words, code="400")
        return [Accepted("m")] * len(parcel.places)

    return judge


@pytest.mark.parametrize("places", [{0}, {999}, {500}, {0, 999}, {1, 2}, {17, 400, 801}])
def test_the_guilty_are_found_and_nobody_else_pays(places: set[int]) -> None:
    report, asked = deliver(1000, guilty(places))
    assert {n for n, kind in enumerate(kinds(report)) if kind is Rejected} == places
    assert set(kinds(report)) == {Accepted, Rejected}
    assert len(asked) <= 4 + 2 * 10 * len(places)


def test_nobody_is_asked_for_twice_after_being_accepted() -> None:
    _, asked = deliver(300, guilty({7, 8, 250}))
    taken = [set(places) for places in asked if not set(places) & {7, 8, 250}]
    for one, other in itertools.combinations(taken, 2):
        assert not one & other


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_if_all_are_refused_alike_it_is_the_message(count: int) -> None:
    report, asked = deliver(count, guilty(range(count)), per_request=500)
    assert set(kinds(report)) == {Refused}
    assert len(asked) <= 4


def test_a_message_refused_from_the_middle_on_is_not_blamed_on_people() -> None:
    report, asked = deliver(1000, guilty(range(500, 1000)), per_request=500)
    assert kinds(report)[:500] == [Accepted] * 500
    assert set(kinds(report)[500:]) == {Refused}
    assert len(asked) < 30


def test_the_search_has_an_end() -> None:
    report, asked = deliver(1000, guilty(range(0, 1000, 9), "no"))
    assert len(asked) <= EXTRA_REQUESTS + 1
    assert {Accepted, Rejected} <= set(kinds(report)) <= {Accepted, Rejected, NotTried}


def test_a_careful_batch_stops_when_three_are_refused_alike() -> None:
    report, asked = deliver(50, guilty(range(50)), careful=True)
    assert set(kinds(report)) == {Refused}
    assert len(asked) == 3


@pytest.mark.parametrize("error", [InDoubt("?"), Throttled("!"), Unavailable("!")])
def test_trouble_during_the_search_ends_it(error: InDoubt) -> None:
    answers: Iterator[Verdict] = iter([Suspect("no"), [Accepted("a")], error])
    report, asked = deliver(10, lambda _answer, _parcel: next(answers))
    assert kinds(report) == [Accepted] + [NotTried] * 4 + [type(error)] + [NotTried] * 4
    assert len(asked) == 3


def test_when_the_house_is_about_to_end_no_further_request_begins() -> None:
    report, asked = deliver(50, guilty(()), per_request=10, careful=True, end_after=3)
    assert len(asked) == 3
    assert kinds(report) == [Accepted] * 3 + [NotTried] * 47


def test_an_adapters_bug_raises_nothing() -> None:
    def judge(_: Answer, parcel: Parcel) -> Verdict:
        raise KeyError(str(parcel))

    report, _ = deliver(3, judge)
    assert kinds(report) == [InDoubt] * 3  # it was sent


def test_a_bug_before_sending_refuses_the_message() -> None:
    def entries(messages: Sequence[Message]) -> list[bytes]:
        raise RuntimeError(messages[0].send_id)

    batch = Batch(content(), people(3))
    writing = Writing(Envelope(b"[", b"]"), entries, WRITING.alone)
    work = parcels(batch, writing, Cut(10, 1000))
    report = Delivery(batch, work, lambda _: pytest.fail("sent"), guilty(())).run()
    assert kinds(report) == [Refused] * 3


@pytest.mark.parametrize("limit", [1, 17, 31, 10_000])
def test_requests_are_cut_by_bytes_and_lose_nobody(limit: int) -> None:
    batch = Batch(content(), people(40))
    found = list(parcels(batch, WRITING, Cut(15, limit)))
    places = [
        place for one in found for place in (one.places if isinstance(one, Parcel) else [one.place])
    ]
    assert sorted(places) == list(range(40))
    for one in found:
        if isinstance(one, Parcel):
            assert len(one.body()) <= limit
            assert len(one.places) <= 15
        else:
            assert isinstance(one.error, Refused)


def test_an_esp_that_cannot_even_begin_is_told_of_like_one_that_refused() -> None:
    def begins(_: Parcel) -> Exchange:
        raise Misconfigured("no such profile", code="sdk")

    batch = Batch(content(), people(3))
    work = parcels(batch, WRITING, Cut(1000, 10**9))
    report = Delivery(batch, work, begins, guilty({})).run()
    assert [type(outcome) for outcome in report.outcomes] == [Misconfigured] * 3
    assert [type(call.error) for call in report.calls] == [Misconfigured], "the breaker must know"
    state = answered(EspState(), report, sent_at=0.0, now=0.0, seed=b"", highest=None)
    assert state.memory.api.state == "open"
