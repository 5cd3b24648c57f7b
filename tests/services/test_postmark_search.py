"""Postmark asked whether it took a message: what it says, and when it says nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from database.models import Lane
from services.esp import (
    Accepted,
    Batch,
    EspError,
    InDoubt,
    Known,
    Misconfigured,
    Searchable,
    Throttled,
    Unavailable,
)
from services.postmark import Postmark
from simulator import Running, start
from tests.services.esp_contract import capabilities, content, people
from tests.services.scripted_server import Peer, ScriptedServer, answering

ID = "abcd2345-0"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Running]:
    with start(tmp_path / "simulator.db") as running:
        yield running


@pytest.fixture
def esp(simulator: Running) -> Postmark:
    return made(simulator.url, simulator.state.keys.postmark_server_token)


def made(url: str, token: str = "token", **options: Any) -> Postmark:
    return Postmark(token, capabilities("postmark"), base_url=url, **options)


def found(**changes: Any) -> bytes:
    message = {"MessageID": "m1", "Metadata": {"send_id": ID}, **changes}
    return orjson.dumps({"TotalCount": 1, "Messages": [message]})


def test_what_it_took_is_found_with_its_id_and_what_came_of_it(esp: Postmark) -> None:
    batch = Batch(content(), people(2))
    first, second = esp.send(batch).outcomes
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.message_id
    assert second.message_id
    known = [esp.look_up(each.send_id, Lane.CAMPAIGN) for each in batch.messages]
    assert known == [Known(first.message_id, True), Known(second.message_id, True)]
    assert esp.look_up("abcd2345-9", Lane.CAMPAIGN) is None
    assert isinstance(esp, Searchable)


def test_each_lane_is_looked_for_in_its_own_stream(esp: Postmark) -> None:
    esp.send(Batch(content(), people(1), lane=Lane.TRANSACTIONAL))
    assert esp.look_up(ID, Lane.CAMPAIGN) is None
    assert esp.look_up(ID, Lane.TRANSACTIONAL) is not None


def test_the_question_is_the_documented_one() -> None:
    def tell(peer: Peer) -> None:
        peer.note()
        peer.answer(200, b'{"TotalCount": 0, "Messages": []}')

    with ScriptedServer(tell) as server:
        assert made(f"{server.url}/eu", broadcast_stream="news").look_up(ID, Lane.CAMPAIGN) is None
        [seen] = server.seen
    assert seen.method == "GET"
    assert seen.headers["x-postmark-server-token"] == "token"
    asked = urlsplit(seen.path)
    assert asked.path == "/eu/messages/outbound"
    assert parse_qs(asked.query) == {
        "count": ["1"], "offset": ["0"], "metadata_send_id": [ID], "messagestream": ["news"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "details, delivered",
    [
        (answering(200, b'{"MessageEvents": [{"Type": "Delivered"}]}'), True),
        (answering(200, b'{"MessageEvents": [{"Type": "Bounced"}]}'), False),
        (answering(200, b'{"MessageEvents": null}'), False),
        (answering(422, b'{"ErrorCode": 701, "Message": "under review"}'), False),
        (lambda peer: peer.reset(), False),
    ],
)
def test_it_was_accepted_whatever_the_details_say(details: Any, delivered: bool) -> None:
    with ScriptedServer(answering(200, found()), details) as server:
        assert made(server.url).look_up(ID, Lane.CAMPAIGN) == Known("m1", delivered)


@pytest.mark.parametrize(
    "script, error",
    [
        (answering(200, found(Metadata={"send_id": "abcd2345-1"})), InDoubt),
        (answering(200, found(Metadata=None)), InDoubt),
        (answering(200, found(MessageID=7)), InDoubt),
        (answering(200, b'{"TotalCount": 3, "Messages": []}'), InDoubt),
        (answering(200, b'{"Messages": []}'), InDoubt),
        (answering(200, b"<html>"), Unavailable),
        (answering(500, b"oops"), Unavailable),
        (answering(429, b"{}", Retry_After="7"), Throttled),
        (answering(401, b'{"ErrorCode": 10, "Message": "Bad token token"}'), Misconfigured),
        (lambda peer: peer.reset(), EspError),
    ],
)
def test_an_answer_that_does_not_say_is_never_taken_for_not_found(
    script: Any, error: type[EspError]
) -> None:
    with ScriptedServer(script) as server, pytest.raises(error) as raised:
        made(server.url).look_up(ID, Lane.CAMPAIGN)
    assert "token token" not in str(raised.value)


def test_a_wait_that_is_asked_for_is_told() -> None:
    script = answering(429, b"{}", Retry_After="7")
    with ScriptedServer(script) as server, pytest.raises(Throttled) as raised:
        made(server.url).look_up(ID, Lane.CAMPAIGN)
    assert raised.value.retry_after == 7
