"""What keeps a campaign or a single mail from being sent: every reason, not only the first."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from database import audience, building
from database.engine import Database
from database.models import CampaignKind
from database.segment_sql import Condition
from database.segments import SavedSegments, SegmentError, parse
from mail.compiled import Compiled
from mail.liquid import TemplateError
from outbound import custom_headers
from outbound.composer import Composer
from outbound.draft import Draft, Identity
from utils import addresses
from utils.errors import FieldError, Invalid
from utils.signing import new_nonce
from utils.times import rfc3339

#: Longest accepted header texts; RFC 5322 §2.1.1 bounds a line at 998 characters.
MAX_HEADER = 900
#: A time so little ago means now: the author's clock may differ, and a request takes its time.
PAST_TOLERANCE_SECONDS = 60.0
#: Later than this is a slip of the pen (a wrong year).
FURTHEST_SECONDS = 366 * 86400.0
_ADVICE = "(give it a default, or send with allow_missing)"


@dataclass(frozen=True, slots=True)
class Examined:
    """A campaign as it would be launched now."""

    row: dict[str, Any]  #: the columns of its content, sender and audience
    compiled: Compiled | None  #: None: it cannot be compiled
    size: int  #: of its audience
    problems: list[FieldError]
    warnings: list[str]
    has_audience: bool = True  #: its segment can be asked for


class Examiner:
    """Looks at campaigns the way a launch does."""

    def __init__(
        self, database: Database, composer: Composer, identity: Identity, saved: SavedSegments,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._db = database
        self._composer = composer
        self._identity = identity
        self._saved = saved
        self._clock = clock

    @property
    def identity(self) -> Identity:
        """Who sends."""
        return self._identity

    def examine(self, draft: Draft, *, campaign_id: int = 0) -> Examined:
        """Everything that takes time, without a write lock."""
        found = self.compile(draft, campaign_id=campaign_id)
        if not found.has_audience:
            return found
        size, lacking = self._audience(found.row, found.compiled)
        return replace(found, size=size, problems=[*found.problems, *lacking])

    def compile(self, draft: Draft, *, campaign_id: int = 0) -> Examined:
        """The same without asking for its audience."""
        signed = self._identity.signing(draft)
        problems = [*header_problems(signed), *sender_problems(self._identity, signed)]
        rule, topic, wrong = self._segment(draft.segment)
        row = self._row(signed, rule, topic, campaign_id)
        compiled, mistakes = compiled_or_not(self._composer, row, signed)
        warnings = [str(warning) for warning in compiled.warnings] if compiled else []
        return Examined(
            row | {"links": list(compiled.links) if compiled else []}, compiled, 0,
            [*problems, *wrong, *mistakes], [*warnings, *self._identity.warnings(draft)],
            has_audience=not wrong,
        )  # fmt: skip

    def own_links(self, found: Examined, campaign_id: int) -> list[str]:
        """Where clicks lead in a campaign that had no number when it was examined; empty when that
        changes nothing."""
        if "campaign" not in (found.row["html"] or ""):
            return []
        return list(self._composer.compile(found.row | {"id": campaign_id}).links)

    def people(self, row: Mapping[str, Any]) -> Condition | None:
        """Whom an examined campaign means; None = everybody."""
        return building.people_of(row, self._clock(), sqlite=self._db.is_sqlite)

    def _row(self, signed: Draft, rule: Any, topic: str | None, campaign_id: int) -> dict[str, Any]:
        return {
            "id": campaign_id, "kind": CampaignKind.CAMPAIGN, "name": signed.shown_name,
            "mode": self._identity.mode, "nonce": new_nonce(), "subject": signed.subject,
            "html": signed.html, "text": signed.text, "from_email": signed.from_email,
            "from_name": signed.from_name, "reply_to": signed.reply_to, "segment": rule,
            "topic": topic, "options": signed.options,
        }  # fmt: skip

    def _segment(self, wanted: Any) -> tuple[Any, str | None, list[FieldError]]:
        """The rule as it is stored, and the topic (tag) whose opt-outs it must respect."""
        if wanted is None:
            return None, None, []
        try:
            rule = parse(wanted, self._saved)
        except SegmentError as error:
            return None, None, list(error.errors)
        topic = wanted if isinstance(wanted, str) and wanted not in self._saved.rules else None
        return rule, topic, []

    def _audience(
        self, row: Mapping[str, Any], compiled: Compiled | None
    ) -> tuple[int, list[FieldError]]:
        """How many it would reach; a variable that one of them lacks, without excuse, stops it."""
        people = self.people(row)
        names = compiled.required_variables() if compiled else ()
        with self._db.read() as connection:
            size = audience.count(connection, people)
            counts = audience.missing_counts(connection, people, list(names)) if size else {}
        if not size:
            words = "no active subscriber matches: nobody would get this"
            return 0, [FieldError("segment", words)]
        if compiled is None:
            return size, []
        words_of = {
            name: f"{count} recipients have no `{name}` {_ADVICE}"
            for name, (count, _examples) in counts.items()
        }
        return size, lacking_problems(compiled, words_of)


def compiled_or_not(
    composer: Composer, row: Mapping[str, Any], draft: Draft
) -> tuple[Compiled | None, list[FieldError]]:
    """The compiled content, or the line of each mistake. That there is no content is told by
    `header_problems`."""
    if not draft.has_content:
        return None, []
    try:
        return composer.compile(row), []
    except TemplateError as error:
        return None, _mistakes(error)


def checked(composer: Composer, row: Mapping[str, Any]) -> Compiled:
    """The compiled content, or Invalid with the line of each mistake."""
    try:
        return composer.compile(row)
    except TemplateError as error:
        raise Invalid(_mistakes(error)) from error


def _mistakes(error: TemplateError) -> list[FieldError]:
    return [FieldError(p.part, f"line {p.line}: {p.message}") for p in error.problems]


def lacking_problems(compiled: Compiled, words: Mapping[str, str]) -> list[FieldError]:
    """What is to be said of each variable, at the place of its first use."""
    first_use = {use.name: use for use in reversed(compiled.variables)}
    return [
        FieldError(first_use[name].part, f"line {first_use[name].line}: {said}")
        for name, said in words.items()
    ]


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
    if not draft.has_content:
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


def time_problems(at: float | None, now: float) -> list[FieldError]:
    """What is wrong with a time for which a campaign is to be scheduled."""
    if at is None or now - PAST_TOLERANCE_SECONDS <= at <= now + FURTHEST_SECONDS:
        return []
    if at < now:
        return [FieldError("scheduled_at", f"is over; it is {rfc3339(now)} now")]
    return [FieldError("scheduled_at", "is more than a year ahead")]
