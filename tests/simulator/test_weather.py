"""What becomes of mail that was taken while a fault had a hand in it, as each ESP tells it."""

import json
from pathlib import Path
from typing import Any

import pytest

import simulator
from tests.simulator.receiver import Receiver
from tests.simulator.rig import Rig, eventually, pm_mail, ses_bulk, sg_mail
from tests.simulator.test_ses_smtp import client, letter, say

Json = Any
ESPS = ("sendgrid", "ses", "postmark")
OUTLOOK = [f"p{n}@outlook.com" for n in range(40)]


def send(rig: Rig, esp: str, people: list[str]) -> None:
    """One batch, which the ESP takes."""
    if esp == "sendgrid":
        assert rig.sg_post(sg_mail(people))[0] == 202
    elif esp == "ses":
        rig.ses.send_bulk_email(**ses_bulk(people))
    else:
        status, _ = rig.pm_post("/email/batch", [pm_mail(person) for person in people])
        assert status == 200


def outcomes(rig: Rig, esp: str) -> Json:
    return rig.get("/_stats")["esps"][esp]["outcomes"]


def told(receiver: Receiver, rig: Rig) -> list[Json]:
    """Every event that was posted, whatever its ESP."""
    eventually(lambda: not rig.get("/_webhooks")["pending"])
    events: list[Json] = []
    for post in receiver.at("/webhooks/sendgrid"):
        events += post.json
    events += [json.loads(post.json["Message"]) for post in receiver.at("/webhooks/ses")]
    return events + [post.json for post in receiver.at("/webhooks/postmark")]


@pytest.mark.parametrize("esp", ESPS)
def test_lost_mail_is_taken_and_nothing_is_ever_told_of_it(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    rig.webhooks(target=receiver.url)
    rig.fault("lost", esp=esp)
    send(rig, esp, ["ann@x.example", "hard+bob@x.example"])
    assert outcomes(rig, esp) == {"lost": 2}
    assert told(receiver, rig) == []
    rig.call("DELETE", "/_faults")
    send(rig, esp, ["cyd@x.example"])
    assert outcomes(rig, esp) == {"lost": 2, "delivered": 1}
    assert told(receiver, rig)


@pytest.mark.parametrize("esp", ESPS)
def test_a_fault_strikes_its_esp_alone(rig: Rig, esp: str) -> None:
    rig.fault("lost", esp=esp)
    for each in ESPS:
        send(rig, each, ["ann@x.example"])
    assert {each for each in ESPS if outcomes(rig, each) == {"lost": 1}} == {esp}


@pytest.mark.parametrize(
    "esp,words",
    [("sendgrid", '"type": "blocked"'), ("ses", "ContentRejected"), ("postmark", '"Blocked"')],
)
def test_blocked_mail_bounces_at_that_domain_in_the_esps_own_words(
    rig: Rig, receiver: Receiver, esp: str, words: str
) -> None:
    rig.webhooks(target=receiver.url)
    rig.fault("blocked", esp=esp, domain="outlook.com")
    send(rig, esp, ["Ann@Outlook.com", "bob@gmail.com"])
    assert outcomes(rig, esp) == {"block": 1, "delivered": 1}
    blocks = [event for event in told(receiver, rig) if words in json.dumps(event)]
    assert len(blocks) == 1
    assert "outlook.com" in json.dumps(blocks).lower()


def test_over_smtp_mail_is_lost_and_blocked_too(rig: Rig) -> None:
    rig.fault("blocked", esp="ses", domain="outlook.com")
    rig.fault("lost", esp="ses", domain="gmail.com")
    with client(rig) as line:
        for person in ("ann@outlook.com", "bob@gmail.com", "cyd@yahoo.com"):
            assert say(line, letter(to=person), to=person)[0] == 250
    assert outcomes(rig, "ses") == {"block": 1, "lost": 1, "delivered": 1}


def test_chance_count_and_after_go_by_messages(rig: Rig) -> None:
    rig.fault("blocked", esp="postmark", after=3, count=5)
    send(rig, "postmark", OUTLOOK)
    struck = [m["to"] for m in rig.messages(outcome="block", limit=100)]
    assert sorted(struck) == OUTLOOK[3:8]
    [shown] = rig.get("/_faults")["items"]
    assert (shown["hits"], shown["active"]) == (5, False)


def test_by_chance_the_same_messages_are_lost_for_the_same_seed(rig: Rig) -> None:
    runs = []
    for seed in (7, 7, 8):
        rig.call("POST", "/_reset")
        rig.fault("lost", esp="sendgrid", probability=0.5, seed=seed)
        send(rig, "sendgrid", OUTLOOK)
        runs.append({m["to"] for m in rig.messages(outcome="lost", limit=100)})
    assert runs[0] == runs[1] != runs[2]
    assert 0 < len(runs[0]) < len(OUTLOOK)


def test_what_the_esp_stops_itself_never_reaches_a_receiver_that_blocks(rig: Rig) -> None:
    rig.fault("blocked", esp="sendgrid")
    send(rig, "sendgrid", ["suppressed+a@x.example", "content+b@x.example", "lost+c@x.example"])
    assert outcomes(rig, "sendgrid") == {"suppressed": 1, "content": 1, "lost": 1}


def test_answers_break_beside_it_and_only_taken_mail_is_struck(rig: Rig) -> None:
    number = rig.fault("lost", esp="postmark", count=1)
    rig.fault("error_503", esp="postmark", count=1)
    assert rig.pm_post("/email/batch", [pm_mail("ann@x.example")])[0] == 503
    send(rig, "postmark", ["ann@x.example"])
    assert outcomes(rig, "postmark") == {"lost": 1}
    faults = {fault["id"]: fault["hits"] for fault in rig.get("/_faults")["items"]}
    assert faults[number] == 1


def test_what_was_decided_outlives_the_simulator(db: Path, receiver: Receiver) -> None:
    with simulator.start(db, webhook_target=receiver.url) as running:
        rig = Rig(running.url)
        rig.webhooks(paused=True)
        rig.fault("lost", domain="gmail.com")
        rig.fault("blocked", domain="outlook.com")
        send(rig, "postmark", ["ann@gmail.com", "bob@outlook.com", "cyd@yahoo.com"])
    with simulator.start(db) as running:
        rig = Rig(running.url)
        assert rig.get("/_faults")["items"] == []
        assert outcomes(rig, "postmark") == {"lost": 1, "block": 1, "delivered": 1}
        rig.webhooks(paused=False)
        kinds = sorted(event["RecordType"] for event in told(receiver, rig))
        assert kinds == ["Bounce", "Delivery"]


@pytest.mark.parametrize(
    "wanted,word",
    [
        ({"kind": "blocked", "domain": "ann@outlook.com"}, "domain"),
        ({"kind": "blocked", "domain": "Outlook.com"}, "domain"),
        ({"kind": "blocked", "domain": 5}, "domain"),
        ({"kind": "error_503", "domain": "outlook.com"}, "domain: only with lost, blocked"),
        ({"kind": "lost", "routes": "read"}, "routes"),
        ({"kind": "lost", "accepted": False}, "accepted"),
        ([], "object"),
    ],
)
def test_a_fault_of_taken_mail_that_makes_no_sense_is_refused_by_name(
    rig: Rig, wanted: Json, word: str
) -> None:
    status, shown = rig.call("POST", "/_faults", wanted)
    assert (status, word in shown["error"]) == (422, True)
    assert rig.get("/_faults")["items"] == []
