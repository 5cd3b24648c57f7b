"""A batch on its way to one ESP: sent request by request, each refusal traced to who caused it.

Knows no ESP: an adapter makes a request and judges its answer.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.esp import (
    Accepted,
    Batch,
    Call,
    EspError,
    InDoubt,
    Misconfigured,
    NotTried,
    Outcome,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    errors_among,
)
from services.parcels import Lost, Parcel
from services.wire import Answer, Exchange

logger = logging.getLogger(__name__)

#: Requests that one `send` may make beyond the ones it would need if nobody were refused. What is
#: not settled by then is not tried; a next batch starts with fewer suspects.
EXTRA_REQUESTS = 64
#: So many single messages in a row refused with the same words are not all guilty themselves.
SAME_WORDS = 8
#: Single messages, far apart, whose equal refusal condemns the message when nobody was accepted.
PROBES = 3
#: An ESP that takes longer to answer gets several requests at once.
FAR_SECONDS = 0.02
#: These concern the account, so that the next request could only fail too.
STOPPING = (Throttled, Misconfigured, Suspended, InDoubt)


class Suspect(EspError):
    """Certainly not accepted, but the words do not say whether message or recipient is to blame.
    Never leaves this module: others of the batch decide (`Delivery`)."""


class Blame(NamedTuple):
    """The request was refused whole and named who caused it; the others may go again."""

    guilty: Mapping[int, EspError]  #: by place in the request


class TooLarge(NamedTuple):
    """The request was refused for its size."""

    words: str
    code: str


#: What an answer says: one outcome for each message, or something about all of them.
Verdict = Sequence[Outcome] | Blame | TooLarge | EspError


Begin = Callable[[Parcel], Exchange]
Judge = Callable[[Answer, Parcel], Verdict]


class Delivery:
    """One batch on its way: what is settled, what is on the road, what comes next.

    Stops after an ambiguous answer and after an answer that concerns the account; goes on after one
    that concerns recipients. No request begins after the batch's deadline, or when the
    house is about to end.
    """

    def __init__(
        self, batch: Batch, work: Iterator[Parcel | Lost], begin: Begin, judge: Judge,
        *, at_once: int = 1,
    ) -> None:  # fmt: skip
        """`at_once`: requests that may be on the road together, once the ESP has shown to be so
        far away that waiting costs more than threads do."""
        self._outcomes: list[Outcome | None] = [None] * len(batch.messages)
        self._deadline = batch.deadline
        self._ending = batch.ending
        self._work = work
        self._begin = begin
        self._judge = judge
        self._at_once = 1
        self._most_at_once = 1 if batch.careful else at_once
        self._again: deque[Parcel] = deque()
        self._road: deque[tuple[Parcel, Exchange]] = deque()
        self._calls: list[Call] = []
        self._stop: EspError | None = None
        self._extra = 0
        self._accepted = False
        self._probed = False
        self._same: list[EspError] = []  # single messages refused in a row with the same words

    def run(self) -> Report:
        """Send all of it. Never raises."""
        try:
            self._launch()
            while self._road:
                self._settle(*self._road.popleft())
                self._launch()
        except Exception as bug:
            logger.exception("sending a batch failed inside the adapter")
            self._abandon_ship(bug)
        return Report(self._settled(), self._calls)

    def _launch(self) -> None:
        while self._stop is None and len(self._road) < self._at_once:
            if time.monotonic() > self._deadline:
                self._stop = NotTried("the batch's deadline is near")
            elif self._ending():
                self._stop = NotTried("the house is about to end")
            if self._stop is not None:
                return
            parcel = self._again.popleft() if self._again else next(self._work, None)
            if parcel is None:
                return
            if isinstance(parcel, Lost):
                self._outcomes[parcel.place] = parcel.error
                continue
            try:
                self._road.append((parcel, self._begin(parcel)))
            except EspError as error:  # no request was made, and none can be: the ESP is out
                self._calls.append(Call(len(parcel.places), error, 0.0))
                self._record(parcel, [error] * len(parcel.places))
                self._stop = error

    def _settle(self, parcel: Parcel, exchange: Exchange) -> None:
        answer = exchange.answer()
        verdict = answer if isinstance(answer, EspError) else self._judged(answer, parcel)
        error = _error_of_request(verdict)
        self._calls.append(Call(len(parcel.places), error, exchange.seconds))
        if exchange.seconds > FAR_SECONDS:
            self._at_once = self._most_at_once
        if isinstance(verdict, Blame):
            self._blame(parcel, verdict)
        elif isinstance(verdict, TooLarge):
            self._shrink(parcel, verdict)
        elif isinstance(verdict, Suspect):
            self._suspect(parcel, verdict)
        elif isinstance(verdict, EspError):
            self._record(parcel, [verdict] * len(parcel.places))
            self._stop = self._stop or (None if isinstance(verdict, Rejected) else verdict)
        else:
            errors = self._record(parcel, verdict)
            stopping = next((e for e in errors if isinstance(e, STOPPING)), None)
            self._stop = self._stop or error or stopping

    def _judged(self, answer: Answer, parcel: Parcel) -> Verdict:
        try:
            verdict = self._judge(answer, parcel)
        except Exception as odd:
            logger.exception("an ESP's answer with status %s cannot be read", answer.status)
            return InDoubt(f"unreadable answer: {type(odd).__name__}", code=str(answer.status))
        if isinstance(verdict, list) and len(verdict) < len(parcel.places):
            missing = InDoubt("the answer does not name this message", code=str(answer.status))
            return [*verdict, *[missing] * (len(parcel.places) - len(verdict))]
        return verdict

    def _record(self, parcel: Parcel, outcomes: Sequence[Outcome]) -> list[EspError]:
        """Note what became of a request's messages; returns those that were not accepted."""
        places = parcel.places
        if isinstance(places, range):
            self._outcomes[places.start : places.stop] = outcomes
        else:
            for place, outcome in zip(places, outcomes, strict=True):
                self._outcomes[place] = outcome
        errors = errors_among(outcomes)
        if len(errors) < len(outcomes):
            self._accepted = True
            self._same.clear()
        return errors

    def _blame(self, parcel: Parcel, blame: Blame) -> None:
        for k, error in blame.guilty.items():
            self._outcomes[parcel.places[k]] = error
        innocent = [k for k in range(len(parcel.places)) if k not in blame.guilty]
        if innocent:
            self._repeat(parcel.part(*innocent))

    def _shrink(self, parcel: Parcel, large: TooLarge) -> None:
        if len(parcel.places) == 1:
            self._record(parcel, [Refused(large.words, code=large.code)])
        else:
            self._repeat(*parcel.halves())

    def _suspect(self, parcel: Parcel, error: Suspect) -> None:
        """Find out whether all are refused: three messages alone, then what lies between them."""
        self._at_once = self._most_at_once = 1
        count = len(parcel.places)
        if count == 1:
            self._outcomes[parcel.places[0]] = error
            self._count_same(error)
        elif self._probed:
            self._repeat(*parcel.halves())
        else:
            self._probed = True
            middle = count // 2
            alone = [parcel.part(n) for n in sorted({0, middle, count - 1})]
            between = (parcel.span(1, middle), parcel.span(middle + 1, count - 1))
            self._repeat(*alone, *[part for part in between if part.places])

    def _count_same(self, error: Suspect) -> None:
        if self._same and self._same[-1].words != error.words:
            self._same.clear()
        self._same.append(error)
        if len(self._same) >= (SAME_WORDS if self._accepted else PROBES):
            self._stop = self._stop or Refused(error.words, code=error.code)

    def _repeat(self, *again: Parcel) -> None:
        """Requests that come next; beyond the limit they are left undone."""
        if self._extra + len(again) > EXTRA_REQUESTS:
            self._stop = self._stop or NotTried("too many requests to find whom the ESP refuses")
            return
        self._extra += len(again)
        self._again.extendleft(reversed(again))

    def _abandon_ship(self, bug: Exception) -> None:
        for parcel, exchange in self._road:
            exchange.answer()
            self._record(parcel, [InDoubt("the adapter failed")] * len(parcel.places))
        self._stop = Refused(f"the adapter failed: {type(bug).__name__}", code="adapter")

    def _settled(self) -> list[Outcome]:
        left = self._left()
        return [
            outcome if type(outcome) is Accepted else self._final(outcome or left)
            for outcome in self._outcomes
        ]

    def _left(self) -> EspError:
        """What becomes of a message for which no request ever ended."""
        stop = self._stop
        if isinstance(stop, NotTried) or stop is None:
            return stop or NotTried("no request was made")
        if isinstance(stop, Refused):
            return stop
        return NotTried(f"not tried after: {stop}", code=stop.code)

    def _final(self, outcome: Outcome) -> Outcome:
        """A suspect is guilty when others of the batch were accepted; else it is the message."""
        if not isinstance(outcome, Suspect):
            return outcome
        stop = self._stop
        message_is_guilty = not self._accepted or (
            isinstance(stop, Refused) and stop.words == outcome.words
        )
        kind = Refused if message_is_guilty else Rejected
        return kind(outcome.words, code=outcome.code)


def _error_of_request(verdict: Verdict) -> EspError | None:
    """What breakers and rates count against the ESP: not its objections to messages."""
    if isinstance(verdict, Blame | TooLarge | Suspect | Rejected):
        return None
    if isinstance(verdict, EspError):
        return verdict
    first = verdict[0] if verdict else None
    if isinstance(first, (*STOPPING, Unavailable)) and not any(
        isinstance(outcome, Accepted) for outcome in verdict
    ):
        return first
    return None
