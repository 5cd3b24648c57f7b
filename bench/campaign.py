"""CPU per recipient of a whole campaign, beside each vendor's SDK used with care and used naively.

All sides take turns in one run against one sink, so that a noisy machine is noisy for all of them.
Each round is counted at the sink and in the ledger; a disagreement ends the bench. Exit code 1: a
gate is missed. `python -m bench.campaign`.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import people, sink, theirs
from bench.ours import ESPS, MICRO, Miscount, Product, Steps, collecting_as_a_worker_does

OURS, BATCH, EACH = "ours", "SDK, batch call", "SDK, one each"
#: How many times our CPU a side may at least take.
GATES = {BATCH: 2.5, EACH: 20.0}
#: One request each is slow and steady: this share of the people is enough.
EACH_SHARE = 25
LEAST_EACH = 5


@dataclass(frozen=True)
class Measured:
    """One way through one ESP."""

    esp: str
    way: str
    recipients: int
    rounds: list[float]  #: CPU microseconds per recipient
    ratios: list[float]  #: to ours, of the same round

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def passed(self) -> bool:
        return self.ratio >= GATES.get(self.way, 0)


@dataclass
class Result:
    """Everything that was measured, and where our own time went."""

    measured: list[Measured] = field(default_factory=list)
    steps: dict[str, dict[str, float]] = field(default_factory=dict)  #: by ESP, microseconds

    @property
    def passed(self) -> bool:
        return all(one.passed for one in self.measured)


class Bench:
    """The sides of one ESP, each on a SQLite file of its own, against one sink."""

    def __init__(self, folder: Path, esp: str, at: sink.Running, recipients: int) -> None:
        self._esp, self._sink = esp, at
        self._recipients = recipients
        self.each = max(LEAST_EACH, recipients // EACH_SHARE)
        for name in ("ours", "theirs"):
            people.fill(folder / f"{esp}-{name}.db", recipients)
        self.steps = Steps()
        self._product = Product(folder / f"{esp}-ours.db", at.url, [esp], self.steps)
        self._mailer = theirs.Mailer(folder / f"{esp}-theirs.db")
        self._ways = {BATCH: theirs.BATCH[esp](at.url), EACH: theirs.EACH[esp](at.url)}

    def ours(self) -> float:
        """One campaign; CPU microseconds per recipient."""
        spent, sent = _cpu(self._product.send)
        self._check(self._recipients, sent.audience, sent.ledger.get("accepted", 0))
        return spent / self._recipients

    def theirs(self, way: str) -> float:
        """The same people by another way."""
        count = self.each if way == EACH else self._recipients
        spent, marked = _cpu(lambda: self._mailer.mail(self._ways[way], count))
        self._check(count, marked)
        self._mailer.forget()
        return spent / count

    def close(self) -> None:
        self._product.close()
        self._mailer.close()

    def _check(self, wanted: int, *counted: int) -> None:
        """Everybody once, and all who count agree."""
        taken = self._sink.taken()
        if {wanted, taken.recipients, taken.people, *counted} != {wanted}:
            raise Miscount(f"{self._esp}: {wanted} wanted, sink {taken}, counted {counted}")


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """Microseconds of user and system time of all threads, and what `work` gave."""
    gc.collect()
    began = time.process_time()
    result = work()
    return (time.process_time() - began) * MICRO, result


def run(recipients: int, rounds: int, esps: Sequence[str] = ESPS) -> Result:
    """Measure all sides in turns. Raises Miscount."""
    with tempfile.TemporaryDirectory() as folder, sink.running() as at:
        benches = {esp: Bench(Path(folder), esp, at, recipients) for esp in esps}
        for bench in benches.values():  # imports, connections, statements: paid once, by nobody
            _round(bench)
            bench.steps.seconds.clear()
        # One process holds three SDKs, of which each side alone needs one: walking through the
        # others' objects is nobody's cost.
        gc.collect()
        gc.freeze()
        seen: dict[str, list[dict[str, float]]] = defaultdict(list)
        with collecting_as_a_worker_does():  # all sides: it makes the others cheaper, too
            for _ in range(rounds):
                for esp, bench in benches.items():
                    seen[esp].append(_round(bench))
        gc.unfreeze()
        for bench in benches.values():
            bench.close()
    result = Result()
    for esp, bench in benches.items():
        result.measured += _measured(esp, seen[esp], bench.each, recipients)
        total = recipients * rounds
        result.steps[esp] = {n: s * MICRO / total for n, s in bench.steps.seconds.items()}
    return result


def _round(bench: Bench) -> dict[str, float]:
    return {OURS: bench.ours(), BATCH: bench.theirs(BATCH), EACH: bench.theirs(EACH)}


def _measured(
    esp: str, rounds: Sequence[dict[str, float]], each: int, recipients: int
) -> list[Measured]:
    return [
        Measured(
            esp, way, each if way == EACH else recipients,
            [one[way] for one in rounds], [one[way] / one[OURS] for one in rounds],
        )
        for way in (OURS, BATCH, EACH)
    ]  # fmt: skip


def shown(result: Result) -> str:
    """The table for a person to read."""
    lines = [
        f"{'ESP':9} {'way':16} {'people':>7} {'us each':>9} {'min .. max':>17} {'x ours':>7}  gate"
    ]
    for one in result.measured:
        spread = f"{min(one.rounds):.1f} .. {max(one.rounds):.1f}"
        gate = GATES.get(one.way)
        verdict = f">= {gate:g}: {'holds' if one.passed else 'MISSED'}" if gate else ""
        lines.append(
            f"{one.esp:9} {one.way:16} {one.recipients:7} {median(one.rounds):9.1f} {spread:>17} "
            f"{one.ratio:7.1f}  {verdict}"
        )
    for esp, steps in result.steps.items():
        parts = ", ".join(f"{name} {spent:.1f}" for name, spent in steps.items())
        lines.append(f"{esp}: ours, us per recipient by step (mean): {parts}")
    return "\n".join(lines)


def as_json(result: Result) -> str:
    """The same for a program."""
    rows = [
        {
            "esp": one.esp, "way": one.way, "recipients": one.recipients,
            "cpu_us": median(one.rounds), "rounds": one.rounds, "ratio": one.ratio,
            "gate": GATES.get(one.way), "passed": one.passed,
        }
        for one in result.measured
    ]  # fmt: skip
    return json.dumps({"passed": result.passed, "measured": rows, "steps": result.steps}, indent=2)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.campaign", description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--esp", choices=ESPS, action="append", help="only this one; repeatable")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        result = run(given.recipients, given.rounds, given.esp or ESPS)
    except Miscount as error:
        print(f"wrong count: {error}", file=sys.stderr)
        return 1
    print(as_json(result) if given.json else shown(result))
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
