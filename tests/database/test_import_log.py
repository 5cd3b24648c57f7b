"""What is known of an import while it runs, after it, and after it was killed."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from database import import_log
from database.import_log import RowError
from tests.database.import_desk import NOW, Desk
from tests.database.test_imports import put

ROOT = Path(__file__).resolve().parents[2]


def test_an_import_is_remembered_with_its_counts(desk: Desk) -> None:
    report = put(desk.lists, "email\na@example.com\nbad\n", source="fair", tags=("x",))
    known = desk.known(report.import_id)
    assert (known["status"], known["source"], known["tags"]) == ("finished", "fair", ["x"])
    assert {name: known[name] for name in report.counts()} == report.counts()
    assert (known["started_at"], known["finished_at"], known["by"]) == (NOW, NOW, "tester")
    assert desk.errors(report.import_id) == report.errors


def test_a_dry_run_and_a_refused_file_leave_nothing(desk: Desk) -> None:
    put(desk.lists, "email\na@example.com\nbad\n", dry_run=True)
    with pytest.raises(Exception, match="twice"):
        put(desk.lists, "email,email\n")
    assert desk.page() == []


def test_newest_first_page_by_page(desk: Desk) -> None:
    made = []
    for number in range(5):
        desk.clock.now = NOW + number
        made.append(put(desk.lists, f"email\np{number}@example.com\n").import_id)
    first = [known["import_id"] for known in desk.page(limit=3)]
    assert first == made[:1:-1]
    assert [known["import_id"] for known in desk.page(before=made[2])] == made[1::-1]


@pytest.mark.parametrize("good", [0, 30_000])
def test_every_bad_row_is_reported(desk: Desk, good: int) -> None:
    bad = 25_000 if not good else 3_000
    lines = [f"p{n}@example.com" for n in range(good)]
    for number in range(bad):
        lines.insert((number * 7919) % (len(lines) + 1), f"bad{number}")
    text = "email\n" + "\n".join(lines) + "\n"
    report = put(desk.lists, text)
    assert (report.added, report.rejected, report.more_errors) == (good, bad, bad - 1000)
    seen: list[RowError] = []
    while page := desk.errors(report.import_id, len(seen), 777):
        assert len(page) == min(777, bad - len(seen))
        seen += page
    wrong = [place for place, line in enumerate(lines, start=2) if line.startswith("bad")]
    assert sorted(error.row for error in seen) == wrong


def test_old_errors_are_forgotten_and_the_import_is_not(desk: Desk) -> None:
    old = put(desk.lists, "email\nbad\n").import_id
    desk.clock.now += import_log.ERRORS_KEPT_SECONDS + 1
    put(desk.lists, "email\na@example.com\n")
    assert desk.errors(old) == []
    assert desk.known(old)["rejected"] == 1


def test_what_breaks_off_is_interrupted_and_says_how_far(desk: Desk) -> None:
    text = "email\n" + "".join(f"p{n}@example.com\n" for n in range(45_000))

    class Torn(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > len(text) * 2 // 3:
                raise ConnectionResetError
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        desk.lists.import_stream(Torn(text.encode()), format="csv", by="t")
    known = desk.page()[0]
    assert (known["status"], known["added"]) == ("interrupted", 20_000)


def alone(desk: Desk, path: Path, rows: int, *words: str) -> "subprocess.CompletedProcess[str]":
    url = desk.db.url.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-m", "tests.database.import_alone", url, str(path), str(rows), *words],
        cwd=ROOT, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip


def people(path: Path, rows: int) -> int:
    """A file with a bad row in twenty; how many are bad."""
    with path.open("w", encoding="utf-8") as file:
        lines = (_line(path.suffix, n, rows) for n in range(rows))
        file.write({".csv": "email,name,plan\n", ".json": "["}.get(path.suffix, ""))
        file.writelines(lines)
        file.write("]" if path.suffix == ".json" else "")
    return -(-rows // 20)


def _line(suffix: str, number: int, rows: int) -> str:
    email = f"bad{number}" if number % 20 == 0 else f"P{number * 7919 % rows}.{number}@Example.com"
    if suffix == ".csv":
        return f"{email},Somebody {number},pro\n"
    end = "," if suffix == ".json" and number < rows - 1 else ""
    return json.dumps({"email": email, "name": f"Somebody {number}", "plan": "pro"}) + end + "\n"


def test_an_import_that_was_killed_is_finished_by_the_next(
    desk: Desk, tmp_path: Path, long: bool
) -> None:
    rows, path = 1_000_000 if long else 12_000, tmp_path / "list.csv"
    bad = people(path, rows)
    assert alone(desk, path, rows, "kill", *([] if long else ["small"])).returncode == -9
    killed = desk.page()[0]
    there = desk.lists.stats()["total"]
    assert (killed["status"], killed["added"]) == ("running", there)
    assert 0 < there < rows // 2
    desk.clock.now = NOW + import_log.SILENT_SECONDS + 1
    assert desk.page()[0]["status"] == "interrupted"
    done = alone(desk, path, rows, "measure")
    again = json.loads(done.stdout)
    assert (again["added"], again["unchanged"]) == (rows - bad - there, there)
    assert (again["rejected"], desk.lists.stats()["total"]) == (bad, rows - bad)
    seen: list[RowError] = []
    while page := desk.errors(again["import_id"], len(seen)):
        seen += page
    assert sorted(error.row for error in seen) == list(range(2, rows + 2, 20))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_an_import_takes_little_memory(desk: Desk, tmp_path: Path, long: bool, suffix: str) -> None:
    """The whole process, libraries included."""
    rows, path = 1_000_000 if long else 60_000, tmp_path / f"list{suffix}"
    bad = people(path, rows)
    told = json.loads(alone(desk, path, rows, "measure").stdout)
    assert (told["added"], told["rejected"]) == (rows - bad, bad)
    assert told["peak_bytes"] < 256 * 1024 * 1024, told
