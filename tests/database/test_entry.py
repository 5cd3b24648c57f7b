"""Addresses as they come in: warned of, or refused by a setting; an opt-out always comes in."""

import pytest

from database.models import SubscriberStatus as S
from list_manager import ListManager
from tests.database.import_desk import Desk
from tests.database.test_imports import counts, put
from utils.addresses import parse
from utils.errors import Invalid
from utils.person import Change

TEXT = "email\nann@gmial.com\nbob@gmail.co\ninfo@example.com\neve@mailinator.com\nok@example.com\n"


def strict(desk: Desk, *kinds: str) -> ListManager:
    return ListManager(desk.db, erasure_key="secret", clock=desk.clock, refused=kinds)


def test_signs_are_warned_of_with_their_rows(desk: Desk) -> None:
    report = put(desk.lists, TEXT)
    assert counts(report) == (5, 0, 0, 0)
    mistyped, throw_away, roles = report.warnings
    assert mistyped == (
        "Addresses that look mistyped: 2 (row 2: gmial.com looks like a typing error of "
        "gmail.com; row 3: gmail.co looks like a typing error of gmail.com)"
    )
    assert throw_away.startswith("Throw-away mailboxes: 1 (row 5: mailinator.com")
    assert roles == "Roles instead of persons: 1 (row 4: info@ is a role, not a person)"


@pytest.mark.parametrize(
    "kinds,rows", [(("typo",), [2, 3]), (("disposable", "role"), [4, 5]), ((), [])]
)
def test_what_is_refused_is_a_bad_row(desk: Desk, kinds: tuple[str, ...], rows: list[int]) -> None:
    report = put(strict(desk, *kinds), TEXT)
    assert [error.row for error in report.errors] == rows
    assert all("refused here" in error.message for error in report.errors)
    assert len(report.warnings) == 3 - len(kinds)


@pytest.mark.parametrize("status", [s for s in S if s is not S.ERASED])
def test_an_opt_out_comes_in_whatever_its_address_is(desk: Desk, status: S) -> None:
    report = put(strict(desk, "typo"), f"email,status\nann@gmial.com,{status}\n")
    assert report.rejected == (1 if status in {S.ACTIVE, S.PENDING} else 0)


def test_nobody_new_comes_in_by_the_api_and_who_is_there_stays(desk: Desk) -> None:
    change = Change(parse("info@example.com"), name="Info")
    with pytest.raises(Invalid, match="role"):
        strict(desk, "role").upsert(change, by="t")
    desk.lists.upsert(Change(change.address), by="t")
    assert strict(desk, "role").upsert(change, by="t")[0].name == "Info"
    gone = Change(parse("sales@example.com"), status=S.UNSUBSCRIBED)
    assert strict(desk, "role").upsert(gone, by="t")[0].status is S.UNSUBSCRIBED
