"""Mail that an ESP accepted, by the moment it was handed over: how much of it has been heard of.

A slice is judged as a whole when its deadline is over (`stalls`), and then forgotten.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Seconds that one slice spans: a fraction of any deadline.
WIDTH = 2.0


class Slice(NamedTuple):
    """Messages that were handed over within `WIDTH` seconds."""

    start: float  #: Unix seconds, a multiple of the width
    first: float  #: when the oldest of them was handed over
    total: int = 0
    answered: int = 0  #: of them, heard of; may be ahead of `total`, never counts beyond it

    @property
    def silent(self) -> int:
        """Messages of which nothing was heard."""
        return max(0, self.total - self.answered)


def accepted(
    slices: Sequence[Slice], count: int, at: float, width: float = WIDTH
) -> tuple[Slice, ...]:
    """With messages that were handed over `at` and accepted."""
    return _added(slices, at, width, total=count)


def answered(
    slices: Sequence[Slice], times: Iterable[float], width: float = WIDTH
) -> tuple[Slice, ...]:
    """With the first event of messages that were handed over at these times; it may be quicker
    than our own record of the acceptance."""
    for at in times:
        slices = _added(slices, at, width, answered=1)
    return tuple(slices)


def _added(
    slices: Sequence[Slice], at: float, width: float, total: int = 0, answered: int = 0
) -> tuple[Slice, ...]:
    start = at - at % width
    index = len(slices)
    while index and slices[index - 1].start > start:
        index -= 1
    if index and slices[index - 1].start == start:
        old = slices[index - 1]
        new = Slice(start, min(at, old.first), old.total + total, old.answered + answered)
        return (*slices[: index - 1], new, *slices[index:])
    return (*slices[:index], Slice(start, at, total, answered), *slices[index:])


def due(
    slices: Sequence[Slice], now: float, deadline: float, width: float = WIDTH
) -> tuple[Sequence[Slice], tuple[Slice, ...]]:
    """The slices whose deadline is over for all of their messages, and the others. What lies
    further ahead than one slice was handed over before the clock was set back: it is dropped."""
    over = [one for one in slices if one.start + width + deadline <= now]
    left = tuple(one for one in slices[len(over) :] if one.start <= now + width)
    return over, left
