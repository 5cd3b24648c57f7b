"""Lists of the older version: each shape, and nobody nearer than any of their flags says."""

import json
from typing import Any

import pytest

from database.lifecycle import further
from utils.legacy import legacy_rows
from utils.rows import BadFile

ANN = "ann@example.com"


def cells(found: Any) -> list[dict[str, Any]]:
    return [row.cells for row in legacy_rows(json.dumps(found).encode(), further)]


@pytest.mark.parametrize(
    "found,person",
    [
        ([ANN], {"email": ANN}),
        ([{"email": ANN, "name": "Ann"}], {"email": ANN, "name": "Ann"}),
        ({ANN: {"name": "Ann"}}, {"email": ANN, "name": "Ann"}),
        ({ANN: {"name": "Ann", "Email": "x"}}, {"email": ANN, "name": "Ann"}),
        ({ANN: "Ann"}, {"email": ANN, "name": "Ann"}),
        ({ANN: None}, {"email": ANN}),
        ({ANN: True}, {"email": ANN}),
        ({ANN: False}, {"email": ANN, "status": "unsubscribed"}),
        ({"17": {"email": ANN, "plan": "pro"}}, {"email": ANN, "plan": "pro"}),
    ],
)
def test_every_shape(found: Any, person: dict[str, Any]) -> None:
    assert cells(found) == [person]
    assert cells({"subscribers": found, "version": 1}) == [person]


@pytest.mark.parametrize(
    "said,status",
    [
        ({}, None),
        ({"active": True, "subscribed": 1, "unsubscribed": False, "bounced": 0}, None),
        ({"active": False}, "unsubscribed"),
        ({"Subscribed": 0}, "unsubscribed"),
        ({"unsubscribed": True}, "unsubscribed"),
        ({"unsubscribed_at": "2020-01-01"}, "unsubscribed"),
        ({"unsubscribed_at": None}, None),
        ({"bounced": True, "status": "active"}, "bounced"),
        ({"bounced": True, "active": False}, "unsubscribed"),
        ({"active": False, "Status": "complained"}, "complained"),
        ({"active": True, "status": "unsubscribed"}, "unsubscribed"),
        ({"confirmed": False}, "pending"),
        ({"active": False, "status": "gone fishing"}, "gone fishing"),
    ],
)
def test_every_flag_against_mailing_counts(said: dict[str, Any], status: str | None) -> None:
    person = cells([{"email": ANN, **said}])[0]
    assert person.get("status", person.get("Status")) == status


def test_places_and_entries_that_are_nobody() -> None:
    rows = list(legacy_rows(json.dumps([ANN, 5, None, ["x"], {}]).encode(), further))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert [bool(row.fault) for row in rows] == [False, True, True, True, False]


def test_a_mark_is_no_mistake() -> None:
    assert len(list(legacy_rows(b'\xef\xbb\xbf["a@example.com"]', further))) == 1


@pytest.mark.parametrize("data", [b"", b"no", b"5", b'"x"', b"null", b"\xff\xfe"])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(BadFile):
        legacy_rows(data, further)
