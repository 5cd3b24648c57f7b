"""`python -m simulator` as a process: what it says, what it outlives, how it ends."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import simulator
from tests.simulator.receiver import Receiver
from tests.simulator.rig import Rig, eventually, pm_mail, sg_mail

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Rig]]:
    """A simulator of its own, ready; ended if the test has not ended it."""
    started = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line.startswith("simulator ready on http://127.0.0.1:")
        yield started, Rig(line.split()[-1])
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(10)
        if started.stdout is not None:
            started.stdout.close()


def test_what_was_answered_outlives_a_kill_with_its_keys_and_untold_events(
    db: Path, receiver: Receiver
) -> None:
    with process("--db", str(db)) as (child, rig):
        keys = {name: value for name, value in rig.keys["sendgrid"].items() if name != "base_url"}
        rig.limits("ses", daily_quota=7)
        rig.sg_send(sg_mail([f"p{n}@x.example" for n in range(300)]))
        rig.pm_post("/email/batch", [pm_mail("hard+ann@x.example")])
        before = rig.messages(limit=1000)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    with process("--db", str(db), "--webhook-target", receiver.url) as (child, rig):
        assert rig.messages(limit=1000) == before
        assert keys.items() <= rig.keys["sendgrid"].items()
        assert rig.get("/_limits")["ses"]["daily_quota"] == 7
        stats = rig.get("/_stats")
        assert stats["esps"]["postmark"]["outcomes"] == {"hard": 1}
        eventually(lambda: rig.get("/_stats")["total"]["events_pending"] == 0)
        told = [event for post in receiver.at("/webhooks/sendgrid") for event in post.json]
        assert len(told) == 600
        rig.sg_send(sg_mail(["later@x.example"]))
        assert rig.messages(limit=1)[0]["id"] == before[0]["id"] + 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_0(db: Path, name: str) -> None:
    with process("--db", str(db)) as (child, _):
        child.send_signal(getattr(signal, name))
        assert child.wait(10) == 0


def test_it_goes_when_its_parent_is_gone(db: Path) -> None:
    idle = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(idle, stdin=subprocess.PIPE) as parent,
        process("--db", str(db), "--parent-pid", str(parent.pid)) as (child, rig),
    ):
        time.sleep(0.7)
        assert rig.get("/_health")["status"] == "ok"
        parent.kill()
        assert child.wait(10) == 0


def test_it_serves_this_machine_only(tmp_path: Path) -> None:
    for options in (["--host", "0.0.0.0"], ["--webhook-target", "http://192.0.2.1"]):
        command = [sys.executable, "-m", "simulator", "--port", "0", *options]
        done = subprocess.run(
            [*command, "--db", str(tmp_path / "s.db")],
            cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 64
        assert done.stderr.startswith("simulator: ")
        assert "Traceback" not in done.stderr


def test_a_file_of_an_older_layout_keeps_its_keys_and_loses_its_mail(db: Path) -> None:
    with simulator.start(db) as running:
        rig = Rig(running.url)
        keys = rig.keys["postmark"]["server_token"]
        rig.pm_post("/email/batch", [pm_mail("ann@x.example")])
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with simulator.start(db) as running:
        rig = Rig(running.url)
        assert rig.keys["postmark"]["server_token"] == keys
        assert rig.messages() == []


def test_a_stopped_simulator_answers_nobody_and_can_be_started_again(db: Path) -> None:
    with simulator.start(db) as running:
        rig = Rig(running.url)
        rig.pm_post("/email/batch", [pm_mail("ann@x.example")])
        port = running.port
    with pytest.raises(OSError, match="refused"):
        rig.get("/_health")
    with simulator.start(db, port=port, engagement=0.5) as running:
        again = Rig(running.url)
        assert again.url == rig.url
        assert again.accepted("postmark") == 1
        assert again.get("/_webhooks")["engagement"] == 0.5


def test_it_imports_nothing_of_the_house() -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); import simulator.__main__;"
        "house = {p.name.removesuffix('.py') for p in __import__('pathlib').Path('.').iterdir()};"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & house - {'simulator'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
