"""Whether memory grows with the audience: the peak of a fresh process that sends one campaign, for
a small and a large list, and what a recipient costs in each. Exit code 1: memory grows beyond the
gate. `python -m bench.memory`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench import people, sink
from bench.ours import ESPS, MICRO, Miscount, Product, collecting_as_a_worker_does

#: Megabytes that the larger list may cost beyond the smaller one.
GATE = 15.0
SIZES = (10_000, 100_000)


class Cost(NamedTuple):
    """Of one campaign in a fresh process."""

    peak: float  #: megabytes
    cpu_us: float  #: for each recipient, first imports and connections included


class Growth(NamedTuple):
    """Costs by size, small to large."""

    esp: str
    sizes: tuple[int, ...]
    costs: tuple[Cost, ...]

    @property
    def megabytes(self) -> float:
        return self.costs[-1].peak - self.costs[0].peak

    @property
    def passed(self) -> bool:
        return self.megabytes < GATE


def measure(esp: str, sizes: tuple[int, ...] = SIZES) -> Growth:
    """One campaign for each size, each in a process of its own. Raises Miscount."""
    return Growth(esp, sizes, tuple(_cost(esp, size) for size in sizes))


def _cost(esp: str, size: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder, sink.running() as at:
        path = Path(folder) / "email.db"
        people.fill(path, size)
        command = [sys.executable, "-m", "bench.memory", "--child", esp, str(path), at.url]
        told = subprocess.run(command, cwd=sink.ROOT, check=True, stdout=subprocess.PIPE)
        answer = json.loads(told.stdout)
        taken = at.taken()
    if {taken.recipients, taken.people, answer["accepted"], size} != {size}:
        raise Miscount(f"{esp}: {size} wanted, sink {taken}, accepted {answer['accepted']}")
    return Cost(answer["peak"], answer["cpu"] / size * MICRO)


def _child(esp: str, path: Path, url: str) -> None:
    """Send one campaign and say what it took."""
    product = Product(path, url, [esp])
    began = time.process_time()
    with collecting_as_a_worker_does():
        sent = product.send()
    cpu = time.process_time() - began
    product.close()
    accepted = sent.ledger.get("accepted", 0)
    print(json.dumps({"accepted": accepted, "peak": _high_water(), "cpu": cpu}))


_STATUS = Path("/proc/self/status")


def available() -> bool:
    """Whether this system tells a process's peak."""
    return _STATUS.exists()


def _high_water() -> float:
    """Megabytes of this process at its largest. Not `ru_maxrss`, which a child inherits."""
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    raise RuntimeError("no VmHWM: memory is measured on Linux only")


def shown(grown: list[Growth]) -> str:
    """The table for a person to read."""
    lines = []
    for one in grown:
        peaks = ", ".join(
            f"{size:,} people {cost.peak:.1f} MB ({cost.cpu_us:.1f} us each)"
            for size, cost in zip(one.sizes, one.costs, strict=True)
        )
        verdict = "holds" if one.passed else "MISSED"
        lines.append(f"{one.esp:9} {peaks}: {one.megabytes:+.1f} MB  < {GATE:g}: {verdict}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.memory", description=__doc__)
    parser.add_argument("--esp", choices=ESPS, action="append", help="only this one; repeatable")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("ESP", "FILE", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        esp, path, url = given.child
        _child(esp, Path(path), url)
        return 0
    grown = [measure(esp) for esp in given.esp or ESPS]
    rows = [
        {
            "esp": one.esp, "growth": one.megabytes, "passed": one.passed,
            "costs": {
                size: cost._asdict() for size, cost in zip(one.sizes, one.costs, strict=True)
            },
        }
        for one in grown
    ]  # fmt: skip
    print(json.dumps(rows, indent=2) if given.json else shown(grown))
    return 0 if all(one.passed for one in grown) else 1


if __name__ == "__main__":
    sys.exit(main())
