"""Two worker processes race for one campaign while an ESP breaks in every way: nobody twice, nobody
lost, and only the ambiguous in doubt."""

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from cli.stage import Stage
from tests import house
from tests.journeys.test_faults import AT_THE_DOOR, CERTAIN, DOUBTFUL
from tests.journeys.test_kills import add_people, copies, launch, settled, stage, until

__all__ = ["stage"]

PEOPLE = 500  # five claims for two processes of four threads
#: Long enough for a busy machine to answer in, so that only the broken ESP leaves doubts.
SETTINGS = {
    **{f"{esp.upper()}_TIMEOUT_SECONDS": "5" for esp in house.NAMES},
    **{f"{esp.upper()}_BATCH_SIZE": "20" for esp in house.NAMES},
    "LEASE_SECONDS": "20",
}


@pytest.mark.long
@pytest.mark.parametrize("esp", house.NAMES)
@pytest.mark.parametrize("kind", [*CERTAIN, *AT_THE_DOOR, *DOUBTFUL])
def test_whatever_breaks_two_racing_workers_mail_everybody_once(
    stage: Callable[..., Stage], esp: str, kind: str
) -> None:
    theatre = stage(**SETTINGS)
    theatre.start_simulator()
    theatre.start_web()
    add_people(theatre, PEOPLE)
    theatre.fault(esp, kind)
    campaign = launch(theatre)
    for name in ("one worker", "another worker"):
        theatre.start_worker(name)
    account = until(lambda: (a := theatre.campaign(campaign)) and settled(a) and a, 150)
    assert account["balanced"]
    assert sum(account["ledger"].values()) == PEOPLE
    assert theatre.simulator("GET", "/_faults").body["items"][0]["hits"]
    rows = list(sends(theatre, campaign))  # read once: webhooks go on ending doubts
    doubts = {row["send_id"] for row in rows if row["status"] == "in_doubt"}
    assert {row["esp"] for row in rows if row["send_id"] in doubts} <= {esp}
    assert not doubts or kind not in CERTAIN
    taken = copies(theatre)
    assert max(taken.values()) == 1
    told = {row["send_id"] for row in rows} - doubts
    assert told == set(taken) - doubts, "told as sent, but no ESP has it"
    verified = theatre.run("verify")
    assert verified.returncode == 0, verified.stdout


def sends(theatre: Stage, campaign: int) -> Iterator[dict[str, str]]:
    """A campaign's sends, page by page."""
    query = {"limit": "100"}
    while True:
        answer = theatre.call("GET", f"/campaigns/{campaign}/sends?{urlencode(query)}")
        assert answer.status == 200, answer.body
        yield from answer.body["items"]
        if answer.body["next_cursor"] is None:
            return
        query["cursor"] = answer.body["next_cursor"]
