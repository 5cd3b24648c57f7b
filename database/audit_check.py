"""What a check of the audit is, and how one runs. Knows no promise."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

#: Pieces of evidence that a finding carries; all violations are counted.
EVIDENCE = 5
#: A lease may outlive its end by so much (contract promise 2).
LEASE_GRACE_SECONDS = 5.0
#: How long a transaction that takes somebody out of reach may last between the moment it notes and
#: the moment others see it: a hand-over in between broke nothing.
COMMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What an audit must be told, because the database does not hold it."""

    now: float
    mode: str
    lease_seconds: float
    worker_beats: bool
    #: By ESP: messages a UTC day; None = no limit. An ESP that is not named is not judged.
    daily_limits: Mapping[str, int | None] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """What the statements bind."""
        day_began = self.now - self.now % 86400
        return {
            "mode": self.mode,
            "late": self.now - LEASE_GRACE_SECONDS,
            "commit_seconds": COMMIT_SECONDS,
            # What was handed over from here on was claimed, and so counted, today as well.
            "surely_today": day_began + self.lease_seconds,
        }


Row = Mapping[str, Any]
Find = Callable[[sa.Connection, Facts], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, or a part of it, as a question to the database."""

    name: str
    promise: str  #: its number in the README, or `house` for what the others rest on
    sentence: str  #: what holds when nothing is found
    population: str  #: SQL that counts the rows looked at
    find: Find  #: yields a row of evidence for each violation
    why_not: Callable[[Facts], str] = lambda _facts: ""  #: why it cannot be asked now


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    name: str
    promise: str
    sentence: str
    looked_at: int
    violations: int
    evidence: tuple[dict[str, Any], ...]
    skipped: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the promise."""
        return not self.violations


def run(check: Check, connection: sa.Connection, facts: Facts) -> Finding:
    """Ask one check."""
    skipped = check.why_not(facts)
    if skipped:
        return Finding(check.name, check.promise, check.sentence, 0, 0, (), skipped)
    looked_at = int(connection.execute(sa.text(check.population)).scalar_one())
    evidence: list[dict[str, Any]] = []
    violations = 0
    for row in check.find(connection, facts):
        violations += 1
        if len(evidence) < EVIDENCE:
            evidence.append(dict(row))
    return Finding(
        check.name, check.promise, check.sentence, looked_at, violations, tuple(evidence)
    )


def sql(text: str, *, postgresql: str | None = None) -> Find:
    """Each row of the statement is a violation. `postgresql`: where the dialects differ."""

    def find(connection: sa.Connection, facts: Facts) -> Iterable[Row]:
        other = postgresql is not None and connection.dialect.name != "sqlite"
        chosen = str(postgresql) if other else text
        bound = {name: v for name, v in facts.values().items() if f":{name}" in chosen}
        streaming = connection.execution_options(stream_results=True)
        for row in streaming.execute(sa.text(chosen), bound).mappings():
            yield {str(name): value for name, value in row.items()}

    return find
