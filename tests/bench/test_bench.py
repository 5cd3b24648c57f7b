"""The bench runs, and everybody who counts agrees; what it measures here means nothing."""

import json

import pytest

from bench import campaign, memory, ours, templates

RECIPIENTS = 200


def test_all_sides_mail_everybody_once() -> None:
    result = campaign.run(RECIPIENTS, rounds=1)  # a wrong count raises Miscount
    told = json.loads(campaign.as_json(result))
    assert {(row["esp"], row["way"]) for row in told["measured"]} == {
        (esp, way) for esp in ours.ESPS for way in (campaign.OURS, campaign.BATCH, campaign.EACH)
    }
    assert all(row["cpu_us"] > 0 for row in told["measured"])
    assert "claim" in told["steps"]["ses"]
    assert "postmark" in campaign.shown(result)


def test_a_gate_that_is_missed_is_said() -> None:
    slow = campaign.Measured("ses", campaign.BATCH, 10, [30.0], [2.4])
    result = campaign.Result([slow])
    assert not result.passed
    assert "MISSED" in campaign.shown(result)


def test_templates_with_and_without_logic_are_measured_in_one_run() -> None:
    found = templates.measure(5, rounds=1)
    assert set(found) == {"variables", "logic", "engine"}
    assert found["variables"] < found["logic"]


@pytest.mark.skipif(not memory.available(), reason="the peak of a process is read from /proc")
def test_memory_is_measured_in_a_fresh_process() -> None:
    grown = memory.measure("postmark", (RECIPIENTS,))
    assert grown.costs[0].peak > 10
    assert grown.costs[0].cpu_us > 0
    assert "holds" in memory.shown([grown])
