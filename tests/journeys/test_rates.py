"""An ESP takes 50 messages a second, then 20, then 60, and says 429 to more: the house follows (T9
for real, over HTTP, by the ESP's own account)."""

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from cli.stage import Stage
from tests.journeys.test_kills import add_people, stage

__all__ = ["stage"]

HIGHEST = 60
STEP_SECONDS = 40.0
#: What the ESP takes, and how long it may take to find that: a rate is cut to 85 %, once a second,
#: and grows by 1 % of the highest a second.
STEPS = ((50, 20.0), (20, 20.0), (60, 70.0))


class Took(NamedTuple):
    """What the ESP counted."""

    accepted: int
    refused: int  #: requests that it answered with 429
    requests: int


def took(theatre: Stage) -> Took:
    seen = theatre.simulator("GET", "/_stats").body["esps"]["sendgrid"]
    return Took(seen["accepted"], seen["answers"].get("429", 0), seen["requests"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_rate_follows_what_an_esp_takes(stage: Callable[..., Stage]) -> None:
    theatre = stage(SENDGRID_RATE_PER_SECOND=str(HIGHEST), SENDGRID_BATCH_SIZE="5")
    theatre.start_simulator()
    theatre.start_web()
    theatre.start_worker()
    add_people(theatre, 9_900)  # from 10,000 on a campaign starts slowly
    body = {"subject": "Hello", "html": "<p>Hi {{ name }}</p>", "esp": "sendgrid"}
    assert theatre.call("POST", "/send-campaign", body).status == 202
    used = possible = refused = requests = 0.0
    for capacity, finding in STEPS:
        limits = {"sendgrid": {"rate_per_second": capacity}}
        assert theatre.simulator("PATCH", "/_limits", limits).status == 200
        time.sleep(finding)
        before, began = took(theatre), time.monotonic()
        time.sleep(STEP_SECONDS)
        after, seconds = took(theatre), time.monotonic() - began
        print(f"T9 {capacity}/s: {(after.accepted - before.accepted) / seconds:.1f}/s")
        used += after.accepted - before.accepted
        possible += capacity * seconds
        refused += after.refused - before.refused
        requests += after.requests - before.requests
    print(f"T9: {used / possible:.1%} used, {refused / requests:.2%} of requests were too many")
    assert used >= 0.9 * possible
    assert refused <= 0.01 * requests
