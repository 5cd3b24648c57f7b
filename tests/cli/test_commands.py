"""The commands `verify`, `promote-sandbox` and `send`, from a terminal's point of view."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from cli.promote import promote_sandbox
from cli.send import send
from cli.verify import verify
from database import migrate
from database.engine import Database
from outbound.draft import NotReady
from tests import house as homes
from tests.served import app_of, house_of
from utils.errors import FieldError


class Terminal:
    """A house and its commands."""

    def __init__(self, url: str, *, heartbeat: float | None = None, people: int = 5) -> None:
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.home = homes.enter(self.db)
        if people:
            self.home.add_people(people)
        self.parts = house_of(self.home, heartbeat=heartbeat)
        self.runner = app_of(self.parts).test_cli_runner()

    def run(self, command: Any, *words: str, answer: str | None = None) -> Result:
        return self.runner.invoke(command, list(words), input=answer)


@pytest.fixture
def terminal(database_url: str) -> Iterator[Terminal]:
    made = Terminal(database_url)
    yield made
    made.db.dispose()


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A file with the HTML of a campaign."""
    path = tmp_path / "page.html"
    path.write_text("<p>Hi {{ name }}</p>", encoding="utf-8")
    return str(path)


# verify


def test_verify_lists_every_check_and_what_it_cannot_see(terminal: Terminal) -> None:
    campaign = terminal.home.launch()
    terminal.home.drain(campaign)
    result = terminal.run(verify)

    assert result.exit_code == 0, result.output
    assert (
        "  ok  counters-equal-rows (promise 2; 5 rows): Every campaign's counters" in result.output
    )
    assert "skip  no-lease-outlived (promise 2; no worker beats" in result.output
    assert "promise 6: A 2xx means it is on disk." in result.output
    assert "every promise asked about holds" in result.output


def test_verify_fails_with_the_evidence(terminal: Terminal) -> None:
    campaign = terminal.home.launch()
    with terminal.db.write() as connection:
        connection.execute(sa.text("UPDATE campaigns SET audience = 7"))
    result = terminal.run(verify)
    machine = json.loads(terminal.run(verify, "--json").output)

    assert result.exit_code == 1
    assert "FAIL  audience-equals-states" in result.output
    evidence = {"campaign_id": campaign, "audience": 7, "in_states": 5}
    assert json.dumps(evidence) in result.output
    assert "BROKEN: audience-equals-states" in result.output
    assert machine["ok"] is False
    broken = [check for check in machine["checks"] if not check["ok"]]
    assert [check["evidence"] for check in broken] == [[evidence]]


# promote-sandbox


def test_a_sandbox_file_becomes_a_live_one_beside_it(tmp_path: Path) -> None:
    terminal = Terminal(f"sqlite:///{tmp_path}/sandbox.db")
    terminal.home.launch()
    result = terminal.run(promote_sandbox, "--yes", "--json")

    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["database"] == str(tmp_path / "email.db")
    assert (told["people"], told["campaigns"], told["sends"]) == (5, 1, 5)
    live = Database(f"sqlite:///{tmp_path}/email.db")
    with live.read() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM sends")).scalar() == 0
    with terminal.db.read() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM sends")).scalar() == 5
    assert (tmp_path / "email.db").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.unfinished*"))
    again = terminal.run(promote_sandbox, "--yes")
    assert again.exit_code == 1
    assert "email.db exists" in again.output
    live.dispose()
    terminal.db.dispose()


