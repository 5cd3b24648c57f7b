"""How the programs of app.py end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.stage import ROOT, Actor, StageError

#: A worker whose engine only says when it starts and when it stops.
WORKER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from types import SimpleNamespace
from boot.serving import run_worker
say = lambda word: print(word, flush=True)
work = SimpleNamespace(start=lambda parts: None, stop=lambda: say("stopped"))
run_worker(work, None, lambda: say("ready"))
"""


def program(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_stops_its_engine_once_however_often_it_is_told(number: int) -> None:
    with program(WORKER) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        # Until it is gone: the last ones come while Python itself is ending.
        for _ in range(5000):
            worker.send_signal(number)
            if worker.poll() is not None:
                break
            time.sleep(0.002)
        assert worker.stdout.read() == "stopped\n"
        assert worker.wait(10) == 0


@pytest.mark.parametrize("moment", ["start", "ready"])
def test_a_signal_that_comes_while_the_worker_begins_is_not_lost(moment: str) -> None:
    told = "os.kill(os.getpid(), signal.SIGTERM)"
    code = WORKER.replace("start=lambda parts: None", f"start=lambda parts: {told}")
    if moment == "ready":
        code = WORKER.replace('lambda: say("ready")', f"lambda: {told}")
    with program("import os, signal\n" + code) as worker:
        assert worker.stdout is not None
        assert worker.stdout.read().endswith("stopped\n")
        assert worker.wait(10) == 0


def test_a_signal_at_any_step_of_the_wait_ends_it() -> None:
    """A handler that takes a lock hangs when the step below it holds that lock."""
    storm = "lambda *_: sys.setprofile(lambda *_: signal.raise_signal(signal.SIGTERM))"
    calm = 'lambda: (sys.setprofile(None), say("stopped"))'
    code = WORKER.replace('lambda: say("ready")', storm).replace('lambda: say("stopped")', calm)
    with program("import signal\n" + code) as worker:
        try:
            assert worker.wait(20) == 0
        finally:
            worker.kill()
        assert worker.stdout is not None
        assert worker.stdout.read() == "stopped\n"


def test_a_program_that_does_not_stop_says_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.stage.STOP_SECONDS", 0.2)
    log = tmp_path / "stubborn.log"
    code = """
import faulthandler, signal, time
faulthandler.enable()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
def hang_here():
    time.sleep(60)
hang_here()
"""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=out, start_new_session=True
        )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StageError, match=r"(?s)did not stop in 0 s.*hang_here"):
            Actor("stubborn", process, log).stop()
