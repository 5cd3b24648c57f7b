"""OUT, first half: check a campaign before anybody gets it, store it, and make its rows.

After `launch` has answered, content, sender and audience are fixed; `build` can be cut off anywhere
and run again.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from database import audience, building, campaigns
from database.engine import Database
from database.models import CampaignKind, CampaignStatus, Phase
from database.segment_sql import Condition
from database.segments import SavedSegments, SegmentError, parse
from mail.compiled import Compiled
from mail.liquid import TemplateError
from outbound import custom_headers
from outbound.composer import Composer
from outbound.idempotency import Request, fingerprint, first_answer, free, once
from utils import addresses
from utils.errors import FieldError, Invalid
from utils.signing import new_nonce

log = logging.getLogger(__name__)

#: Longest accepted header texts; RFC 5322 §2.1.1 bounds a line at 998 characters.
MAX_HEADER = 900


class NotReady(Exception):
    """Mail to real people would break a rule; every blocker is named."""

    def __init__(self, blockers: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{b.field}: {b.message}" for b in blockers))
        self.blockers = list(blockers)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a request asks to send."""

    subject: str
    html: str | None = None
    text: str | None = None
    name: str = ""
    from_email: str | None = None
    from_name: str | None = None
    reply_to: str | None = None
    segment: Any = None  #: rule tree, or the name of a saved segment or tag; None = everybody
    track_opens: bool = True
    track_clicks: bool = True
    allow_missing: bool = False
    esp: str | None = None
    preheader: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same."""
        return fingerprint({name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends, by the settings."""

    mode: str
    from_email: str
    from_name: str = ""
    reply_to: str | None = None
    from_domains: frozenset[str] = frozenset()
    esps: frozenset[str] = frozenset()
    blockers: tuple[FieldError, ...] = ()
    #: ESPs whose events cannot be believed, and what to do about it.
    unheard: Mapping[str, str] = field(default_factory=dict)

    def signing(self, draft: Draft) -> Draft:
        """The draft with our own sender where it names none."""
        return replace(
            draft,
            from_email=draft.from_email or self.from_email,
            from_name=self.from_name if draft.from_name is None else draft.from_name,
            reply_to=draft.reply_to or self.reply_to,
        )


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
        self, database: Database, composer: Composer, identity: Identity,
        saved: SavedSegments, *, wake: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`wake` tells the work engine that a campaign has something to do; it may be lost."""
        self._db = database
        self._composer = composer
        self._identity = identity
        self._saved = saved
        self._wake = wake
        self._clock = clock

    def launch(self, draft: Draft, *, idempotency_key: str | None = None) -> Launched:
        """Check, store, start. Raises Invalid, Conflict or NotReady, and then nothing is stored."""
        if self._identity.blockers:
            raise NotReady(self._identity.blockers)
        request = Request.of(idempotency_key, draft.fingerprint)
        if known := self._answer_to(request):
            return known
        row, size, warnings = self._prepared(draft, request)
        launched = once(
            lambda: self._db.transact(lambda c: self._store(c, row, size, warnings)),
            lambda: self._answer_to(request),
        )
        if not launched.repeated:
            self._wake(launched.campaign_id)
        return launched

    def _answer_to(self, request: Request) -> Launched | None:
        known = first_answer(self._db, request, self._clock())
        return Launched(**known, repeated=True) if known else None

    def _prepared(self, draft: Draft, request: Request) -> tuple[dict[str, Any], int, list[str]]:
        """Everything that takes time, without a write lock: row, size of the audience, warnings."""
        now = self._clock()
        row = self._row(draft, now)
        compiled = checked(self._composer, row)
        people = building.people_of(row, now, sqlite=self._db.is_sqlite)
        with self._db.read() as connection:
            size = audience.count(connection, people)
            if not size:
                raise Invalid.of("segment", "no active subscriber matches: nobody would get this")
            _refuse_missing(connection, compiled, people)
        row |= {"links": list(compiled.links), **request.columns()}
        return row, size, [*map(str, compiled.warnings), *self._unheard(draft)]

    def _unheard(self, draft: Draft) -> list[str]:
        """A campaign that nothing is heard of leaves as well, but nobody learns from it."""
        unheard = self._identity.unheard
        return [words for name, words in unheard.items() if draft.esp in (None, name)]

    def _store(
        self, connection: sa.Connection, row: Mapping[str, Any], size: int,
        warnings: list[str],
    ) -> Launched:  # fmt: skip
        free(connection, row["idempotency_key"], row["created_at"])
        last = campaigns.highest_subscriber_id(connection)
        values = {name: value for name, value in row.items() if name != "id"}
        campaign_id = campaigns.insert(connection, values | {"max_subscriber_id": last})
        launched = Launched(campaign_id, row["status"], size, warnings)
        answer = {name: getattr(launched, name) for name in _ANSWER}
        campaigns.set_idempotency_answer(connection, campaign_id, answer)
        return launched

    # --- checks ------------------------------------------------------------------------------

    def _row(self, draft: Draft, now: float) -> dict[str, Any]:
        """The columns of the new campaign, or Invalid with every field that is wrong."""
        identity = self._identity
        draft = identity.signing(draft)
        problems = [*header_problems(draft), *sender_problems(identity, draft)]
        rule, topic = self._segment(draft.segment, problems)
        if problems:
            raise Invalid(problems)
        return {
            "id": 0, "kind": CampaignKind.CAMPAIGN, "name": draft.name or draft.subject[:200],
            "status": CampaignStatus.SENDING, "phase": Phase.BUILDING, "mode": identity.mode,
            "nonce": new_nonce(), "subject": draft.subject, "html": draft.html, "text": draft.text,
            "from_email": draft.from_email, "from_name": draft.from_name,
            "reply_to": draft.reply_to, "segment": rule, "topic": topic,
            "options": {
                "track_opens": draft.track_opens, "track_clicks": draft.track_clicks,
                "allow_missing": draft.allow_missing, **optional(draft),
            },
            "created_at": now, "launched_at": now,
        }  # fmt: skip

    def _segment(self, wanted: Any, problems: list[FieldError]) -> tuple[Any, str | None]:
        """The rule as it is stored, and the topic (tag) whose opt-outs it must respect."""
        if wanted is None:
            return None, None
        try:
            rule = parse(wanted, self._saved)
        except SegmentError as error:
            problems += error.errors
            return None, None
        topic = wanted if isinstance(wanted, str) and wanted not in self._saved.rules else None
        return rule, topic

    # --- build -------------------------------------------------------------------------------

    def build(self, campaign_id: int, *, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Make the campaign's rows in slices; nothing is claimed before the last. Running it again,
        or twice at once, makes no row twice. Returns whether all are made."""
        while not stopping():
            if self._db.transact(lambda c: building.build_slice(c, campaign_id, self._clock())):
                return True
        return False


