"""Follows what the house says of its ESPs while a drill runs: `/esp-status` and `/esps/*/log`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from cli.drill_day import BROWNOUT, ESPS, HARD, LAG, SILENT, SLUMP, SLUMPING, Fault
from cli.stage import Stage, StageError

#: The beginning of the log's reason when the house notices a fault, by its kind.
REASONS = {
    HARD: "api breaker", SILENT: "stall breaker", SLUMP: SLUMPING, BROWNOUT: "api breaker",
    LAG: "stall breaker",
}  # fmt: skip


class Line(NamedTuple):
    """A decision in the log of an ESP."""

    at: float  #: seconds of the day
    esp: str
    what: str
    why: str


class Seen(NamedTuple):
    """A change of an ESP's `state` in `/esp-status`."""

    at: float
    esp: str
    state: str


def of_fault(lines: Iterable[Line], fault: Fault, until: float = float("inf")) -> list[Line]:
    """What the log says of a fault, from its beginning on."""
    return [
        line for line in lines
        if line.esp == fault.esp and fault.start <= line.at < until
        and line.why.startswith(REASONS[fault.kind])
    ]  # fmt: skip


def opening(lines: Iterable[Line], fault: Fault) -> Line | None:
    """The line with which the house took the ESP out because of this fault."""
    return next((line for line in of_fault(lines, fault) if line.what == "open"), None)


@dataclass
class Watch:
    """Everything that was seen."""

    stage: Stage
    now: Callable[[], float]  #: seconds of the day
    day_of: Callable[[float], float]  #: a time of the house as seconds of the day
    say: Callable[[str], None]
    lines: dict[Line, None] = field(default_factory=dict)  #: in the order in which they appeared
    seen: list[Seen] = field(default_factory=list)
    judging: bool = False  #: whether silence would count against each ESP
    _states: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Look once."""
        esps = self._got("/esp-status")["esps"]
        self.judging = all(esp["events"]["feedback"] == "judging" for esp in esps)
        for esp in esps:
            name, state = esp["name"], esp["state"]
            if self._states.get(name, "closed") != state:
                self.seen.append(Seen(self.now(), name, state))
                self.say(f"  /esp-status: {name} is {state}; {esp['why_not'] or 'it takes mail'}")
            self._states[name] = state
        for name in ESPS:
            for item in reversed(self._got(f"/esps/{name}/log")["items"]):
                at = self.day_of(datetime.fromisoformat(item["at"]).timestamp())
                self.lines[Line(at, name, item["what"], item["why"])] = None

    def _got(self, path: str) -> dict[str, list[dict[str, Any]]]:
        answer = self.stage.call("GET", path)
        if answer.status != 200:
            raise StageError(f"{path} answered {answer.status}: {answer.body}")
        return dict(answer.body)