def test_any_other_database_is_changed_in_place_after_a_question(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # copies of PostgreSQL go to data/backups
    terminal.home.launch()
    refused = terminal.run(promote_sandbox, answer="n\n")
    done = terminal.run(promote_sandbox, answer="y\n")

    assert refused.exit_code == 1
    assert done.exit_code == 0, done.output
    assert "Kept: 5 people" in done.output
    assert "Dropped: 1 campaigns, 5 sends" in done.output
    copy = Path(done.output.strip().rpartition("A copy of the former database is ")[2])
    assert copy.stat().st_size > 0
    assert copy.stat().st_mode & 0o777 == 0o600

    again = json.loads(terminal.run(promote_sandbox, "--yes", "--no-copy", "--json").output)
    assert (again["copy"], again["people"]) == (None, 5)


def test_nothing_is_promoted_while_a_worker_beats(sqlite_url: str) -> None:
    terminal = Terminal(sqlite_url, heartbeat=1.5)
    terminal.home.launch()
    result = terminal.run(promote_sandbox, "--yes")

    assert result.exit_code == 1
    assert "A worker beats" in result.output
    terminal.db.dispose()


def test_live_campaigns_are_refused(sqlite_url: str) -> None:
    terminal = Terminal(sqlite_url)
    terminal.home.launch()
    with terminal.db.write() as connection:
        connection.execute(sa.text("UPDATE campaigns SET mode = 'live'"))
    result = terminal.run(promote_sandbox, "--yes")

    assert result.exit_code == 1
    assert "1 campaigns of this database are live" in result.output
    terminal.db.dispose()


# send


def test_send_launches_and_prints_the_id(terminal: Terminal, page: str) -> None:
    result = terminal.run(send, "--subject", "Hello {{ name }}", "--html", page, "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "campaign_id": 1, "status": "sending", "audience": 5, "warnings": []
    }  # fmt: skip
    assert terminal.home.woken == [1]


def test_send_takes_a_rule_tree_and_says_when_no_worker_is_there(
    terminal: Terminal, page: str
) -> None:
    rule = '{"field": "email", "op": "starts_with", "value": "person1"}'
    result = terminal.run(send, "--subject", "Hello", "--html", page, "--segment", rule)

    assert result.exit_code == 0, result.output
    assert "campaign 1: 1 recipients" in result.output
    assert "No worker beats" in result.output


def test_send_waits_until_it_is_over(
    terminal: Terminal, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_seconds: float) -> None:
        terminal.home.launcher.build(1)
        terminal.home.drain(1)

    monkeypatch.setattr("cli.send.time.sleep", work)
    result = terminal.run(send, "--subject", "Hello", "--html", page, "--wait")

    assert result.exit_code == 0, result.output
    assert result.stdout == "sent: accepted 5\n"
    assert "sending: " in result.stderr


def test_a_stopped_campaign_ends_the_waiting_with_its_reason(
    terminal: Terminal, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.send.time.sleep", lambda _: terminal.home.control.pause(1, by="ops"))
    result = terminal.run(send, "--subject", "Hello", "--html", page, "--wait")

    assert result.exit_code == 1
    assert "paused by ops" in result.stdout


def test_send_names_what_is_wrong(
    sqlite_url: str, page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal(sqlite_url)
    latin = tmp_path / "latin.html"
    latin.write_bytes(b"caf\xe9")
    bad = terminal.run(send, "--subject", "a\nb", "--html", page, "--esp", "mailgun")
    key = ("--html", page, "--idempotency-key", "k")
    terminal.run(send, "--subject", "Hello", *key)
    other = terminal.run(send, "--subject", "Other", *key)

    assert bad.exit_code == 65
    assert "  subject: must be one line" in bad.output
    assert "  esp: not configured" in bad.output
    assert other.exit_code == 65
    assert "used with another body" in other.output
    assert terminal.run(send, "--subject", "x", "--html", str(latin)).exit_code == 2
    assert terminal.run(send, "--subject", "x", "--html", page, "--segment", "{").exit_code == 2

    def refuse(*_: object, **__: object) -> None:
        raise NotReady([FieldError("POSTAL_ADDRESS", "is missing")])

    monkeypatch.setattr(terminal.home.launcher, "launch", refuse)
    assert terminal.run(send, "--subject", "x", "--html", page).exit_code == 78
    terminal.db.dispose()
