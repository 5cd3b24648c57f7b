"""What recipients do with their mail: they fetch, click and leave where the product can see it."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.people import BROWSER, GMAIL_PROXY, ONE_CLICK, PRIVACY_PROXY
from simulator.visits import LANES, MAX_TRIES
from tests.simulator.letters import ESPS, FRAME, ON, send
from tests.simulator.receiver import Posted, Receiver, receiving
from tests.simulator.rig import Rig, eventually, pm_mail

Json = Any


def framed(receiver: Receiver) -> str:
    return FRAME.replace("{0}", receiver.url)


def drained(rig: Rig) -> None:
    eventually(lambda: not rig.get("/_webhooks")["pending"])


def visits(receiver: Receiver) -> list[Posted]:
    return [post for post in list(receiver.posts) if not post.path.startswith("/webhooks/")]


def told(rig: Rig) -> Counter[str]:
    return Counter(item["kind"] for item in rig.get("/_events", limit=10_000)["items"])


@pytest.mark.parametrize("esp", ESPS)
def test_a_reader_fetches_the_pixel_and_clicks_one_link_and_the_esp_is_silent(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    receiver.answer = lambda post: 302 if post.path.startswith("/c/") else 200
    rig.webhooks(target=receiver.url)
    send(rig, esp, ["click+ann@x.example"], framed(receiver))
    drained(rig)
    # On a busy machine both are due at once, and two lanes carry them.
    link, pixel = sorted(visits(receiver), key=lambda post: post.path)
    assert (pixel.method, pixel.path) == ("GET", "/o/0")
    assert (link.method, link.path[:5]) == ("GET", "/c/0/")
    assert pixel.headers["User-Agent"] == link.headers["User-Agent"] == BROWSER.agent
    assert pixel.headers["Accept"].startswith("image/")
    kinds = told(rig)
    assert (kinds["visit_open"], kinds["visit_click"], kinds["open"], kinds["click"]) == (
        1, 1, 0, 0,
    )  # fmt: skip
    statuses = {item["kind"]: item["status"] for item in rig.get("/_events")["items"]}
    assert (statuses["visit_open"], statuses["visit_click"]) == (200, 302)
    shown = rig.get("/_stats")["esps"][esp]
    assert shown["visits"] == {"visit_open": 1, "visit_click": 1}
    assert "visit_open" not in shown["events_posted"]


def test_whoever_clicks_picks_the_same_link_every_time(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url)
    people = [f"click+{n}@x.example" for n in range(30)]
    for _ in range(2):
        send(rig, "sendgrid", people, framed(receiver))
    drained(rig)
    clicks = Counter(post.path for post in visits(receiver) if post.path.startswith("/c/"))
    assert set(clicks.values()) == {2}
    assert len(clicks) == 30
    assert {path.partition("/c/")[2].partition("/")[2] for path in clicks} == {"0", "1?x=1&y"}


def test_proxies_fetch_for_some_and_say_so(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url, engagement=1)
    send(rig, "postmark", [f"p{n}@x.example" for n in range(200)], framed(receiver))
    drained(rig)
    agents = Counter(p.headers["User-Agent"] for p in visits(receiver) if "/o/" in p.path)
    assert set(agents) == {BROWSER.agent, PRIVACY_PROXY.agent, GMAIL_PROXY.agent}
    assert 30 < agents[PRIVACY_PROXY.agent] + agents[GMAIL_PROXY.agent] < 100
    assert told(rig)["visit_machine_open"] == agents.total() - agents[BROWSER.agent]
    clicks = [post for post in visits(receiver) if "/c/" in post.path]
    assert 20 < len(clicks) < 100
    assert {click.headers["User-Agent"] for click in clicks} == {BROWSER.agent}


def test_nobody_goes_anywhere_but_to_the_target(rig: Rig, receiver: Receiver) -> None:
    with receiving() as other:
        port = receiver.url.rpartition(":")[2]
        hosts = (
            other.url, f"{receiver.url}@{other.url.removeprefix('http://')}", f"{receiver.url}9",
            f"https://127.0.0.1:{port}", f"http://evil.example:{port}", "http://[::1", "http://",
            f"http://127.0.0.1.evil.example:{port}", f"http://evil.example/?{receiver.url}",
        )  # fmt: skip
        page = "".join(f'<img src="{host}/o/bad"><a href="{host}/c/bad/0">x</a>' for host in hosts)
        page += f'<!-- <img src="{receiver.url}/o/hidden"> --><IMG width=1 SRC=\'http://localhost:'
        page += f"{port}/o/good é'><img src='{receiver.url}/logo.png'>"
        page += (
            f'<a href="{receiver.url}/unsubscribe/t">leave</a><a href="{receiver.url}/v/t">v</a>'
        )
        rig.webhooks(target=receiver.url)
        send(rig, "ses", ["click+ann@x.example"], page.replace(" é", "%C3%A9"))
        drained(rig)
        assert [post.path for post in visits(receiver)] == ["/o/good%C3%A9", "/logo.png"]
        assert other.posts == []
        assert told(rig)["visit_click"] == 0


@pytest.mark.parametrize("esp", ESPS)
def test_an_esp_whose_tracking_is_switched_on_sees_it_itself(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    rig.webhooks(target=receiver.url)
    send(rig, esp, ["click+ann@x.example"], framed(receiver), ON[esp])
    drained(rig)
    assert visits(receiver) == []
    assert (told(rig)["open"], told(rig)["click"]) == (1, 1)


@pytest.mark.parametrize("esp", ESPS)
def test_what_neither_the_product_nor_the_esp_tracks_is_seen_by_nobody(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    rig.webhooks(target=receiver.url)
    send(rig, esp, ["click+ann@x.example"], '<a href="https://a.example/">a</a>')
    drained(rig)
    assert visits(receiver) == []
    assert set(told(rig)) <= {"processed", "delivered"}


@pytest.mark.parametrize("esp", ESPS)
def test_a_request_that_says_nothing_of_tracking_leaves_it_to_the_products_own(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    rig.webhooks(target=receiver.url)
    send(rig, esp, ["open+ann@x.example"], framed(receiver), {})
    send(rig, esp, ["open+bob@x.example"], "<p>no picture", {})
    drained(rig)
    assert [post.path for post in visits(receiver)] == ["/o/0"]
    assert (told(rig)["visit_open"], told(rig)["open"]) == (1, 1)


@pytest.mark.parametrize("esp", ESPS)
def test_one_click_leaves_the_list_by_a_post_and_by_nothing_else(
    rig: Rig, receiver: Receiver, esp: str
) -> None:
    rig.webhooks(target=receiver.url)
    way_out = f"{receiver.url}/unsubscribe/t?a=1"
    people = ["unsub+ann@x.example", "click+bob@x.example"]
    send(rig, esp, people, f'<a href="{way_out}">leave</a>', way_out=way_out)
    drained(rig)
    [left] = visits(receiver)
    assert (left.method, left.path, left.body.decode()) == (
        "POST", "/unsubscribe/t?a=1", ONE_CLICK,
    )  # fmt: skip
    assert left.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (told(rig)["visit_unsubscribe"], told(rig)["unsubscribe"]) == (1, 0)


def test_without_the_one_click_field_no_program_unsubscribes(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url)
    header = [{"Name": "List-Unsubscribe", "Value": f"<{receiver.url}/unsubscribe/t>"}]
    rig.pm_post("/email/batch", [pm_mail("unsub+ann@x.example", Headers=header)])
    drained(rig)
    assert visits(receiver) == []
    assert told(rig)["unsubscribe"] == 1


def test_ses_tells_of_a_contact_list_that_the_call_names(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url)
    text = {"Data": "Hello"}
    rig.ses.send_email(
        FromEmailAddress="news@a.example",
        Destination={"ToAddresses": ["unsub+ann@x.example"]},
        Content={"Simple": {"Subject": text, "Body": {"Text": text}}},
        ListManagementOptions={"ContactListName": "weekly"},
    )
    drained(rig)
    assert told(rig)["unsubscribe"] == 1


def test_a_visit_is_tried_again_while_the_product_is_down_and_dropped_when_it_knows_nothing(
    rig: Rig, receiver: Receiver
) -> None:
    seen: Counter[str] = Counter()

    def answer(post: Posted) -> int:
        seen[post.path] += 1
        if post.path == "/o/0":
            return 503 if seen[post.path] < 3 else 200
        return {"/o/1": 404, "/o/2": 500}.get(post.path, 200)

    receiver.answer = answer
    rig.webhooks(target=receiver.url, retry_seconds=0.02)
    send(rig, "sendgrid", [f"open+{n}@x.example" for n in range(3)], framed(receiver))
    drained(rig)
    items = rig.get("/_events", kind="visit_open")["items"]
    assert sorted((item["status"], item["attempts"]) for item in items) == [
        (200, 3), (404, 1), (500, MAX_TRIES),
    ]  # fmt: skip
    assert (seen["/o/0"], seen["/o/1"], seen["/o/2"]) == (3, 1, MAX_TRIES)


def test_what_is_still_to_be_read_outlives_the_simulator(db: Path, receiver: Receiver) -> None:
    with simulator.start(db, webhook_target=receiver.url) as running:
        rig = Rig(running.url)
        send(rig, "sendgrid", ["click+ann@x.example"], framed(receiver))
        eventually(lambda: rig.get("/_webhooks")["pending"] == {"readers": 2})
        assert rig.get("/_stats")["total"]["visits_pending"] == 2
        at = time.time()
    assert visits(receiver) == []
    with simulator.start(db) as running:
        drained(Rig(running.url))
    link, pixel = sorted(visits(receiver), key=lambda post: post.path)
    # By default nobody opens within half a second of delivery, or clicks within two and a half.
    assert pixel.at - at > 0.3
    assert link.at - at > 2.2


def test_mail_is_delivered_before_it_is_read(rig: Rig, receiver: Receiver) -> None:
    def slow(post: Posted) -> int:
        time.sleep(0.3 if post.path.startswith("/webhooks/") else 0)
        return 200

    receiver.answer = slow
    rig.webhooks(target=receiver.url, paused=True)
    send(rig, "postmark", [f"click+{n}@x.example" for n in range(8)], framed(receiver))
    time.sleep(0.15)
    assert rig.get("/_webhooks")["pending"] == {"postmark": 8, "readers": 16}
    assert receiver.posts == []
    rig.webhooks(paused=False)
    drained(rig)
    delivered = [post.at for post in receiver.at("/webhooks/postmark")]
    assert max(delivered) < min(post.at for post in visits(receiver))


def test_a_forgotten_message_is_read_by_nobody(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target="http://127.0.0.1:9", retry_seconds=0.02)
    for esp in ESPS:
        send(rig, esp, [f"click+{n}@x.example" for n in range(20)], framed(receiver))
    time.sleep(0.1)
    assert rig.call("POST", "/_reset")[0] == 200
    drained(rig)
    send(rig, "postmark", ["open+ann@x.example"], framed(receiver))
    rig.webhooks(target=receiver.url)
    drained(rig)
    assert [post.path for post in visits(receiver)] == ["/o/0"]


def test_many_readers_hold_up_no_webhook_and_keep_their_connections(
    rig: Rig, receiver: Receiver
) -> None:
    rig.webhooks(target=receiver.url, engagement=1, paused=True)
    people = [f"open+{n}@x.example" for n in range(1000)]
    for _ in range(3):
        send(rig, "sendgrid", people, framed(receiver))
    rig.webhooks(paused=False)
    eventually(lambda: len(visits(receiver)) > 50)
    start = time.time()
    send(rig, "postmark", ["hard+ann@x.example"], framed(receiver))
    receiver.wait("/webhooks/postmark", 1)
    assert time.time() - start < 1.5
    assert rig.get("/_webhooks")["pending"]["readers"] > 500
    drained(rig)
    assert len(visits(receiver)) == 3000
    assert len({post.port for post in visits(receiver)}) <= LANES
