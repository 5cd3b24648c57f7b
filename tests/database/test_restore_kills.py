"""A restore that is killed (-9) at any step leaves the old database or the new one, whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.database.restore_scene import DAY, Scene

ROOT = Path(__file__).parents[2]


def test_killed_at_any_step_the_old_database_is_there_or_the_new_one(
    database_url: str, tmp_path: Path, long: bool
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    url = database_url.replace(f"{tmp_path}/test.db", f"{room}/test.db")
    scene = Scene(url, tmp_path)
    campaign = scene.home.launch(esp="sendgrid")
    scene.home.sender.step(campaign)
    file = scene.backup()
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    scene.clock.forward(DAY)
    scene.home.sender.step(campaign)
    scene.db.dispose()

    done = subprocess.run(
        [sys.executable, "-m", "tests.database.restore_killed", url, str(file),
         "1000" if long else "18"],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"status": 0, "step": "end", "which": "new"}
    killed = lines[:-1]
    assert len(killed) >= 12
    assert {line["status"] for line in killed} == {int(signal.SIGKILL)}
    assert {line["which"] for line in killed} <= {"old", "new"}, killed
    steps = [line["step"] for line in killed if line["which"] == "old"]
    assert "commit" in steps
    if scene.db.is_sqlite:
        assert {"os.rename", "os.link"} <= set(steps)
        assert killed[-1]["which"] == "new", "what comes after the rename undoes nothing"
