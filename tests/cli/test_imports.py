"""Lists in and out from a terminal: imported, asked about, taken back, exported, migrated."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.imports import export_subscribers, import_subscribers, imports
from cli.migrate_json import migrate_json
from database.models import SubscriberStatus as S
from tests.cli.test_commands import Terminal

EX_DATAERR = 65


@pytest.fixture
def terminal(database_url: str) -> Iterator[Terminal]:
    made = Terminal(database_url, people=0)
    yield made
    made.db.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A list with two people and a mistake."""
    made = tmp_path / "list.csv"
    made.write_text("email,plan\na@example.com,pro\nbad,pro\nb@example.com,\n", encoding="utf-8")
    return made


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def total(terminal: Terminal) -> int:
    return int(terminal.parts.lists.stats()["total"])


def test_a_list_is_imported_asked_about_and_taken_back(terminal: Terminal, path: Path) -> None:
    dry = answer(terminal.run(import_subscribers, str(path), "--dry-run", "--json"))
    assert (dry["added"], dry["import_id"], total(terminal)) == (2, None, 0)
    done = terminal.run(import_subscribers, str(path), "--tags", "x, y", "--source", "fair")
    assert done.exit_code == 0
    assert "2 added" in done.stdout
    assert "row 3: email" in done.stderr
    known = answer(terminal.run(imports, "list", "--json"))
    assert (known["file_name"], known["source"], known["by"]) == (
        "list.csv", "fair", "command line",
    )  # fmt: skip
    number = known["import_id"]
    assert number in terminal.run(imports, "list").stdout
    assert answer(terminal.run(imports, "show", number, "--json")) == known
    rows = list(csv.reader(terminal.run(imports, "errors", number).stdout.splitlines()))
    assert [row[:2] for row in rows] == [["row", "field"], ["3", "email"]]
    assert terminal.run(imports, "undo", number, answer="n\n").exit_code == 1
    assert total(terminal) == 2
    undone = answer(terminal.run(imports, "undo", number, "--yes", "--json"))
    assert (undone["undone"]["removed"], total(terminal)) == (2, 0)
    assert "2 removed" in terminal.run(imports, "show", number).stdout
    for command in ("show", "errors", "undo"):
        assert terminal.run(imports, command, "imp_x").exit_code == 1


def test_every_bad_row_can_be_written_to_a_file(
    terminal: Terminal, path: Path, tmp_path: Path
) -> None:
    path.write_text("email\n" + "bad\n" * 1_200, encoding="utf-8")
    found = tmp_path / "errors.csv"
    done = terminal.run(import_subscribers, str(path), "--dry-run", "--errors", str(found))
    assert "1,180 more" in done.stderr
    assert len(found.read_text(encoding="utf-8").splitlines()) == 1_201


def test_a_format_goes_by_the_name_or_is_said(terminal: Terminal, tmp_path: Path) -> None:
    for name, text in (
        ("a.json", '[{"email":"a@example.com"}]'),
        ("b.jsonl", '{"email":"b@example.com"}'),
        ("c.txt", "email\nc@example.com"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        run = terminal.run(import_subscribers, str(tmp_path / name), "--json")
        assert answer(run)["added"] == 1
    again = terminal.run(
        import_subscribers, "-", "--format", "jsonl", "--json", answer='{"email":"d@example.com"}'
    )
    assert answer(again)["added"] == 1


def test_what_cannot_be_imported_says_why(terminal: Terminal, path: Path) -> None:
    path.write_text("email,email\n", encoding="utf-8")
    done = terminal.run(import_subscribers, str(path))
    assert done.exit_code == EX_DATAERR
    assert "twice" in done.stderr
    assert terminal.run(import_subscribers, str(path), "--tags", "x" * 101).exit_code == 2


def test_mailchimps_name_of_a_file_says_its_status(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "cleaned_email_audience_export_1.csv"
    path.write_text(
        "Email Address,MEMBER_RATING,OPTIN_TIME,EUID\na@example.com,2,2020-01-01,x\n",
        encoding="utf-8",
    )
    assert answer(terminal.run(import_subscribers, str(path), "--json"))["warnings"] == []
    assert terminal.parts.lists.get("a@example.com").status is S.BOUNCED


def test_the_list_is_exported(terminal: Terminal, path: Path) -> None:
    terminal.run(import_subscribers, str(path))
    text = terminal.run(export_subscribers).stdout
    assert [row[0] for row in csv.reader(text.splitlines())] == [
        "email", "a@example.com", "b@example.com",
    ]  # fmt: skip
    path.write_text(text, encoding="utf-8")
    assert answer(terminal.run(import_subscribers, str(path), "--json"))["unchanged"] == 2
    rule = '{"field":"attributes.plan","op":"=","value":"pro"}'
    line = terminal.run(export_subscribers, "--format", "jsonl", "--segment", rule).stdout
    assert json.loads(line)["email"] == "a@example.com"
    assert terminal.run(export_subscribers, "--segment", "{}").exit_code == 2
    assert terminal.run(export_subscribers, "--segment", "{x").exit_code == 2


def test_an_old_list_is_migrated_once(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "subscribers.json"
    people = {
        "A@Example.com": {"name": "Ann"}, "b@example.com": {"active": False}, "nobody": {},
    }  # fmt: skip
    path.write_text(json.dumps({"subscribers": people}), encoding="utf-8")
    before = path.read_bytes()
    dry = answer(terminal.run(migrate_json, str(path), "--dry-run", "--json"))
    assert (dry["added"], dry["rejected"], dry["backup"], total(terminal)) == (2, 1, None, 0)
    done = terminal.run(migrate_json, str(path))
    assert done.exit_code == 0
    assert "2 added, 1 rejected" in done.stdout
    assert "entry 3: email" in done.stderr
    copies = list(tmp_path.glob("*.bak"))
    assert [copy.read_bytes() for copy in copies] == [before]
    assert copies[0].stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == before
    assert terminal.parts.lists.get("a@example.com").name == "Ann"
    assert terminal.parts.lists.get("b@example.com").status is S.UNSUBSCRIBED
    again = terminal.run(migrate_json, str(path))
    assert "migrated already" in again.stdout
    assert answer(terminal.run(migrate_json, str(path), "--json"))["already"].startswith("imp_")
    path.write_text(json.dumps(["c@example.com", "a@example.com"]), encoding="utf-8")
    more = answer(terminal.run(migrate_json, str(path), "--json"))
    assert (more["added"], more["unchanged"], len(list(tmp_path.glob("*.bak")))) == (1, 1, 2)


def test_an_old_list_that_is_none_is_left(terminal: Terminal, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('["a@example.com"]', encoding="utf-8")
    bad.write_text("[", encoding="utf-8")
    done = terminal.run(migrate_json, str(bad), str(good))
    assert done.exit_code == EX_DATAERR
    assert "bad.json: not migrated" in done.stderr
    assert total(terminal) == 1
