"""The reputation score of an ESP, 0 to 100: five dimensions, each a belief with a change detector.

A counts requests (a failed batch is one), the others messages (facts, binding amendments).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.policies import beliefs
from services.policies.alarms import Test, level_after
from services.policies.beliefs import Belief, Prior
from services.policies.stored import Stored

_DAY = 86400.0
#: After an alarm the evidence is cut to this many outcomes: the score falls at once, and recovers.
RESTART_SIZE = 20.0


class Tally(NamedTuple):
    """What a batch of answers or events showed about one ESP."""

    requests_ok: int = 0
    requests_failed: int = 0  #: 5xx, connect or time-out; not 429, not a refusal of one message
    accepted: int = 0
    delivered: int = 0
    hard: int = 0
    block: int = 0  #: refused for policy or reputation, or a soft bounce that became final
    deferred: int = 0  #: messages deferred for the first time
    complained: int = 0


class Dimension(NamedTuple):
    """How one rate of bad outcomes becomes a factor from 1 (tolerated) to `floor` (ruinous)."""

    prior: Prior
    half_life: float
    cap: float
    tolerated: float
    ruinous: float
    floor: float = 0.0
    test: Test | None = None  #: None: too rare to test here, the campaign guard does


ACCEPT = Dimension(Prior(49, 1), _DAY, 5_000, 0.02, 0.30, test=Test(0.02, 0.20, 11.5))
DELIVER = Dimension(Prior(19.2, 0.8), _DAY, 5_000, 0.03, 0.20, test=Test(0.04, 0.16, 11.5))
BOUNCE = Dimension(Prior(99, 1), _DAY, 5_000, 0.02, 0.08, test=Test(0.02, 0.06, 9.0))
COMPLAINT = Dimension(Prior(4998.5, 1.5), 7 * _DAY, 50_000, 0.001, 0.004)
DEFER = Dimension(Prior(19, 1), _DAY, 5_000, 0.05, 0.40, floor=0.5, test=Test(0.08, 0.35, 11.5))


@dataclass(frozen=True, slots=True)
class Grade(Stored):
    """What is known in one dimension."""

    belief: Belief = field(default_factory=Belief)
    level: float = 0.0  #: of the change detector


@dataclass(frozen=True, slots=True)
class Evidence(Stored):
    """What is known of one ESP."""

    accept: Grade = field(default_factory=Grade)
    deliver: Grade = field(default_factory=Grade)
    bounce: Grade = field(default_factory=Grade)
    complaint: Grade = field(default_factory=Grade)
    defer: Grade = field(default_factory=Grade)
    #: Outcomes of messages since it was new or came back; a change detector does not forget them.
    messages: int = 0

    def after(self, tally: Tally, now: float) -> "Evidence":
        """With a batch's outcomes."""
        t = tally
        return Evidence(
            accept=_graded(self.accept, ACCEPT, t.requests_ok, t.requests_failed, now),
            deliver=_graded(self.deliver, DELIVER, t.delivered, t.block, now),
            bounce=_graded(self.bounce, BOUNCE, t.delivered + t.block, t.hard, now),
            complaint=_graded(
                self.complaint, COMPLAINT, t.delivered - t.complained, t.complained, now
            ),
            defer=_graded(self.defer, DEFER, t.accepted - t.deferred, t.deferred, now),
            messages=self.messages + t.delivered + t.block + t.hard,
        )

    def restarted(self) -> "Evidence":
        """The mail's own dimensions on little evidence: what a returning ESP is judged by."""
        return replace(
            self, deliver=_restarted(self.deliver), bounce=_restarted(self.bounce),
            complaint=_restarted(self.complaint), messages=0,
        )  # fmt: skip


def _restarted(grade: Grade) -> Grade:
    return Grade(beliefs.shortened(grade.belief, RESTART_SIZE))


def _graded(grade: Grade, dimension: Dimension, good: int, bad: int, now: float) -> Grade:
    if not good and not bad:
        return grade
    belief = beliefs.learnt(grade.belief, good, bad, now, dimension.half_life, dimension.cap)
    if dimension.test is None:
        return Grade(belief)
    level = level_after(grade.level, dimension.test, bad, max(0, good))
    if level < dimension.test.threshold:
        return Grade(belief, level)
    return Grade(beliefs.shortened(belief, RESTART_SIZE))


def factor(grade: Grade, dimension: Dimension, now: float) -> float:
    """1 down to the dimension's floor, judged by the rate that is 90 % sure not to be exceeded."""
    belief = beliefs.faded(grade.belief, now, dimension.half_life)
    bound = beliefs.bad_rate_bound(belief, dimension.prior)
    excess = (bound - dimension.tolerated) / (dimension.ruinous - dimension.tolerated)
    return 1.0 - (1.0 - dimension.floor) * min(1.0, max(0.0, excess))


def score(evidence: Evidence, now: float) -> float:
    """0 to 100; a newcomer has 49.1."""
    return (
        mail_score(evidence, now)
        * factor(evidence.accept, ACCEPT, now)
        * factor(evidence.defer, DEFER, now)
    )


def mail_score(evidence: Evidence, now: float) -> float:
    """0 to 100 by what became of the mail alone: what the reputation breaker looks at."""
    return (
        100.0
        * factor(evidence.deliver, DELIVER, now)
        * factor(evidence.bounce, BOUNCE, now)
        * factor(evidence.complaint, COMPLAINT, now)
    )


class Band(NamedTuple):
    """What a score means for routing."""

    name: str
    weight: float  #: times the configured weight, for campaigns


#: A newcomer must get its share, or it could never prove itself.
PROVEN_MESSAGES = 200
_UNPROVEN = Band("unproven", 1.0)
_BANDS = ((80.0, Band("healthy", 1.0)), (60.0, Band("degraded", 1.0)))
#: Below 40 the reputation breaker takes the ESP out; by requests and deferrals alone it may not.
_RESTRICTED = Band("restricted", 0.5)


def band(evidence: Evidence, now: float) -> Band:
    """The band of the ESP's score."""
    if evidence.messages < PROVEN_MESSAGES:
        return _UNPROVEN
    value = score(evidence, now)
    return next((band for least, band in _BANDS if value >= least), _RESTRICTED)
