"""What logic in a template costs: the 74 kB newsletter with conditions and loops, beside the same
newsletter with nothing but variables, and beside python-liquid rendering all of it at once.

`python -m bench.templates` takes half a minute. CPU time of one core, sides take turns in one run,
the median of the rounds counts. Gate: 5,000 recipients a second (200 us each) with logic.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import liquid

from bench.data.make_newsletter import SUBJECT, make
from bench.people import person
from mail.compiled import Compiled
from mail.content import Campaign, Sender, Source, compile_campaign
from mail.people import values_of
from mail.renderer import Row, Urls
from utils.signing import Signer

GATE_US = 200.0
_KEY = ("a key of at least thirty-two bytes",)
_PUBLIC = "https://mail.example.com"
Side = Callable[[Sequence[Row]], None]


def _compiled(html: str, subject: str) -> Compiled:
    return compile_campaign(
        Source(subject, html, allow_missing=True), campaign=Campaign(1, "abcdefgh", "Winter"),
        sender=Sender("news@example.com", "Club", None, "1 Main Street"),
        urls=Urls(_PUBLIC, Signer(_KEY, "tracking"), Signer(_KEY, "consent")),
    )  # fmt: skip


def _ours(campaign: Compiled) -> Side:
    def render(rows: Sequence[Row]) -> None:
        results = campaign.render_many(rows)
        assert not [result for result in results if isinstance(result, Exception)]

    return render


def _engine(html: str, campaign: Compiled) -> Side:
    """Every part rendered whole, with the same tokens made for each person."""
    parts = [campaign.view.subject, html, campaign.view.text or ""]
    escaping, plain = liquid.Environment(autoescape=True), liquid.Environment()
    templates = [
        (escaping if part is html else plain).from_string(part) for part in parts
    ]  # fmt: skip
    sign = campaign.urls.consent.of_campaign("abcdefgh")

    def render(rows: Sequence[Row]) -> None:
        for send_id, _, name, email, known in rows:
            values = values_of(name, email, known if isinstance(known, dict) else {})
            values |= {"campaign": campaign.known}
            token = f"{_PUBLIC}/unsubscribe/{sign(send_id)}"
            values |= dict.fromkeys(("unsubscribe_url", "preferences_url", "view_url"), token)
            for template in templates:
                template.render(**values)

    return render


def without_logic(html: str) -> str:
    """The newsletter with its tags dropped and a variable in place of each output."""
    bare = re.sub(r"\{%.*?%\}", "", html, flags=re.DOTALL)
    bare = re.sub(r'href="[^"]*\{\{.*?"', 'href="https://club.example/{{ plan }}"', bare)
    return re.sub(r"\{\{.*?\}\}", "{{ plan }}", bare, flags=re.DOTALL)


def measure(people: int, rounds: int) -> dict[str, float]:
    """Microseconds for each recipient by side."""
    html = make()
    logic = _compiled(html, SUBJECT)
    sides = {
        "variables": _ours(_compiled(without_logic(html), "Hello {{ plan }}")),
        "logic": _ours(logic),
        "engine": _engine(html, logic),
    }
    rows = [_row(number) for number in range(people)]
    costs: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            began = time.process_time()
            side(rows)
            if turn:  # the first warms up
                costs[name].append((time.process_time() - began) / people * 1e6)
    return {name: statistics.median(found) for name, found in costs.items()}


def _row(number: int) -> Row:
    known: dict[str, Any] = person(number)
    return number + 1, known["address"], known["name"], known["email"], known["attributes"]


def main() -> int:
    """Measure, print, and say by the exit code whether the gate holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.people, given.rounds)
    holds = found["logic"] <= GATE_US
    if given.json:
        print(json.dumps(found | {"holds": holds}))
    else:
        for name, cost in found.items():
            print(f"{name:10} {cost:8.1f} us each, {1e6 / cost:8,.0f} a second")
        print(f"logic is {found['engine'] / found['logic']:.1f} times as fast as the engine alone")
        print(f"gate {GATE_US:.0f} us: {'holds' if holds else 'missed'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
