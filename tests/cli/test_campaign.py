"""The command `campaign`, from a terminal's point of view."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.campaign import campaign
from tests.cli.test_commands import Terminal
from utils.times import rfc3339


@pytest.fixture
def terminal(database_url: str) -> Iterator[Terminal]:
    made = Terminal(database_url)
    yield made
    made.db.dispose()


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.html"
    path.write_text("<p>Hi {{ name }}</p>", encoding="utf-8")
    return str(path)


def test_a_campaign_is_written_looked_at_tried_and_sent(terminal: Terminal, page: str) -> None:
    early = terminal.run(campaign, "draft", "--subject", "Spring")
    assert early.exit_code == 0, early.output
    assert early.stdout == "campaign 1 `Spring`: draft\n  html: give html, text, or both\n"
    refused = terminal.run(campaign, "send", "1")
    assert (refused.exit_code, refused.stderr) == (65, "  html: give html, text, or both\n")

    edited = terminal.run(campaign, "draft", "--update", "1", "--html", page)
    assert edited.stdout == "campaign 1 `Spring`: draft\n"
    seen = terminal.run(campaign, "preview", "1", "--as", "person3@example.com")
    assert seen.stdout.startswith("Spring\n\nHi Person 3\n")
    tried = terminal.run(campaign, "test", "1", "--to", "ada@office.example", "--json")
    assert json.loads(tried.stdout)["read_as"] == "Person0@example.com"
    sent = terminal.run(campaign, "send", "1", "--json")
    assert json.loads(sent.stdout)["audience"] == 5
    assert terminal.home.woken == [1]
    again = terminal.run(campaign, "send", "1")
    assert (again.exit_code, again.stderr) == (65, "campaign 1 is sending\n")
    shown = json.loads(terminal.run(campaign, "show", "1", "--json").stdout)
    assert (shown["status"], shown["problems"]) == ("sending", None)


def test_a_draft_is_scheduled_and_given_another_time(terminal: Terminal, page: str) -> None:
    terminal.run(campaign, "draft", "--subject", "Spring", "--html", page)
    now = terminal.home.clock()
    for hours in (5, 9):
        at = _at(now + hours * 3600)
        result = terminal.run(campaign, "schedule", "1", "--at", at)
        assert result.stdout == f"campaign 1 `Spring`: scheduled at {at}\n", result.output
    assert terminal.home.woken == []
    past = terminal.run(campaign, "schedule", "1", "--at", "2020-01-01")
    assert past.exit_code == 65
    assert "scheduled_at: is over" in past.stderr
    assert terminal.run(campaign, "schedule", "1", "--at", "tomorrow").exit_code == 2


def _at(seconds: float) -> str:
    return rfc3339(round(seconds))


def test_what_is_not_there_is_said(terminal: Terminal) -> None:
    for words in (("show",), ("send",), ("preview",), ("test", "--to", "a@x.example")):
        result = terminal.run(campaign, words[0], "7", *words[1:])
        assert (result.exit_code, result.stderr) == (65, "there is no campaign 7\n")
