"""A campaign sent to a few addresses before it leaves: single mails on the transactional lane.

Each is a hidden campaign of its own. It says what it would say to one subscriber, whom it names by
number: nothing of that person is copied. No link of it is tracked, and none acts for anybody.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from database import campaigns, transactional
from database.audience import Reader
from database.engine import Database
from database.models import CampaignKind, CampaignStatus, Phase
from database.suppression import UNREACHABLE
from mail.people import Person, RenderError
from outbound import readers
from outbound.checks import Examined, Examiner, checked, lacking_problems
from outbound.composer import Composer
from outbound.draft import Draft
from outbound.idempotency import Request, fingerprint, first_answer, free, once
from outbound.transactional import why_not
from utils.addresses import Address, BadAddress, parse
from utils.errors import FieldError, Invalid
from utils.signing import SendRef, new_nonce

#: Stands before the subject.
MARK = "[Test] "


@dataclass(frozen=True, slots=True)
class Trial:
    """What a request asks to send."""

    draft: Draft
    to: tuple[str, ...]
    reader: str | None = None  #: address of the subscriber as whom it is read

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same."""
        asked = {"test": self.draft.fingerprint(), "to": list(self.to), "as": self.reader}
        return fingerprint(asked)


@dataclass(frozen=True, slots=True)
class Tried:
    """The answer, the same for a repeated request."""

    sends: list[dict[str, str]]  #: to, send_id
    reader: str  #: as whom it was read
    warnings: list[str]
    repeated: bool = False


class Tester:
    """Sends tests."""

    def __init__(
        self, database: Database, composer: Composer, examiner: Examiner,
        alias: Callable[[str], str], *, wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`alias` gives the name under which an erased address is kept; `wake` tells the lane that
        something is due, and may be lost."""
        self._db = database
        self._composer = composer
        self._examiner = examiner
        self._alias = alias
        self._wake = wake
        self._clock = clock

    def send(self, trial: Trial, *, idempotency_key: str | None = None) -> Tried:
        """Check and store, all of them or none. Raises Invalid or Conflict."""
        request = Request.of(idempotency_key, trial.fingerprint)
        if known := self._answer_to(request):
            return known
        to, problems = _addresses(trial.to)
        found = self._examiner.compile(trial.draft)
        if problems or found.problems:
            raise Invalid([*problems, *found.problems])
        reader = self._reader(found, trial.reader)
        self._check_rendering(found, reader)
        tried = once(
            lambda: self._db.transact(lambda c: self._store(c, found, reader, to, request)),
            lambda: self._answer_to(request),
        )
        if not tried.repeated:
            self._wake()
        return tried

    def _answer_to(self, request: Request) -> Tried | None:
        known = first_answer(self._db, request, self._clock())
        return Tried(**known, repeated=True) if known else None

    def _reader(self, found: Examined, email: str | None) -> Reader:
        with self._db.read() as connection:
            if email is None:
                return readers.somebody(connection, self._examiner, found, "as")
            reader = readers.known(connection, email, "as")
        if reader is None:
            raise Invalid.of("as", "is no subscriber")
        return reader

    def _check_rendering(self, found: Examined, reader: Reader) -> None:
        """The message is made once now, so that what is wrong with it is told and not found."""
        compiled = checked(self._composer, self._row(found, "", reader))
        missing = compiled.missing(Person(reader.email, reader.name, reader.attributes))
        words = {name: f"{reader.email} has no `{name}` (or give it a default)" for name in missing}
        if words:
            raise Invalid(lacking_problems(compiled, words))
        try:
            compiled.render((0, reader.email, reader.name, reader.email, dict(reader.attributes)))
        except RenderError as error:
            raise Invalid.of("as", f"cannot be rendered for this person: {error.reason}") from error

    def _store(
        self, connection: sa.Connection, found: Examined, reader: Reader, to: Sequence[Address],
        request: Request,
    ) -> Tried:  # fmt: skip
        free(connection, request.key, self._clock())
        people = [self._addressee(connection, address) for address in to]
        refused = [
            FieldError(f"to.{number}", why_not(person))
            for number, person in enumerate(people)
            if person is not None and person.status in UNREACHABLE
        ]
        if refused:
            raise Invalid(refused)
        numbers = [None if person is None else person.id for person in people]
        return self._insert(connection, found, reader, list(zip(to, numbers, strict=True)), request)

    def _addressee(
        self, connection: sa.Connection, address: Address
    ) -> transactional.Recipient | None:
        names = (address.canonical, self._alias(address.canonical))
        return transactional.recipient(connection, names)

    def _insert(
        self, connection: sa.Connection, found: Examined, reader: Reader,
        to: Sequence[tuple[Address, int | None]], request: Request,
    ) -> Tried:  # fmt: skip
        """The first one remembers the request."""
        sends: list[dict[str, str]] = []
        keys: Mapping[str, Any] = request.columns()
        first = 0
        for address, number in to:
            row = {**self._row(found, address.email, reader), **keys}
            del row["id"]
            keys = {}
            campaign, send = transactional.insert(connection, row, address.canonical, number)
            first = first or campaign
            sends.append({"to": address.email, "send_id": str(SendRef(row["nonce"], send))})
        answer = {"sends": sends, "reader": reader.email, "warnings": found.warnings}
        if request.key:
            campaigns.set_idempotency_answer(connection, first, answer)
        return Tried(sends, reader.email, found.warnings)

    def _row(self, found: Examined, to: str, reader: Reader) -> dict[str, Any]:
        """The columns of a test's campaign."""
        now, row = self._clock(), found.row
        kept = {name: row["options"][name] for name in ("allow_missing", "esp")
                if name in row["options"]}  # fmt: skip
        return row | {
            "kind": CampaignKind.TEST, "status": CampaignStatus.SENDING, "phase": Phase.DRAINING,
            "name": f"{MARK}{row['name']}", "subject": f"{MARK}{row['subject']}", "links": [],
            "nonce": new_nonce(), "segment": None, "created_at": now, "launched_at": now,
            "options": {"track_opens": False, "track_clicks": False, "to": to,
                        "reader": reader.id, **kept},
        }  # fmt: skip


def _addresses(to: Sequence[str]) -> tuple[list[Address], list[FieldError]]:
    found: dict[str, Address] = {}
    problems = []
    for number, text in enumerate(to):
        try:
            address = parse(text)
        except BadAddress as error:
            problems.append(FieldError(f"to.{number}", str(error)))
            continue
        if address.canonical in found:
            problems.append(FieldError(f"to.{number}", "is named twice"))
        found[address.canonical] = address
    return list(found.values()), problems
