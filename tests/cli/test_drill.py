"""`simulator drill` for real: processes, HTTP, five faults, and the account of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.drill import drill, settings
from cli.drill_day import BROWNOUT, HARD, LAG, SILENT, SLUMP
from config.settings import load
from tests.conftest import forget_settings

ROOT = Path(__file__).parents[2]
KEYS = {"API_KEY": "a1" * 16, "SECRET_KEY": "b2" * 16, "ERASURE_KEY": "c3" * 16}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of one short drill, under settings of a host that must not reach it."""
    environment = dict(os.environ)
    forget_settings(environment)
    environment |= {"MODE": "live", "DATABASE_URL": "sqlite:////nowhere/at/all.db"}
    folder = tmp_path_factory.mktemp("drill")
    run = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "simulator", "drill",
         "--short", "--speed", "60", "--json", "--folder", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "⚡" in run.stderr  # what happens is told while it happens
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def test_every_fault_is_noticed_and_the_log_says_why(shown: dict[str, Any]) -> None:
    faults = {fault["kind"]: fault for fault in shown["faults"]}
    assert list(faults) == [HARD, SILENT, SLUMP, BROWNOUT, LAG]
    words = {
        HARD: "api breaker: requests fail: ServiceUnavailable",
        SILENT: "accepted messages without any event",
        SLUMP: "microsoft",
        BROWNOUT: "api breaker: requests fail",
        LAG: "accepted messages without any event",
    }
    for kind, fault in faults.items():
        assert words[kind] in fault["why"]
        assert 0 < fault["noticed_after"] <= fault["ended"] - fault["began"]
        if kind != SLUMP:
            assert fault["shown_after"] is not None
            assert fault["log"][0]["what"] == "open"
    lag = faults[LAG]["log"]
    assert any("the webhooks lagged, no mail was lost" in line["why"] for line in lag)


def test_nobody_is_lost_but_in_the_silent_outage(shown: dict[str, Any]) -> None:
    lost = {fault["kind"]: fault["lost"] for fault in shown["faults"]}
    assert {kind for kind, count in lost.items() if count} == {SILENT}
    ledger = shown["ledger"]
    assert ledger["accepted"] == lost[SILENT]
    assert sum(ledger.values()) == shown["messages"] > 0
    left = {"accepted", "delivered", "bounced"}
    assert not any(count for status, count in ledger.items() if status not in left)
    assert all(shown["checks"].values())


def test_the_others_are_accounted_for_on_the_same_day(shown: dict[str, Any]) -> None:
    ways = {way["name"]: way for way in shown["ways"]}
    total = shown["messages"]
    for way in ways.values():
        parts = way["delivered"] + way["vanished"] + way["blocked"]
        assert parts == pytest.approx(total, abs=0.5)
        assert 0 <= way["regret"] < 1
    assert ways["static, sendgrid first"]["vanished"] > ways["the house"]["vanished"]
    assert ways["static, ses first"]["vanished"] == 0


def test_its_settings_are_good_settings() -> None:
    made = load({**KEYS, "MODE": "sandbox", **settings(40.0, 1764000000.5)}, None)
    assert made.service.drill_clock is not None
    assert made.service.drill_clock.speed == 40
    assert {esp.daily_limit for esp in made.esps.values()} == {None}
    assert {esp.priority for esp in made.esps.values()} == {1}


@pytest.mark.parametrize("words", [["--speed", "0"], ["--speed", "500"], ["--rate", "1"]])
def test_what_cannot_be_played_is_refused_before_anything_starts(words: list[str]) -> None:
    result = CliRunner().invoke(drill, words)
    assert result.exit_code == 2
    assert words[0] in result.output
