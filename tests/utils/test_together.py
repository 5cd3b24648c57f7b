"""Small calls of many threads are done in few rounds, and each hears what became of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from utils.together import Together

SOON = 10.0


class Work:
    """Remembers its rounds; the first waits until the test lets it go on."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, things: list[str]) -> None:
        self.rounds.append(things)
        if len(self.rounds) == 1:
            self.entered.set()
            assert self.go_on.wait(SOON)
        if "bad" in things:
            raise ValueError("bad")
        if "gone" in things:
            raise OSError("gone")
        if "exit" in things:
            raise SystemExit


def crowd(
    together: Together[str], work: Work, calls: Sequence[Sequence[str]]
) -> list[BaseException | None]:
    """The first call is under way when the others come; what each of them raised."""

    def attempt(things: Sequence[str]) -> BaseException | None:
        try:
            together(things)
        except BaseException as error:  # noqa: BLE001 -- what is asked for
            return error
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(attempt, calls[0])]
        assert work.entered.wait(SOON)
        for number, call in enumerate(calls[1:], 1):
            futures.append(pool.submit(attempt, call))
            until(lambda number=number: len(together._waiting) == number)  # type: ignore[misc]
        work.go_on.set()
        return [future.result(SOON) for future in futures]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_waits_shares_the_next_round() -> None:
    work = Work()
    told = crowd(Together(work, 100), work, [["a"], ["b", "c"], ["d"], ["e"]])
    assert told == [None] * 4
    assert work.rounds == [["a"], ["b", "c", "d", "e"]]


def test_a_round_is_no_longer_than_it_may_be() -> None:
    work = Work()
    crowd(Together(work, 3), work, [["a"], ["b", "c"], ["d"], ["e", "f", "g", "h"], ["i"]])
    assert work.rounds == [["a"], ["b", "c", "d"], ["e", "f", "g", "h"], ["i"]]


def test_one_that_fails_fails_alone() -> None:
    work = Work()
    told = crowd(Together(work, 100), work, [["a"], ["b"], ["bad"], ["c"]])
    assert [str(error) if error else None for error in told] == [None, None, "bad", None]
    assert work.rounds == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]


def test_what_strikes_all_is_not_tried_for_each() -> None:
    work = Work()
    told = crowd(Together(work, 100, (OSError,)), work, [["a"], ["b"], ["gone"]])
    assert [type(error) for error in told] == [type(None), OSError, OSError]
    assert work.rounds == [["a"], ["b", "gone"]]


def test_nobody_waits_for_a_thread_that_ends() -> None:
    work = Work()
    told = crowd(Together(work, 100), work, [["a"], ["exit"], ["b"]])
    assert told[0] is None
    assert sorted(type(error).__name__ for error in told[1:]) == ["RuntimeError", "SystemExit"]


def test_a_call_alone_is_done_at_once_and_raises_its_own_error() -> None:
    done: list[str] = []
    Together(done.extend, 1)(["a", "b"])
    assert done == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        Together[str](lambda _: 1 / 0, 1)(["a"])
