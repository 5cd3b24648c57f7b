"""What all processes know of one ESP right now, as frozen values. Stored in `esp_performance`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from services.account import Figures
from services.policies.cells import Cell
from services.policies.memory import EspMemory, switches
from services.policies.slices import Slice
from services.policies.stored import Stored

LOG_LENGTH = 50
SLICE_FIELDS = len(Slice._fields)


@dataclass(frozen=True, slots=True)
class Overrides(Stored):
    """What an operator set for one ESP while it runs; None = as the settings say."""

    priority: int | None = None
    weight: float | None = None
    daily_limit: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class EspState(Stored):
    """The live row of one ESP."""

    #: Breakers, reputation, pace: what the policies remember.
    memory: EspMemory = field(default_factory=EspMemory)
    cells: Mapping[str, Cell] = field(default_factory=dict)  #: by mailbox provider
    slices: tuple[Slice, ...] = ()  #: accepted lately and not judged yet, oldest first
    judged_until: float = 0.0  #: mail handed over before is judged
    failures: int = 0  #: failed requests in a row
    back_off_until: float = 0.0
    careful: bool = False  #: one message per request until an answer is clean (contract §3)
    #: Theoretical arrival times of the rate limiter (GCRA), Unix seconds.
    tat: float = 0.0
    tat_campaign: float = 0.0
    throttled_at: float = 0.0
    throttled_until: float = 0.0  #: counts from `throttled_at` on: a clock may be set back
    throttled_why: str = ""
    suspended: str = ""  #: the ESP's own words; lifted by an operator (contract promise 7)
    paused: str = ""  #: an operator's reason
    paused_until: float | None = None
    paused_by: str = ""  #: the operator's label
    paused_lane: str = ""  #: the only lane that is paused; empty = both
    overrides: Overrides = field(default_factory=Overrides)
    account: Figures = field(default_factory=Figures)
    last_error: str = ""
    last_error_at: float | None = None
    alert: str = ""  #: what an operator should look into, though nothing was done about it
    log: tuple[dict[str, Any], ...] = ()  #: the last decisions, newest last

    def noted(self, at: float, what: str, why: str) -> Self:
        """This state with a line of its log added: every switch can be explained later."""
        return replace(self, log=(*self.log, {"at": at, "what": what, "why": why})[-LOG_LENGTH:])

    def news_since(self, before: Self) -> list[dict[str, Any]]:
        """What was noted since an earlier state."""
        return [line for line in self.log if line not in before.log]

    def remembering(self, memory: EspMemory, at: float) -> Self:
        """This state with another memory; what switched is noted."""
        state = replace(self, memory=memory)
        for switch in switches(self.memory, memory):
            state = state.noted(at, switch.state, f"{switch.what} breaker: {switch.why}")
        return state

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the database."""
        written = Stored.to_json(self)
        if self.cells:
            written["cells"] = {name: cell.to_json() for name, cell in self.cells.items()}
        if self.slices:
            written["slices"] = [[*one] for one in self.slices]
        return written

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The state in a database row; fields that a newer or older version knows are dropped."""
        state = cls(**Stored.read(cls, value))
        return replace(
            state,
            cells={name: Cell.from_json(cell) for name, cell in value.get("cells", {}).items()},
            slices=tuple(Slice(*one[:SLICE_FIELDS]) for one in value.get("slices", ())),
        )
