"""Which ESP each message goes to, given who may take how many. Pure and deterministic.

The best priority tier that has room is filled first; inside a tier smooth weighted round robin
spreads by weight and reputation. What has no room anywhere stays queued.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Below this score an ESP gets mail only when its tier has nobody better (facts: quarantine).
QUARANTINE_SCORE = 40.0
#: Between quarantine and this score an ESP gets half its weight.
DEGRADED_SCORE = 60.0
#: A newcomer is `unproven` at 49: it must get its share, or it could never prove itself.
PROVEN_EVENTS = 200
_MAX_CREDIT = 50.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One ESP that may take messages now."""

    name: str
    priority: int  #: 1 is first; equal numbers share a tier
    weight: float
    reputation: float
    evidence: int  #: events the reputation rests on
    room: int | None  #: messages it may take now; None = any number
    credit: float = 0.0


def effective_weight(candidate: Candidate) -> float:
    """The configured weight, cut by a reputation that rests on enough evidence."""
    if candidate.evidence < PROVEN_EVENTS or candidate.reputation >= DEGRADED_SCORE:
        return candidate.weight
    return candidate.weight * (0.5 if candidate.reputation >= QUARANTINE_SCORE else 0.0)


def assign(candidates: Sequence[Candidate], wanted: int) -> tuple[list[str], Mapping[str, float]]:
    """The ESP of each of `wanted` messages in order, as far as there is room, and the credit of
    the round robin afterwards."""
    chosen: list[str] = []
    credit = {candidate.name: candidate.credit for candidate in candidates}
    for tier in _tiers(candidates):
        _fill(tier, wanted, chosen, credit)
        if len(chosen) == wanted:
            break
    return chosen, credit


def _tiers(candidates: Sequence[Candidate]) -> list[list[tuple[Candidate, float]]]:
    """Weighted candidates by rising priority number. Quarantined ones form a last tier of their
    own: an ESP in bad standing is still better than mail that never leaves."""
    tiers: dict[int, list[tuple[Candidate, float]]] = {}
    quarantined = []
    for candidate in sorted(candidates, key=lambda c: (c.priority, c.name)):
        weight = effective_weight(candidate)
        if weight > 0:
            tiers.setdefault(candidate.priority, []).append((candidate, weight))
        elif candidate.weight > 0:
            quarantined.append((candidate, candidate.weight))
    return [tiers[priority] for priority in sorted(tiers)] + ([quarantined] if quarantined else [])


def _fill(
    tier: list[tuple[Candidate, float]], wanted: int, chosen: list[str], credit: dict[str, float]
) -> None:
    room = {c.name: wanted if c.room is None else c.room for c, _ in tier}
    open_ = [(c.name, weight) for c, weight in tier if room[c.name] > 0]
    while open_ and len(chosen) < wanted:
        if len(open_) == 1:  # nobody to share with: all of it, and no credit is owed
            name = open_[0][0]
            chosen.extend([name] * min(room[name], wanted - len(chosen)))
            return
        name = _next(open_, credit)
        chosen.append(name)
        room[name] -= 1
        if room[name] == 0:
            open_ = [(other, weight) for other, weight in open_ if other != name]


def _next(open_: list[tuple[str, float]], credit: dict[str, float]) -> str:
    """One step of smooth weighted round robin (as in nginx's upstream balancing)."""
    total = sum(weight for _, weight in open_)
    for name, weight in open_:
        credit[name] = min(_MAX_CREDIT, credit[name] + weight / total)
    name = max(open_, key=lambda item: credit[item[0]])[0]
    credit[name] = max(-_MAX_CREDIT, credit[name] - 1)
    return name
