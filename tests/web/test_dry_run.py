"""A dry run says what a launch would do, and does nothing of it."""

from typing import Any

import pytest

from database.models import campaigns
from services.quota import Limits
from tests import house as homes
from tests.web.test_campaigns import MAIL, Served


def dry(served: Served, **fields: Any) -> Any:
    answer = served.api.post("/send-campaign", MAIL | {"dry_run": True} | fields)
    assert answer.status_code == 200, answer.json
    with served.home.db.read() as connection:
        assert connection.execute(campaigns.select()).all() == [], "nothing is stored"
    assert served.home.woken == []
    return answer.json


def split(found: Any) -> dict[str, int]:
    return {one["esp"]: one["recipients"] for one in found["split"] if one["recipients"]}


def test_it_tells_audience_split_sample_and_what_is_missing(database_url: str) -> None:
    served = Served(database_url)
    served.home.add_people(4, first=90, attributes={})
    found = dry(served, html="<p>{{ name }} is {{ plan }}</p>")

    assert found["audience"] == 24
    assert split(found) == {"sendgrid": 24}
    assert found["missing"] == [
        {"name": "plan", "count": 4,
         "examples": [f"Person{n}@example.com" for n in (90, 91, 92)]},
    ]  # fmt: skip
    assert [p["field"] for p in found["problems"]] == ["html"]
    assert "<p>Person 0 is pro</p>" in found["sample"]["html"]
    assert found["finish"]["binds"] == "nothing"
    allowed = dry(served, html="<p>{{ name }} is {{ plan }}</p>", allow_missing=True)
    assert (allowed["problems"], len(allowed["missing"])) == ([], 1)
    served.home.db.dispose()


def test_the_split_is_what_then_happens(sqlite_url: str) -> None:
    """Six for the first ESP today, nine for the second, the rest for the third."""
    limits = {"sendgrid": Limits(6, None), "ses": Limits(9, None), "postmark": Limits(None, None)}
    served = Served(sqlite_url, limits=limits)
    found = dry(served)
    assert split(found) == {"sendgrid": 6, "ses": 9, "postmark": 5}
    assert [one["remaining_today"] for one in found["split"]] == [6, 9, None]

    number = served.launch()
    served.home.drain(number)
    assert {name: len(esp.taken) for name, esp in served.home.esps.items()} == split(found)
    served.home.db.dispose()


def test_limits_that_do_not_suffice_today_move_the_end_to_another_day(sqlite_url: str) -> None:
    served = Served(sqlite_url, limits={name: Limits(3, None) for name in homes.NAMES})
    found = dry(served)
    assert found["finish"]["binds"] == "daily limit"
    assert found["finish"]["not_before"].endswith("T00:00:00.000Z")
    assert sum(split(found).values()) == 20
    served.home.db.dispose()


def test_an_esp_that_takes_nothing_says_why(sqlite_url: str) -> None:
    served = Served(sqlite_url)
    served.api.post("/esps/sendgrid/pause", {"reason": "maintenance"})
    found = dry(served)
    assert split(found) == {"ses": 20}
    assert found["split"][0]["why_not"] == "paused: maintenance"
    pinned = dry(served, esp="sendgrid")
    assert (split(pinned), pinned["finish"]) == (
        {}, {"not_before": None, "binds": "no ESP may take it"},
    )  # fmt: skip
    served.home.db.dispose()


@pytest.mark.parametrize(
    "fields,field",
    [({"html": "{% if %}"}, "html"), ({"segment": "nobody"}, "segment"),
     ({"segment": {"any": 5}}, "segment.any"), ({"subject": ""}, "subject"),
     ({"scheduled_at": "2020-01-01T00:00:00Z"}, "scheduled_at")],
)  # fmt: skip
def test_what_a_launch_would_refuse_is_told(
    sqlite_url: str, fields: dict[str, Any], field: str
) -> None:
    served = Served(sqlite_url)
    found = dry(served, **fields)
    assert field in [problem["field"] for problem in found["problems"]]
    served.home.db.dispose()
