"""A buffer writes soon, loses nothing in order, and never gets in the way of whoever adds."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from utils import buffer
from utils.buffer import Buffer

ROOT = Path(__file__).resolve().parents[2]


def test_things_are_written_together_and_in_order() -> None:
    written: list[list[int]] = []
    done = threading.Event()

    def write(things: list[int]) -> None:
        written.append(things)
        if things[-1] == 99:
            done.set()

    kept = Buffer(write, 0.02)
    for number in range(100):
        kept.add(number)
    assert done.wait(5)
    kept.close()
    assert [number for things in written for number in things] == list(range(100))
    assert len(written) < 50


def test_closing_writes_the_rest_and_what_comes_after() -> None:
    written: list[int] = []
    kept = Buffer(written.extend, 60)
    kept.add(1)
    kept.close()
    kept.add(2)
    assert written == [1, 2]


def test_a_failing_writer_costs_only_what_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    written: list[str] = []

    def write(things: list[str]) -> None:
        if "bad" in things:
            raise OSError("disk full")
        written.extend(things)

    kept = Buffer(write, 60)
    for thing in ("bad", "good"):
        kept.add(thing)
        kept.flush()
    kept.close()
    assert written == ["good"]
    assert "1 could not be written" in caplog.text


def test_a_stalled_writer_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "_MOST", 10)
    go = threading.Event()
    written: list[int] = []

    def write(things: list[int]) -> None:
        go.wait(5)
        written.extend(things)

    kept = Buffer(write, 0.001)
    kept.add(0)
    began = time.monotonic()
    for number in range(1, 50):
        kept.add(number)
    assert time.monotonic() - began < 1
    go.set()
    kept.close()
    assert 10 <= len(written) <= 21


def test_the_end_of_the_process_loses_nothing() -> None:
    code = (
        "from utils.buffer import Buffer\n"
        "kept = Buffer(lambda things: print(len(things)), 60)\n"
        "for n in range(7): kept.add(n)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=30
    )
    assert ended.stdout == b"7\n"
