"""What `chooser` is asked and answers: the messages, the ESPs that may take them, and for each
message the ESP and the reason, in numbers and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from services.policies import breakers
from services.policies.cells import Cell

Item = TypeVar("Item")

PROBE, BEST, SPREAD, FLOORED, ONLY, NOBODY = "probe", "best", "spread", "floor", "only", "nobody"


class Ask(NamedTuple):
    """One message that wants an ESP."""

    id: int | str
    mailbox_provider: str
    attempt: int = 0
    avoid: frozenset[str] = frozenset()  #: ESPs that have just failed to take it


@dataclass(frozen=True, slots=True)
class Option:
    """One ESP that may take mail now; who may not is left out."""

    esp: str
    delivery: float  #: the ESP's own rate of delivery (`cells.esp_mean`)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    tier: int = 1  #: 1 is first
    weight: float = 1.0
    room: int | None = None  #: messages; None = any number
    share: float = 1.0  #: of messages for which it is considered (ramp)
    probes: int | None = None  #: half-open: so many messages and no others

    @property
    def is_ramping(self) -> bool:
        """Whether it is considered for some of the messages only, at some mailbox provider."""
        cells = (cell.breaker.state == breakers.RAMP for cell in self.cells.values())
        return self.share < 1.0 or any(cells)

    @property
    def is_open_to_all(self) -> bool:
        """Whether it takes whatever fits its room, for every mailbox provider."""
        whole = self.probes is None and self.share >= 1.0
        return whole and all(c.breaker.state == breakers.CLOSED for c in self.cells.values())


class Draw(NamedTuple):
    """Why the messages of a chunk went where they went."""

    mailbox_provider: str
    first: int | str  #: id of the first message, which keys the draw
    means: Mapping[str, float]  #: what is believed of each ESP here
    drawn: Mapping[str, float]
    tier: int
    band: tuple[str, ...]


class Spread(NamedTuple):
    """The round robin's memory of one cell after the batch."""

    credit: float
    unused: int


@dataclass(frozen=True, slots=True)
class Routes:
    """The answer for a batch, in the order it was asked."""

    chosen: Sequence[str | None]  #: None: nobody may take it now, it stays queued
    reasons: Sequence[str]
    draws: Sequence[Draw]
    drawn_by: Sequence[int]  #: index of each message's draw; -1 = none
    spread: Mapping[tuple[str, str], Spread]  #: by (ESP, mailbox provider)

    @classmethod
    def to_one(cls, esp: str, count: int) -> "Routes":
        """Everything to the only ESP there is: nothing to draw, nothing to remember."""
        return cls([esp] * count, [ONLY] * count, [], [-1] * count, {})

    @property
    def counts(self) -> Mapping[str, int]:
        """How many messages each ESP gets."""
        return {esp: count for esp, count in Counter(self.chosen).items() if esp is not None}

    def by_esp(self, items: Sequence[Item]) -> Mapping[str, Sequence[Item]]:
        """`items`, one for each message, by the ESP it goes to; those without one are left out."""
        counts = self.counts
        if list(counts.values()) == [len(items)]:  # all to one: a step for each would cost more
            return dict.fromkeys(counts, items)
        found = {esp: list[Item]() for esp in counts}
        for item, esp in zip(items, self.chosen, strict=True):
            if esp is not None:
                found[esp].append(item)
        return found

    def why(self, i: int) -> str:
        """One sentence on the message at `i`."""
        if self.drawn_by[i] < 0:
            return _WORDS[self.reasons[i]]
        draw = self.draws[self.drawn_by[i]]
        seen = ", ".join(
            f"{esp} {value:.4f} (mean {draw.means[esp]:.4f})" for esp, value in draw.drawn.items()
        )
        words = _WORDS[self.reasons[i]]
        return f"{draw.mailbox_provider}: {words}; tier {draw.tier}, draws {seen}"


_WORDS = {
    PROBE: "a probe of an ESP that is coming back",
    BEST: "the best draw",
    SPREAD: "as good as the best, by the configured shares",
    FLOORED: "not used here for long, so that it can show what it does",
    ONLY: "the only ESP that may take it",
    NOBODY: "no ESP may take it now",
}


def kept(cell: Cell, spread: Spread) -> Cell:
    """The cell with the round robin's memory."""
    if (cell.credit, cell.unused) == spread:
        return cell
    return Cell(cell.track, cell.level, cell.recent, cell.kept, cell.breaker, *spread, cell.poor)
