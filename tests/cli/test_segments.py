"""`segment` in a terminal."""

import json
from collections.abc import Iterator

import pytest

from cli.segments import segment
from database.segments import SavedSegments
from tests.cli.test_commands import Terminal

PRO = '{"field": "attributes.plan", "op": "=", "value": "pro"}'
SAVED = {"segments": {"pros": json.loads(PRO), "few": {"all": ["pros", {"not": "vip"}]}}}


@pytest.fixture
def terminal(sqlite_url: str) -> Iterator[Terminal]:
    made = Terminal(sqlite_url)
    made.parts.extras["segments"] = SavedSegments(SAVED)
    yield made
    made.db.dispose()


def test_saved_segments_are_listed(terminal: Terminal) -> None:
    assert terminal.run(segment, "list").stdout.splitlines()[1] == f"pros  {PRO}"
    assert json.loads(terminal.run(segment, "list", "--json").stdout) == SAVED["segments"]


@pytest.mark.parametrize("rule", [PRO, "pros", "few"])
def test_a_segment_is_counted(terminal: Terminal, rule: str) -> None:
    assert terminal.run(segment, "count", rule).stdout == "5 people, 5 of them active\n"
    assert json.loads(terminal.run(segment, "count", rule, "--json").stdout)["reached"] == 5


def test_why_somebody_is_in_it(terminal: Terminal) -> None:
    result = terminal.run(segment, "explain", "few", "Person0@Example.com")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "Person0@example.com is in it, and active",
        "  ✔ all of:",
        '    ✔ attributes.plan = "pro"  (is "pro")',
        "    ✔ not of:",
        '      ✘ tags contains "vip"  (is [])',
    ]


def test_who_is_not_in_it_is_said_by_the_exit_code_too(terminal: Terminal) -> None:
    result = terminal.run(segment, "explain", "vip", "person0@example.com", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["found"] == []


@pytest.mark.parametrize(
    "words,told",
    [
        (("count", "{"), "is not JSON"),
        (("count", '{"field": "age", "op": "=", "value": 1}'), "there is no such field"),
        (("explain", "pros", "nobody@example.com"), "no subscriber with this address"),
    ],
)
def test_what_cannot_be_asked_is_said(terminal: Terminal, words: list[str], told: str) -> None:
    result = terminal.run(segment, *words)
    assert result.exit_code in (1, 2)
    assert told in result.output
