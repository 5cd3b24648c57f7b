"""The lock that writers of a SQLite file queue at: exclusive, bounded, and without starvation."""

import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from utils.turnstile import Crowded, Turnstile


def _hog(path: Path, until: float) -> None:
    """Takes the lock again as soon as it has let go."""
    turnstile = Turnstile(path, 5)
    while time.time() < until:
        with turnstile.turn():
            time.sleep(0.005)


def test_one_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def visit(turnstile: Turnstile) -> None:
        nonlocal inside, most
        for _ in range(20):
            with turnstile.turn():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    doors = [Turnstile(tmp_path / "db", 5) for _ in range(2)]
    threads = [threading.Thread(target=visit, args=(doors[n % 2],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for door in doors:
        door.close()
    assert most == 1


def test_a_process_that_comes_back_at_once_starves_nobody(tmp_path: Path) -> None:
    path = tmp_path / "db"
    end = time.time() + 3
    context = multiprocessing.get_context("spawn")
    hogs = [context.Process(target=_hog, args=(path, end)) for _ in range(2)]
    for hog in hogs:
        hog.start()
    turnstile = Turnstile(path, 5)
    turns = 0
    while time.time() < end:
        with turnstile.turn():
            turns += 1
    for hog in hogs:
        hog.join()
    turnstile.close()
    # Alone it would have thousands; beside two hogs a fair share is every third turn.
    assert turns > 50


def test_the_wait_is_bounded(tmp_path: Path) -> None:
    holder, other = Turnstile(tmp_path / "db", 5), Turnstile(tmp_path / "db", 0.05)
    with holder.turn(), pytest.raises(Crowded), other.turn():
        pass
    with other.turn():
        pass
    holder.close()
    other.close()


def test_a_process_that_dies_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "db"
    context = multiprocessing.get_context("spawn")
    hog = context.Process(target=_hog, args=(path, time.time() + 60))
    hog.start()
    time.sleep(1)
    hog.kill()
    hog.join()
    turnstile = Turnstile(path, 2)
    with turnstile.turn():
        pass
    turnstile.close()