_ANSWER = ("campaign_id", "status", "audience", "warnings")


def _refuse_missing(
    connection: sa.Connection, compiled: Compiled, people: Condition | None
) -> None:
    """A variable that anybody in the audience lacks, without excuse, stops the launch."""
    names = compiled.required_variables()
    if not names:
        return
    lacking = audience.missing_counts(connection, people, list(names))
    advice = "(give it a default, or send with allow_missing)"
    refuse_lacking(
        compiled,
        {
            name: f"{count} recipients have no `{name}` {advice}"
            for name, (count, _examples) in lacking.items()
        },
    )


def refuse_lacking(compiled: Compiled, words: Mapping[str, str]) -> None:
    """Raise Invalid with what is to be said of each variable, at the place of its first use."""
    if words:
        first_use = {use.name: use for use in reversed(compiled.variables)}
        raise Invalid(
            [
                FieldError(first_use[name].part, f"line {first_use[name].line}: {said}")
                for name, said in words.items()
            ]
        )


def optional(draft: Draft) -> dict[str, Any]:
    """The options that most campaigns do not have."""
    headers = custom_headers.written(draft.headers)
    found = {"esp": draft.esp, "preheader": draft.preheader, "headers": headers}
    return {name: value for name, value in found.items() if value}


def checked(composer: Composer, row: Mapping[str, Any]) -> Compiled:
    """The compiled content, or Invalid with the line of each mistake."""
    try:
        return composer.compile(row)
    except TemplateError as error:
        raise Invalid(
            [FieldError(p.part, f"line {p.line}: {p.message}") for p in error.problems]
        ) from error


def header_problems(draft: Draft) -> list[FieldError]:
    """Contract §4: CR or LF in a campaign's header fields is refused, not mended."""
    problems = []
    for name in ("subject", "name", "from_name", "from_email", "reply_to", "preheader"):
        value = getattr(draft, name) or ""
        if any(char in value for char in "\r\n\0"):
            problems.append(FieldError(name, "must be one line: CR, LF and NUL are not allowed"))
        elif len(value) > MAX_HEADER:
            problems.append(FieldError(name, f"longer than {MAX_HEADER} characters"))
    if not draft.subject.strip():
        problems.append(FieldError("subject", "must not be empty"))
    if not any((content or "").strip() for content in (draft.html, draft.text)):
        problems.append(FieldError("html", "give html, text, or both"))
    return [*problems, *custom_headers.problems(draft.headers)]


def sender_problems(identity: Identity, draft: Draft) -> list[FieldError]:
    """From must be at a domain of ours, Reply-To an address, and the ESP one that we have."""
    problems = []
    try:
        sender = addresses.parse(draft.from_email or "")
    except addresses.BadAddress as error:
        problems.append(FieldError("from_email", str(error)))
    else:
        if sender.domain not in identity.from_domains:
            allowed = ", ".join(sorted(identity.from_domains)) or "none"
            problems.append(FieldError("from_email", f"not one of our domains ({allowed})"))
    if draft.reply_to:
        try:
            addresses.parse(draft.reply_to)
        except addresses.BadAddress as error:
            problems.append(FieldError("reply_to", str(error)))
    if draft.esp and draft.esp not in identity.esps:
        known = ", ".join(sorted(identity.esps))
        problems.append(FieldError("esp", f"not configured; configured are: {known}"))
    return problems
