"""What a drill says at the end: to people, and as one JSON object. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cli import drill_sums as sums
from cli.drill_account import Played
from cli.drill_day import SILENT
from cli.drill_story import Story, stories
from cli.drill_sums import Way
from cli.drill_watch import Line


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told."""

    played: Played
    speed: float
    stories: list[Story]
    ours: Way
    oracle: Way
    others: list[Way]
    checks: dict[str, bool]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(self.checks.values())


def report(played: Played, speed: float) -> Report:
    """The account of a day."""
    told, sent = stories(played), played.sent
    return Report(
        played, speed, told, sums.ours(played.day, sent), sums.oracle(played.day, sent),
        sums.others(played.day, sent), _checks(played, told),
    )  # fmt: skip


def _checks(played: Played, told: list[Story]) -> dict[str, bool]:
    vanished = sum(one.outcome == "lost" for one in played.sent)
    in_silence = sum(story.lost for story in told if story.fault.kind == SILENT)
    unheard = {name: played.ledger.get(name, 0) for name in _UNSETTLED}
    return {
        "every fault was noticed": all(s.noticed for s in told),
        "the ledger balances": played.balanced and sum(played.ledger.values()) == played.audience,
        "an ESP took everybody's mail": played.reached == played.audience > 0,
        "nobody was lost but in the silent outage": vanished == in_silence
        == played.ledger.get("accepted", 0) and not any(unheard.values()),
        "nobody was mailed twice (by the ESPs' own count)": played.copies == 0,
        "`verify` finds every promise kept": played.verified,
    }  # fmt: skip


#: States in which somebody's mail has not left, or nobody knows.
_UNSETTLED = ("queued", "sending", "failed", "suppressed", "cancelled", "in_doubt")


# --- for machines -------------------------------------------------------------------------------


def as_dict(told: Report) -> dict[str, Any]:
    """One JSON object; seconds are those of the day."""
    played = told.played
    return {
        "ok": told.ok, "checks": told.checks, "speed": told.speed,
        "day_seconds": round(played.day.seconds), "messages": played.audience,
        "ledger": played.ledger,
        "faults": [_fault(story) for story in told.stories],
        "ways": [_way(way, told.oracle) for way in (told.ours, *told.others)],
        "delivered_of_oracle": _ratio(told.ours.delivered, told.oracle.delivered),
        "verify": "" if played.verified else played.verify_words,
    }  # fmt: skip


def _fault(story: Story) -> dict[str, Any]:
    fault = story.fault
    return {
        "kind": fault.kind, "esp": fault.esp, "title": fault.title,
        "began": round(fault.start, 1), "ended": round(fault.end, 1),
        "noticed_after": _rounded(story.noticed.after if story.noticed else None),
        "why": story.noticed.why if story.noticed else None,
        "shown_after": _rounded(story.shown_after),
        "taken_until_noticed": story.taken_until_noticed, "taken": story.taken,
        "struck": story.struck, "lost": story.lost,
        "usual_share": _rounded(story.usual_share, 3),
        "half_share_after": _rounded(story.half_share_after),
        "closed_after": _rounded(story.closed_after),
        "log": [_line(line) for line in story.lines],
    }  # fmt: skip


def _line(line: Line) -> dict[str, Any]:
    return line._asdict() | {"at": round(line.at, 1)}


def _way(way: Way, oracle: Way) -> dict[str, Any]:
    figures = {name: round(value, 1) for name, value in asdict(way).items() if name != "name"}
    return {"name": way.name} | figures | {"regret": round(way.regret(oracle), 5)}


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 5) if whole else 0.0


# --- for people ---------------------------------------------------------------------------------


def lines(told: Report) -> Iterator[str]:
    """The report as text."""
    played = told.played
    yield ""
    yield (f"A day of {clock(played.day.seconds)} at {told.speed:g} times real speed, "
           f"{played.audience} messages. Times are those of the day (min:s).")  # fmt: skip
    for story in told.stories:
        yield ""
        yield from _story_lines(story, told.speed)
    yield ""
    yield from _table(told)
    yield ""
    for check, holds in told.checks.items():
        yield f"    {'✔' if holds else '✘'} {check}"
    if not played.verified:
        yield played.verify_words


def _story_lines(story: Story, speed: float) -> Iterator[str]:
    fault = story.fault
    yield f"{clock(fault.start)} to {clock(fault.end)}  {fault.esp}: {fault.title}"
    if story.noticed:
        real = story.noticed.after / speed
        yield f"    noticed after {clock(story.noticed.after)} ({real:.1f} s of real time):"
        yield f"      {story.noticed.why}"
    else:
        yield "    not noticed"
    yield f"    {_cost(story)}"
    share = f"{story.usual_share:.0%}" if story.usual_share else "unknown"
    back = _after(story.half_share_after)
    closed = f"breaker closed {_after(story.closed_after)}" if story.lines else "no breaker opened"
    yield f"    after its end: half of its usual share ({share}) {back}, {closed}"
    for line in story.lines:
        yield f"      {clock(line.at)}  {line.what:<9} {line.why}"


def _cost(story: Story) -> str:
    fault = story.fault
    if fault.refused:
        return f"{story.struck} requests refused; none of their messages was lost"
    into = f"{story.taken_until_noticed} messages into it until then, {story.taken} in all"
    if fault.vanished:
        return f"{into}; lost in silence: {story.lost}"
    return f"{into}; {story.struck} blocked" if fault.blocked else f"{into}; none was lost"


def _times_below(told: Report) -> str:
    """What learning is worth, in the terms of docs/routing.md."""
    own = told.ours.regret(told.oracle)
    if not own:
        return "the house missed nothing"
    names = ("round robin", "greedy ratio", "static, mean of the orders")
    words = [f"{way.regret(told.oracle) / own:.1f} times below {way.name}"
             for way in told.others if way.name in names]  # fmt: skip
    return f"the house's regret is {', '.join(words)}"


def _after(seconds: float | None) -> str:
    return "not within the day" if seconds is None else f"after {clock(seconds)}"


def _table(told: Report) -> Iterator[str]:
    total = len(told.played.sent) or 1
    yield f"{'way':<28}{'delivered':>10}{'lost in silence':>17}{'blocked':>9}{'regret':>9}"
    for way in (told.oracle, told.ours, *told.others):
        yield (f"{way.name:<28}{way.delivered / total:>10.2%}{way.vanished:>17.0f}"
               f"{way.blocked:>9.0f}{way.regret(told.oracle):>9.2%}")  # fmt: skip
    yield _times_below(told)
    yield "(the others by arithmetic: the same mail on the same day, going on where it is refused)"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
