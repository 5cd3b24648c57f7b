"""What a drill's day shows of each fault: when the house noticed and said why, what it cost until
then, and when the ESP was back. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from cli.drill_account import Played
from cli.drill_day import SLUMPING, Fault
from cli.drill_sums import between, crossed, kept, share
from cli.drill_watch import Line, of_fault, opening

#: The words of the log that tell of a switch.
STATES = ("open", "half_open", "ramp", "closed")


class Noticed(NamedTuple):
    """The moment when the log said so."""

    after: float  #: seconds of the day since the fault began
    why: str


@dataclass(frozen=True, slots=True)
class Story:
    """One fault, in figures. Seconds are those of the day; None: not within the day."""

    fault: Fault
    noticed: Noticed | None
    shown_after: float | None  #: when /esp-status had another state than closed
    taken_until_noticed: int  #: messages that the ESP took from the fault's beginning
    taken: int  #: in the whole fault
    struck: int  #: requests refused, or messages lost or blocked
    lost: int  #: messages that vanished
    usual_share: float | None
    half_share_after: float | None  #: since the end of the fault
    closed_after: float | None  #: since the end of the fault; 0 = it was closed then
    lines: tuple[Line, ...]  #: of the log, from the beginning of the fault on


def stories(played: Played) -> list[Story]:
    """All faults of the day, in order."""
    return [_story(played, fault) for fault in played.day.faults]


def _story(played: Played, fault: Fault) -> Story:
    until = _next_trouble(played, fault)
    lines = of_fault(played.lines, fault, until)
    usual = _usual_share(played, fault)
    noticed = _taken_out(lines, fault) or _avoided(played, fault, usual)
    known = fault.start + noticed.after if noticed else fault.end
    into = [one for one in played.sent if one.esp == fault.esp and _concerns(fault, one.domain)]
    taken = between(into, fault.start, fault.end)
    return Story(
        fault, noticed, _shown(played, fault, until),
        taken_until_noticed=len(between(into, fault.start, known)),
        taken=len(taken), struck=played.hits.get(fault.kind, 0),
        lost=sum(one.outcome == "lost" for one in taken),
        usual_share=usual, half_share_after=_back(played, fault, usual, until),
        closed_after=_closed(lines, fault), lines=tuple(lines),
    )  # fmt: skip


def _concerns(fault: Fault, domain: str) -> bool:
    return not fault.domains or domain in fault.domains


def _next_trouble(played: Played, fault: Fault) -> float:
    """When the same ESP breaks again; what comes after the day still belongs to it."""
    later = [one.start for one in played.day.faults
             if one.esp == fault.esp and one.start > fault.start]  # fmt: skip
    return min(later, default=float("inf"))


def _taken_out(lines: list[Line], fault: Fault) -> Noticed | None:
    line = opening(lines, fault)
    return Noticed(line.at - fault.start, line.why) if line and line.at <= fault.end else None


def _avoided(played: Played, fault: Fault, usual: float | None) -> Noticed | None:
    """Mail is routed around a slump long before a breaker has reason to open."""
    if not usual or not fault.domains:
        return None
    sent = between(played.sent, fault.start, fault.end)
    at = kept(sent, fault.esp, lambda had: had <= usual / 2, fault.domains)
    words = f"less than half of its usual {usual:.0%} of the mail to {SLUMPING} goes through it"
    return None if at is None else Noticed(at - fault.start, words)


def _back(played: Played, fault: Fault, usual: float | None, until: float) -> float | None:
    if not usual:
        return None
    sent = between(played.sent, fault.end, until)
    at = crossed(sent, fault.esp, lambda had: had >= usual / 2, fault.domains)
    return None if at is None else at - fault.end


def _shown(played: Played, fault: Fault, until: float) -> float | None:
    times = [
        one.at - fault.start for one in played.seen
        if one.esp == fault.esp and one.state != "closed" and fault.start <= one.at < until
    ]  # fmt: skip
    return min(times, default=None)


def _closed(lines: list[Line], fault: Fault) -> float | None:
    states = [line for line in lines if line.what in STATES]
    before = [line for line in states if line.at <= fault.end]
    if not before or before[-1].what == "closed":
        return 0.0
    later = (line.at for line in states if line.at > fault.end and line.what == "closed")
    closed = next(later, None)
    return None if closed is None else closed - fault.end


def _usual_share(played: Played, fault: Fault) -> float | None:
    """In the calm before the first fault, once the ESPs are known."""
    first = played.day.faults[0].start
    return share(between(played.sent, first / 3, first), fault.esp, fault.domains)
