"""One ESP at one mailbox provider: how sure it delivers there, and whether that broke down."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.policies import beliefs, breakers
from services.policies.alarms import Test, level_after
from services.policies.beliefs import Belief, Prior, Track
from services.policies.breakers import Breaker
from services.policies.mailbox_providers import OTHER
from services.policies.stored import Stored

#: Effective outcomes a cell remembers, and an ESP over all its cells.
CELL_CAP = 2_000.0
ESP_CAP = 4 * CELL_CAP
#: What is believed of an ESP before its first outcome.
ESP_PRIOR = Prior(19.2, 0.8)
#: How many outcomes the ESP's own rate is worth at a mailbox provider (shrinkage).
SHRINKAGE = 20.0
THRESHOLD = 11.5
#: After an alarm only the last outcomes count; more of them bad than this, and the cell opens.
RECENT = 50
RUINED = 0.5
#: So far below the ESP's own rate a cell is called poor, and nearer than this it is fair again.
POOR, FAIR = 0.04, 0.015
_USUAL = (0.01, 0.5)
_WORST = 0.9
#: Yahoo's TS04 asks for two hours (KumoMTA shaping.toml), other deferrals for 90 minutes.
TS04_SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class Cell(Stored):
    """The state of one cell."""

    track: Track = field(default_factory=Track)
    level: float = 0.0  #: of the change detector
    recent: int = 0  #: the last outcomes as bits, the newest lowest, 1 = bad
    kept: int = 0  #: how many bits of them
    breaker: Breaker = field(default_factory=Breaker)
    credit: float = 0.0  #: of the weighted round robin
    unused: int = 0  #: decisions for this mailbox provider that passed it over
    poor: bool = False  #: clearly worse than the ESP is elsewhere, and said so


def posterior(cell: Cell, esp_mean: float, now: float) -> tuple[float, float]:
    """The Beta distribution (good, bad) of delivery here; `esp_mean` is the ESP's own rate."""
    belief = cell.track.faded(now, CELL_CAP)
    return belief.good + SHRINKAGE * esp_mean, belief.bad + SHRINKAGE * (1.0 - esp_mean)


def esp_mean(track: Track, now: float) -> float:
    """The ESP's rate of delivery over all mailbox providers."""
    return 1.0 - beliefs.bad_rate(track.faded(now, ESP_CAP), ESP_PRIOR)


UNKNOWN = esp_mean(Track(), 0.0)  #: of an ESP of which nothing was ever heard


def after(
    cell: Cell, good: int, bad: int, now: float, *, mean: float, seed: bytes, words: str = ""
) -> Cell:
    """With a batch's outcomes: `good` delivered, `bad` blocked. `mean` is `esp_mean`, `words` what
    the mailbox provider said to the last block."""
    test = _test(cell, mean, now)
    recent, kept = _remembered(cell, good, bad)
    track = cell.track.after(good, bad, now, CELL_CAP)
    level = level_after(cell.level, test, bad, good)
    breaker = breakers.at(cell.breaker, breakers.CELL, now)
    if level < test.threshold:
        return Cell(track, level, recent, kept, breaker, cell.credit, cell.unused, cell.poor)
    failed = recent.bit_count()
    track = replace(track, belief=Belief(kept - failed, failed, track.belief.at))
    if failed > RUINED * kept and breaker.state != breakers.OPEN:
        cause = f"{failed} of the last {kept} messages were blocked" + (words and f": {words}")
        pause = TS04_SECONDS if "TS04" in words else 0.0
        breaker = breakers.tripped(breaker, breakers.CELL, now, seed, cause, at_least=pause)
    return replace(cell, track=track, level=0.0, recent=recent, kept=kept, breaker=breaker)


def told(cell: Cell, mean: float, now: float) -> tuple[Cell, str]:
    """The cell, and words for an operator when it became clearly worse than the ESP is elsewhere
    (`mean`), or as good again. Draws turn mail away long before its breaker has reason to open."""
    good, bad = posterior(cell, mean, now)
    here = good / (good + bad)
    if not cell.poor and here < mean - POOR:
        words = f"delivers about {here:.0%} there, it gets less of that mail"
        return replace(cell, poor=True), words
    if cell.poor and here > mean - FAIR:
        return replace(cell, poor=False), f"delivers about {here:.0%} there again"
    return cell, ""


def elsewhere(cells: Mapping[str, Cell], now: float) -> Belief:
    """An ESP's deliveries and blocks without those at the mailbox provider that blocks most of its
    mail: what one of them thinks of it is its cell's matter, not that of all its mail. `OTHER` are
    many."""
    known = {provider: cell.track.faded(now, CELL_CAP) for provider, cell in cells.items()}
    named = known.keys() - {OTHER}
    if named:
        del known[max(named, key=lambda provider: known[provider].bad)]
    good, bad = (sum(getattr(one, side) for one in known.values()) for side in ("good", "bad"))
    return Belief(good, bad, now)


def _test(cell: Cell, mean: float, now: float) -> Test:
    """Looks for a clear rise over what is usual in this cell, whatever that is."""
    good, bad = posterior(cell, mean, now)
    usual = min(_USUAL[1], max(_USUAL[0], bad / (good + bad)))
    return Test(usual, min(_WORST, usual + max(0.06, 2 * usual)), THRESHOLD)


def _remembered(cell: Cell, good: int, bad: int) -> tuple[int, int]:
    """The last outcomes with a batch added, its bad ones spread evenly."""
    count = good + bad
    recent, pushed = cell.recent, 0
    for i in range(max(0, count - RECENT), count):
        is_bad = (i + 1) * bad // count - i * bad // count
        recent, pushed = recent << 1 | is_bad, pushed + 1
    kept = min(RECENT, cell.kept + pushed)
    return recent & ((1 << kept) - 1), kept
