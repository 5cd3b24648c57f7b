"""OUT, first half: check a campaign before anybody gets it, store it, and make its rows.

After `launch` has answered, content, sender and audience are fixed; `build` can be cut off anywhere
and run again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from database import building, campaigns
from database.engine import Database
from database.models import CampaignStatus as C
from database.models import Phase
from outbound.checks import Examined, Examiner, time_problems
from outbound.draft import Draft, NotReady, columns, draft_of
from outbound.idempotency import Request, fingerprint, first_answer, free, once
from utils.errors import Conflict, Invalid


@dataclass(frozen=True, slots=True)
class Launched:
    """The answer to a launch, the same for a repeated request."""

    campaign_id: int
    status: str
    audience: int
    warnings: list[str]
    repeated: bool = False


class Launcher:
    """Makes campaigns."""

    def __init__(
        self, database: Database, examiner: Examiner, *, wake: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`wake` tells the work engine that a campaign has something to do; it may be lost."""
        self._db = database
        self._examiner = examiner
        self._wake = wake
        self._clock = clock

    def launch(self, draft: Draft, *, idempotency_key: str | None = None) -> Launched:
        """Check, store, start; or keep it for its time. Raises Invalid, Conflict or NotReady, and
        then nothing is stored."""
        self._must_be_ready()
        request = Request.of(idempotency_key, draft.fingerprint)
        if known := self._answer_to(request):
            return known
        found = self._examined(draft)
        return self._begun(
            once(
                lambda: self._db.transact(lambda c: self._store(c, draft, found, request)),
                lambda: self._answer_to(request),
            )
        )

    def send(self, campaign_id: int, *, idempotency_key: str | None = None) -> Launched:
        """The same for a draft that is kept. Whoever comes second gets the first answer, when they
        are the same request, or Conflict."""
        self._must_be_ready()
        request = Request.of(idempotency_key, lambda: fingerprint({"send": campaign_id}))
        if known := self._answer_to(request):
            return known
        row = self._row(campaign_id)
        if known := _answer_in(row, request):
            return known
        _must_be_draft(row)
        found = self._examined(draft_of(row), campaign_id)
        launched = once(
            lambda: self._db.transact(lambda c: self._start(c, row, found, request)),
            lambda: self._answer_to(request),
        )
        return self._begun(launched) if launched else self._answer_to_the_second(row, request)

    def _answer_to_the_second(self, row: Mapping[Any, Any], request: Request) -> Launched:
        """Somebody has launched or edited the draft during the checks."""
        row = self._row(row["id"])
        if known := _answer_in(row, request):
            return known
        _must_be_draft(row)
        raise Conflict(f"campaign {row['id']} was changed meanwhile; nothing was sent")

    def _must_be_ready(self) -> None:
        if self._examiner.identity.blockers:
            raise NotReady(self._examiner.identity.blockers)

    def _examined(self, draft: Draft, campaign_id: int = 0) -> Examined:
        found = self._examiner.examine(draft, campaign_id=campaign_id)
        problems = [*found.problems, *time_problems(draft.scheduled_at, self._clock())]
        if problems:
            raise Invalid(problems)
        return found

    def _begun(self, launched: Launched) -> Launched:
        if not launched.repeated and launched.status == C.SENDING:
            self._wake(launched.campaign_id)
        return launched

    # --- answers -----------------------------------------------------------------------------

    def _answer_to(self, request: Request) -> Launched | None:
        known = first_answer(self._db, request, self._clock())
        return Launched(**known, repeated=True) if known else None

    def _row(self, campaign_id: int) -> sa.RowMapping:
        with self._db.read() as connection:
            return campaigns.shown(connection, campaign_id)

    # --- writes ------------------------------------------------------------------------------

    def _store(
        self, connection: sa.Connection, draft: Draft, found: Examined, request: Request
    ) -> Launched:
        """A new campaign, on its way or scheduled."""
        now = self._clock()
        free(connection, request.key, now)
        values = {name: value for name, value in found.row.items() if name != "id"}
        if draft.scheduled_at is None:
            values |= beginning(connection, now) | {"status": C.SENDING}
        else:
            values |= columns(draft, self._examiner.identity) | {"status": C.SCHEDULED}
        values |= request.columns() | {"created_at": now}
        campaign_id = campaigns.insert(connection, values)
        if links := self._examiner.own_links(found, campaign_id):
            campaigns.set_links(connection, campaign_id, links)
        return self._answered(connection, campaign_id, values["status"], found)

    def _start(
        self, connection: sa.Connection, row: Mapping[Any, Any], found: Examined, request: Request
    ) -> Launched | None:
        """A draft, as it was examined. None: it is another one by now, or none any more."""
        now = self._clock()
        keys: dict[str, Any] = {**request.columns()}
        free(connection, request.key, now)
        if row["scheduled_at"] is None:
            target = C.SENDING
            moved = begin(connection, row, found, now, source=C.DRAFT, **keys)
        else:
            target = C.SCHEDULED
            moved = campaigns.move(
                connection, row["id"], target, only_from=(C.DRAFT,), nonce=row["nonce"], **keys
            )
        return self._answered(connection, row["id"], target, found) if moved else None

    @staticmethod
    def _answered(
        connection: sa.Connection, campaign_id: int, status: str, found: Examined
    ) -> Launched:
        launched = Launched(campaign_id, status, found.size, found.warnings)
        answer = {name: getattr(launched, name) for name in _ANSWER}
        campaigns.set_idempotency_answer(connection, campaign_id, answer)
        return launched

    # --- build -------------------------------------------------------------------------------

    def build(self, campaign_id: int, *, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Make the campaign's rows in slices; nothing is claimed before the last. Running it again,
        or twice at once, makes no row twice. Returns whether all are made."""
        while not stopping():
            if self._db.transact(lambda c: building.build_slice(c, campaign_id, self._clock())):
                return True
        return False


def _answer_in(row: Mapping[Any, Any], request: Request) -> Launched | None:
    """What this request was answered, however long ago its campaign was made."""
    if request.key is None or not row["idempotency_answer"]:
        return None
    same = (row["idempotency_key"], row["idempotency_hash"]) == (request.key, request.body)
    return Launched(**row["idempotency_answer"], repeated=True) if same else None


def _must_be_draft(row: Mapping[Any, Any]) -> None:
    if row["status"] != C.DRAFT:
        raise Conflict(f"campaign {row['id']} is {row['status']}")


_ANSWER = ("campaign_id", "status", "audience", "warnings")
#: Decided at the launch, whatever was kept before.
_FIXED = (
    "name", "from_email", "from_name", "reply_to", "segment", "topic", "options", "links", "mode",
)  # fmt: skip


def beginning(connection: sa.Connection, now: float) -> dict[str, Any]:
    """What a campaign has from its launch on."""
    last = campaigns.highest_subscriber_id(connection)
    return {"phase": Phase.BUILDING, "launched_at": now, "max_subscriber_id": last}


def begin(
    connection: sa.Connection, row: Mapping[Any, Any], found: Examined, now: float, *,
    source: C, **values: Any,
) -> bool:  # fmt: skip
    """Launch a kept campaign as it was examined. False: it is another one by now, or is not in the
    state `source` any more."""
    fixed = {name: found.row[name] for name in _FIXED}
    return campaigns.move(
        connection, row["id"], C.SENDING, only_from=(source,), nonce=row["nonce"],
        **beginning(connection, now), **fixed, **values,
    )  # fmt: skip
