"""What an ESP told of our account, and how long it binds."""

from dataclasses import replace

import pytest

from database.models import Lane
from services import account as accounts
from services.account import Account, Figures
from services.esp_state import EspState
from services.quota import Limits, allowance, in_force, reserved

NOW = 1_800_000_000.0


def state(**told: object) -> EspState:
    account = Account(**told)  # type: ignore[arg-type]
    return EspState(account=accounts.told(Figures(), account, NOW, NOW))


def test_the_smaller_of_ours_and_the_esps_figure_holds() -> None:
    its = state(quota=1000, used=400, rate=14.0)
    assert allowance(Limits(None, None), its, 0, Lane.TRANSACTIONAL, NOW)[0] == 14
    assert allowance(Limits(None, 1000.0), its, 0, Lane.TRANSACTIONAL, NOW)[0] == 14
    assert allowance(Limits(None, 5.0), its, 0, Lane.TRANSACTIONAL, NOW)[0] == 5
    slow = replace(its, account=replace(its.account, rate=None))
    assert allowance(Limits(None, None), slow, 0, Lane.TRANSACTIONAL, NOW)[0] == 600
    assert allowance(Limits(900, None), slow, 700, Lane.TRANSACTIONAL, NOW)[0] == 200
    assert allowance(Limits(900, None), slow, 0, Lane.TRANSACTIONAL, NOW)[0] == 600


def test_campaigns_leave_the_reserve_of_the_esps_quota_too() -> None:
    its = state(quota=1000, used=850)
    assert allowance(Limits(None, None, 10), its, 0, Lane.CAMPAIGN, NOW)[0] == 50
    assert allowance(Limits(None, None, 10), its, 0, Lane.TRANSACTIONAL, NOW)[0] == 150


def test_what_is_reserved_after_the_answer_counts_until_the_next_one() -> None:
    its, none = state(quota=1000, used=400), Limits(None, None)
    its = reserved(none, its, 590, Lane.CAMPAIGN, NOW + 30)
    assert allowance(none, its, 0, Lane.CAMPAIGN, NOW + 40)[0] == 10
    its = reserved(none, its, 10, Lane.CAMPAIGN, NOW + 200)
    room, until, why = allowance(none, its, 0, Lane.CAMPAIGN, NOW + 201)
    assert (room, why) == (0, "the ESP's own quota")
    assert until == NOW + accounts.ASK_EVERY_SECONDS
    # The ten of a minute ago may not be in its count yet; the others are.
    asked = NOW + 245
    figures = accounts.told(its.account, Account(quota=1000, used=990), asked, asked + 1)
    assert accounts.room(figures, asked + 2) == 0
    figures = accounts.told(figures, Account(quota=1000, used=900), asked + 300, asked + 301)
    assert accounts.room(figures, asked + 302) == 100


def test_a_rolling_window_gives_back_what_has_grown_old() -> None:
    figures = accounts.told(Figures(), Account(quota=100, used=100), NOW, NOW)
    assert accounts.room(figures, NOW) == 0
    figures = accounts.told(figures, Account(quota=100, used=40), NOW + 300, NOW + 300)
    assert accounts.room(figures, NOW + 300) == 60


@pytest.mark.parametrize("later", [accounts.GOOD_SECONDS, -10.0])
def test_a_figure_that_is_old_or_of_the_future_binds_nobody(later: float) -> None:
    its = state(quota=10, used=10, rate=1.0)
    assert allowance(Limits(None, None), its, 0, Lane.CAMPAIGN, NOW + later)[0] is None


def test_a_new_window_of_the_esp_ends_the_figure_of_the_old_one() -> None:
    its = state(quota=10, used=10, resets_at=NOW + 100)
    room, until, _ = allowance(Limits(None, None), its, 0, Lane.CAMPAIGN, NOW)
    assert (room, until) == (0, NOW + 100)
    assert allowance(Limits(None, None), its, 0, Lane.CAMPAIGN, NOW + 100)[0] is None


def test_an_esp_that_is_asked_has_a_modest_rate_until_it_has_told() -> None:
    asked = Limits(None, None, until_told=14.0)
    assert in_force(asked, EspState(), NOW).rate == 14
    assert in_force(asked, state(rate=200.0), NOW).rate == 200
    assert in_force(asked, state(rate=None), NOW).rate == 14
    assert in_force(replace(asked, rate=3.0), EspState(), NOW).rate == 3


def test_the_reservations_kept_do_not_grow() -> None:
    figures = accounts.told(Figures(), Account(quota=10**9), NOW, NOW)
    for minute in range(500):
        figures = accounts.reserved(figures, 1, NOW + 60 * minute)
    assert len(figures.reserved) < 30


def test_figures_survive_the_database_and_words_of_another_version() -> None:
    its = reserved(Limits(None, None), state(quota=5, resets_at=NOW), 2, Lane.CAMPAIGN, NOW)
    told = its.to_json()
    assert EspState.from_json(told) == its
    told["account"]["of tomorrow"] = told["of tomorrow"] = 1
    assert EspState.from_json(told) == its


@pytest.mark.parametrize(
    "since,due", [(-1.0, False), (-61.0, True), (0.0, False), (299.0, False), (300.0, True)]
)
def test_an_esp_is_asked_every_few_minutes(since: float, due: bool) -> None:
    assert accounts.due(Figures(asked_at=NOW), NOW + since) is due
