"""A campaign's time over HTTP: given, shown, changed, refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.web.test_campaigns import MAIL, Served, fields_of


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.home.db.dispose()


def moment(served: Served, hours: float, zone: timezone = UTC) -> str:
    return (datetime.fromtimestamp(served.home.clock(), zone) + timedelta(hours=hours)).isoformat(
        timespec="milliseconds"
    )


def as_utc(text: str) -> str:
    at = datetime.fromisoformat(text).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_campaign_is_scheduled_in_any_zone_and_shown_in_utc(served: Served) -> None:
    at = moment(served, 5, timezone(timedelta(hours=-7)))
    answer = served.api.post("/send-campaign", MAIL | {"scheduled_at": at})

    assert (answer.status_code, answer.json["status"]) == (202, "scheduled")
    shown = served.api.get(f"/campaigns/{answer.json['campaign_id']}").json
    assert (shown["status"], shown["scheduled_at"]) == ("scheduled", as_utc(at))
    assert (shown["launched_at"], shown["audience"], shown["problems"]) == (None, 0, [])
    listed = served.api.get("/campaigns?status=scheduled").json["items"]
    assert [item["scheduled_at"] for item in listed] == [as_utc(at)]


def test_a_drafts_time_is_edited_and_taken_back(served: Served) -> None:
    number = served.api.post("/campaigns", {"scheduled_at": moment(served, 5)}).json["id"]
    path = f"/campaigns/{number}"
    later = moment(served, 9)

    assert served.api.patch(path, {"scheduled_at": later}).json["scheduled_at"] == as_utc(later)
    assert served.api.patch(path, {"subject": "x"}).json["scheduled_at"] == as_utc(later)
    assert served.api.patch(path, {"scheduled_at": None}).json["scheduled_at"] is None
    served.api.patch(path, MAIL | {"scheduled_at": later})
    assert served.api.post(f"{path}/send").json["status"] == "scheduled"
    refused = served.api.patch(path, {"scheduled_at": None})
    assert (refused.status_code, fields_of(refused)) == (422, {"scheduled_at"})
    assert served.api.post(f"{path}/copy").json["scheduled_at"] is None
    cancelled = served.api.post(f"{path}/cancel").json
    assert (cancelled["status"], cancelled["ledger"]["cancelled"]) == ("cancelled", 0)
    assert served.api.post(f"{path}/resume").status_code == 409


@pytest.mark.parametrize(
    "at",
    ["2026-11-24T09:00:00", "2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "tomorrow", "", 5,
     "1900000000",
     1_900_000_000.5, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_a_time_that_is_none_or_cannot_be_meant_is_refused(served: Served, at: Any) -> None:
    body = MAIL | {"scheduled_at": at}
    number = served.api.post("/campaigns", MAIL).json["id"]
    for answer in (
        served.api.post("/send-campaign", body), served.api.post("/campaigns", body),
        served.api.patch(f"/campaigns/{number}", {"scheduled_at": at}),
    ):  # fmt: skip
        assert (answer.status_code, fields_of(answer)) == (422, {"scheduled_at"})
    assert len(served.api.get("/campaigns").json["items"]) == 1


def test_what_cannot_be_sent_any_more_is_mended_and_resumed(served: Served) -> None:
    """One of the people who came meanwhile lacks a variable."""
    body = MAIL | {"html": "<p>{{ plan }}</p>", "scheduled_at": moment(served, 1)}
    number = served.api.post("/send-campaign", body).json["campaign_id"]
    served.home.add_people(1, first=99, attributes={})
    served.home.clock.forward(3700)
    served.home.scheduler.launch_if_due(number)

    path = f"/campaigns/{number}"
    shown = served.api.get(path).json
    assert (shown["status"], [p["field"] for p in shown["problems"]]) == ("paused", ["html"])
    assert fields_of(served.api.post(f"{path}/resume")) == {"html"}
    assert served.api.patch(path, {"html": "<p>Hi</p>"}).json["problems"] == []
    resumed = served.api.post(f"{path}/resume").json
    assert (resumed["status"], resumed["status_reason"]) == ("sending", "resumed by ops")
