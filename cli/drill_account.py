"""The account of a drill's day, as simulator and service give it once everything has ended."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cli.drill_day import Day
from cli.drill_play import Performance
from cli.drill_sums import Sent
from cli.drill_watch import Line, Seen
from cli.stage import Stage

#: Real seconds within which some of the rest must come when the day is over.
SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.5
#: What events teach is learnt within half a second.
LEARNING_SECONDS = 1.0


@dataclass
class Played:
    """A day as it was."""

    day: Day
    sent: list[Sent] = field(default_factory=list)  #: in the order of time
    lines: list[Line] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)  #: of all campaigns together
    balanced: bool = True
    audience: int = 0
    reached: int = 0  #: people of whom an ESP took mail
    copies: int = 0  #: that somebody got beyond the first
    verified: bool = False
    verify_words: str = ""


def account(stage: Stage, shown: Performance, speed: float, say: Callable[[str], None]) -> Played:
    """Wait until everything has ended, and count."""
    _settle(stage, say)
    time.sleep(LEARNING_SECONDS)
    shown.watch.look()
    lines = sorted(shown.watch.lines, key=lambda line: line.at)
    played = Played(shown.day, lines=lines, seen=shown.watch.seen, hits=shown.hits)
    _count_messages(stage, played, shown.began, speed)
    _count_campaigns(stage, played)
    verified = stage.run("verify")
    played.verified = verified.returncode == 0
    played.verify_words = f"{verified.stdout[-3000:]}{verified.stderr[-2000:]}"
    return played


def _settle(stage: Stage, say: Callable[[str], None]) -> None:
    least, end = float("inf"), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        pending = sum(stage.simulator("GET", "/_webhooks").body["pending"].values())
        waiting = sum(one["status"] != "sent" for one in _campaigns(stage))
        if not pending and not waiting:
            return
        if pending + waiting < least:
            least, end = pending + waiting, time.monotonic() + SETTLE_SECONDS
        say(f"  {pending} events are to come, {waiting} campaigns to end")
        time.sleep(LOOK_SECONDS)


def _count_messages(stage: Stage, played: Played, began: float, speed: float) -> None:
    people: Counter[str] = Counter()
    for row in stage.ledger_of_simulator():
        at = (row["at"] - began) * speed
        domain = row["to"].rpartition("@")[2]
        played.sent.append(Sent(at, domain, row["esp"], row["outcome"]))
        people[row["to"]] += row["count"]
    played.sent.sort()
    played.reached, played.copies = len(people), people.total() - len(people)


def _count_campaigns(stage: Stage, played: Played) -> None:
    for campaign in _campaigns(stage):
        played.audience += campaign["audience"]
        played.balanced &= campaign["balanced"]
        for status, count in campaign["ledger"].items():
            played.ledger[status] = played.ledger.get(status, 0) + count


def _campaigns(stage: Stage) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = stage.call("GET", f"/campaigns?limit=100{cursor}").body
        yield from page["items"]
        if not page["next_cursor"]:
            return
        cursor = f"&cursor={page['next_cursor']}"
