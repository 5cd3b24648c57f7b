"""Whatever nonsense a request holds, an ESP answers in its own words and takes nothing odd."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from simulator import postmark, sendgrid, ses
from simulator.state import State
from simulator.wire import Answer, Request
from tests.simulator.rig import pm_mail, ses_bulk, sg_mail

Json = Any
JUNK: list[Json] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "\x00",
    "é@é",
    [],
    {},
    [None],
    {"a": None},
    [[]],
    {"": ""},
]
TRIES = 1500

SIMPLE = {
    "FromEmailAddress": "news@a.example",
    "Destination": {"ToAddresses": ["ann@x.example"]},
    "Content": {
        "Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}, "Headers": []}
    },
    "EmailTags": [{"Name": "send_id", "Value": "1"}],
}
RAW = SIMPLE | {"Content": {"Raw": {"Data": "RnJvbTogbkBhLmV4YW1wbGUKClRleHQ="}}}
INLINE = SIMPLE | {
    "Content": {
        "Template": {"TemplateContent": {"Subject": "{{a}}", "Text": "t"}, "TemplateData": "{}"}
    }
}
SENDGRID = sg_mail(["ann@x.example", "bob@x.example"]) | {
    "headers": {"X": "1"},
    "categories": ["a"],
    "reply_to": {"email": "r@a.example"},
    "send_at": 1,
    "mail_settings": {"sandbox_mode": {"enable": False}},
    "tracking_settings": {"open_tracking": {}},
}
CASES = {
    "sendgrid": (sendgrid.send, SENDGRID),
    "ses-bulk": (ses.send_bulk, ses_bulk(["ann@x.example", "bob@x.example"])),
    "ses-simple": (ses.send, SIMPLE),
    "ses-raw": (ses.send, RAW),
    "ses-inline": (ses.send, INLINE),
    "postmark": (postmark.send, pm_mail("Ann <ann@x.example>", ReplyTo="r@a.example", Tag="t")),
    "postmark-batch": (postmark.send_batch, [pm_mail("ann@x.example"), pm_mail("bob@x.example")]),
}


def places(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    """The way to every node of a JSON value."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoilt(value: Json, dice: random.Random) -> Json:
    """The value with one or two nodes replaced by junk or removed."""
    whole = [copy.deepcopy(value)]
    for _ in range(dice.choice((1, 1, 2))):
        path = dice.choice(list(places(whole[0])))
        holder: Json = whole
        for key in (0, *path)[:-1]:
            holder = holder[key]
        key = (0, *path)[-1]
        if dice.random() < 0.1 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(dice.choice(JUNK))
    return whole[0]


@pytest.mark.parametrize("name", CASES)
def test_junk_never_breaks_an_esp_and_what_it_takes_can_be_read_and_told(
    db: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses, "_unsigned", lambda *_: None)
    state = State(db)
    state.log.schedule.engagement = 1
    serve, good = CASES[name]
    headers = {
        "Authorization": f"Bearer {state.keys.sendgrid_api_key}",
        "X-Postmark-Server-Token": state.keys.postmark_server_token,
        "Content-Type": "application/json",
    }
    dice = random.Random(name)
    taken = 0
    for _ in range(TRIES):
        body = spoilt(good, dice)
        answer = serve(state, Request("POST", "/", "", {}, headers, json.dumps(body).encode()))
        assert isinstance(answer, Answer)
        assert answer.status in (200, 202, 400, 404, 422), (answer, body)
        taken += answer.status in (200, 202)
    assert 0 < taken < TRIES
    read_back(state)
    state.log.close()


def read_back(state: State) -> None:
    """Every message that was taken can be read, visited and told of."""
    from simulator import outbox
    from simulator.esps import ESPS
    from simulator.log import ESP_CODE, VISITS
    from simulator.outcomes import TOLD_AS, VISIT_CLICK, VISIT_UNSUBSCRIBE
    from simulator.visits import Readers
    from simulator.webhooks import VOICES

    for message in state.log.select_messages("1", [], limit=100_000):
        assert ESPS[message.esp].mail_of(state, message).subject is not None
    with state.log.reading() as connection:
        for esp, voice in VOICES.items():
            for event in outbox.due(state.log, connection, ESP_CODE[esp], 1 << 60, 100_000):
                # Signing thousands of SNS envelopes would take longer than it shows.
                assert voice.write(state, event)  # type: ignore[attr-defined]
            visits = outbox.due(state.log, connection, ESP_CODE[esp] + VISITS, 1 << 60, 100_000)
            for visit in visits:
                assert ESPS[esp].owns(visit.message, TOLD_AS[visit.kind]) in (True, False, None)
                for kind in (visit.kind, VISIT_CLICK, VISIT_UNSUBSCRIBE):
                    Readers(state)._paths(visit._replace(kind=kind), "http://127.0.0.1:5000")
                assert voice.write(state, visit._replace(kind=TOLD_AS[visit.kind]))  # type: ignore[attr-defined]
