"""What the outcomes of a batch mean for the ledger, the quota and the campaign. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from database.models import Lane, SendStatus
from services.esp import (
    Accepted,
    EspError,
    InDoubt,
    NotTried,
    Outcome,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    errors_among,
    printable,
)
from services.learning import counts_as_failure

#: Where a send can end that was not accepted.
STOPS = (SendStatus.QUEUED, SendStatus.FAILED, SendStatus.IN_DOUBT)
#: Counters of `esp_performance` per outcome.
_COUNTED: dict[type, str] = {Accepted: "accepted", Rejected: "failed", InDoubt: "in_doubt"}


@dataclass(slots=True)
class Settled:
    """A batch's outcomes, sorted by what happens to their sends."""

    accepted: list[tuple[int, str | None]] = field(default_factory=list)
    not_tried: list[int] = field(default_factory=list)
    stopped: dict[SendStatus, list[tuple[int, str]]] = field(
        default_factory=lambda: {status: [] for status in STOPS}
    )

    @property
    def unused(self) -> int:
        """Messages that certainly took nothing of the ESP's quota: given back."""
        back, failed = self.stopped[SendStatus.QUEUED], self.stopped[SendStatus.FAILED]
        return len(self.not_tried) + len(back) + len(failed)


def settle(ids: Sequence[int], outcomes: Sequence[Outcome], lane: Lane = Lane.CAMPAIGN) -> Settled:
    """Sort the outcomes of the sends `ids`, which are in the same order."""
    settled = Settled()
    first = outcomes[0] if outcomes else None
    if isinstance(first, Accepted) and outcomes.count(first) == len(ids):  # one for all
        message_id = _clean(first.message_id)
        settled.accepted = [(id_, message_id) for id_ in ids]
        return settled
    for id_, outcome in zip(ids, outcomes, strict=True):
        if isinstance(outcome, Accepted):
            settled.accepted.append((id_, _clean(outcome.message_id)))
        elif isinstance(outcome, NotTried):
            settled.not_tried.append(id_)
        else:
            words = f"{type(outcome).__name__.lower()}: {outcome}"
            settled.stopped[target_of(outcome, lane)].append((id_, words))
    return settled


def _clean(message_id: str | None) -> str | None:
    return message_id and printable(message_id)


def target_of(error: EspError, lane: Lane = Lane.CAMPAIGN) -> SendStatus:
    """Contract §3: only Rejected is final, only InDoubt is kept; all else may go elsewhere. A
    single mail that is refused has no campaign that could pause and be mended: it ends, too."""
    final = (Rejected, Refused) if lane is Lane.TRANSACTIONAL else (Rejected,)
    if isinstance(error, final):
        return SendStatus.FAILED
    return SendStatus.IN_DOUBT if isinstance(error, InDoubt) else SendStatus.QUEUED


def counts(report: Report) -> Counter[str]:
    """What the report adds to the ESP's counters of the day."""
    errors = [call.error for call in report.calls]
    result = Counter(
        requests_ok=sum(error is None for error in errors),
        requests_failed=sum(counts_as_failure(error) for error in errors),
        throttled=sum(isinstance(error, Throttled) for error in errors),
    )
    for kind, count in report.kinds.items():
        if kind in _COUNTED:
            result[_COUNTED[kind]] = count
    return result


def reason_to_pause(esp: str, outcomes: Sequence[Outcome], *, on_suspension: bool) -> str | None:
    """Why the campaign must stop until a person decides; None = it goes on. A refused message or a
    suspended account is no outage, so nothing of it may quietly move on (contract promise 7).
    Never asked for single mails: a refused one ends, a suspension is another ESP's turn."""
    for error in errors_among(outcomes):
        if isinstance(error, Refused):
            return f"{esp} refused the message: {error}"
        if isinstance(error, Suspended) and on_suspension:
            return f"{esp} suspended the account: {error}"
    return None
