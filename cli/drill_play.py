"""Plays a day: a stream of mail, and one fault after another while the house is watched."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cli.drill_day import LAG, Day, Fault
from cli.drill_stream import Stream, Waves, people
from cli.drill_watch import Watch, opening
from cli.stage import Stage, StageError

#: Real seconds between two looks at the house.
LOOK_SECONDS = 0.4
STEP_SECONDS = 0.05
#: How long an ESP takes to tell of a message, in seconds of the day.
EVENT_SECONDS = (2.0, 10.0)
#: A slow machine gets the calm before the first fault so many times again.
CALM_AGAIN = 5


@dataclass(frozen=True, slots=True)
class Performance:
    """What was played."""

    day: Day  #: with the times that the faults really had
    began: float  #: real Unix seconds
    hits: dict[str, int]  #: by kind of fault: requests refused, messages lost or blocked
    watch: Watch


@dataclass
class Player:
    """One performance on a stage that is up."""

    stage: Stage
    speed: float
    since: float  #: real Unix seconds at which the house's clock was right
    seed: int
    say: Callable[[str], None]
    began: float = 0.0

    def __post_init__(self) -> None:
        self.watch = Watch(self.stage, self.now, self._of_house, self.say)
        self._hits: dict[str, int] = {}

    def now(self) -> float:
        """Seconds of the day."""
        return (time.time() - self.began) * self.speed

    def _of_house(self, at: float) -> float:
        return at - (self.since + (self.began - self.since) * self.speed)

    def play(self, day: Day, campaigns: Waves) -> Performance:
        """The whole day."""
        delays = [seconds / self.speed for seconds in EVENT_SECONDS]
        self._asked("PATCH", "/_webhooks", {"latency": delays})
        stream = Stream(self.stage, people(campaigns.sizes, self.seed), campaigns.every)
        self.began = time.time()
        stream.start()
        try:
            played = self._faults(day, stream)
        finally:
            stream.stop()
        return Performance(Day(played, self.now()), self.began, self._hits, self.watch)

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.stage.simulator(method, path, body)
        if answer.status not in (200, 201):
            raise StageError(f"the simulator answered {answer.status}: {answer.body}")
        return answer.body

    # --- faults --------------------------------------------------------------------------------

    def _faults(self, day: Day, stream: Stream) -> list[Fault]:
        """Each for its time and with its distance from the last one; their real times."""
        played: list[Fault] = []
        before = 0.0
        self._get_to_know(day, stream)
        for fault in day.faults:
            if before:
                self._wait(fault.start - before, stream)
            played.append(self._played(fault, stream, hasty=day.hasty))
            before = fault.end
        self._wait(day.seconds - before, stream)
        return played

    def _get_to_know(self, day: Day, stream: Stream) -> None:
        """Calm for its time, and until the house judges each ESP by its events."""
        self._wait(day.faults[0].start, stream)
        self._wait(CALM_AGAIN * day.faults[0].start, stream, lambda: self.watch.judging)

    def _wait(
        self, seconds: float, stream: Stream, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """So many seconds of the day, or until it is enough."""
        end, looked = self.now() + seconds, 0.0
        while self.now() < end and not enough():
            if stream.problem:
                raise StageError(stream.problem)
            if time.monotonic() >= looked + LOOK_SECONDS:
                looked = time.monotonic()
                self.watch.look()
            time.sleep(STEP_SECONDS)

    def _played(self, fault: Fault, stream: Stream, *, hasty: bool) -> Fault:
        """Its times enclose whatever it did."""
        begun = replace(fault, start=self.now())
        self.say(f"⚡ {fault.esp}: {fault.title}")
        numbers = self._break(fault)
        self._wait(
            fault.end - fault.start, stream,
            lambda: hasty and opening(self.watch.lines, begun) is not None,
        )  # fmt: skip
        self._hits[fault.kind] = self._mend(fault, numbers)
        self.say(f"  {fault.esp} works again")
        return replace(begun, end=self.now())

    def _break(self, fault: Fault) -> list[int]:
        if fault.kind == LAG:
            self._asked("PATCH", "/_webhooks", {"held": [fault.esp]})
        orders = fault.orders(self.seed)
        return [self._asked("POST", "/_faults", order)["id"] for order in orders]

    def _mend(self, fault: Fault, numbers: list[int]) -> int:
        """Returns how often it struck."""
        if fault.kind == LAG:
            self._asked("PATCH", "/_webhooks", {"held": []})
        found = {one["id"]: one["hits"] for one in self._asked("GET", "/_faults")["items"]}
        for number in numbers:
            self._asked("DELETE", f"/_faults/{number}")
        return sum(found[number] for number in numbers)
