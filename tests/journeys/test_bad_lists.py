"""A new installation mails a list that does nothing but bounce: the campaign stops by itself, with
nearly everybody still queued (T10 for real, over HTTP and webhooks)."""

from collections.abc import Callable

from cli.stage import Stage
from tests.journeys.test_kills import launch, stage, until

__all__ = ["stage"]

PEOPLE, RATE = 4_000, 60


def test_a_bad_list_stops_by_itself_on_a_new_installation(stage: Callable[..., Stage]) -> None:
    theatre = stage(
        **{f"{esp}_RATE_PER_SECOND": str(RATE) for esp in ("SENDGRID", "SES", "POSTMARK")}
    )
    theatre.start()
    rows = "\n".join(f"hard+{n}@example.com,Person {n}" for n in range(PEOPLE))
    answer = theatre.call(
        "POST", "/subscribers/import", f"email,name\n{rows}\n".encode(), Content_Type="text/csv"
    )
    assert answer.body["added"] == PEOPLE
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["status"] != "sending", 60)
    until(lambda: not theatre.campaign(campaign)["ledger"]["accepted"], 30)
    shown = theatre.campaign(campaign)
    assert shown["status"] == "paused"
    assert "hard bounces of" in shown["guard"]["cause"]
    assert shown["balanced"]
    assert shown["ledger"]["queued"] > PEOPLE / 2, shown["ledger"]
    assert theatre.run("verify").returncode == 0
