"""OUT, one mail at a time: check a transactional mail, store it for its lane, answer with its id.

It needs no footer, no consent and no campaign; whoever bounced, complained or was erased gets none.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from database import campaigns, transactional
from database.engine import Database
from database.models import CampaignKind, CampaignStatus, Phase
from database.suppression import UNREACHABLE
from database.transactional import Recipient
from mail.compiled import Compiled
from mail.people import Person, RenderError
from outbound import attachments
from outbound.checks import checked, header_problems, lacking_problems, sender_problems
from outbound.composer import Composer
from outbound.draft import Draft, Identity
from outbound.idempotency import Request, fingerprint, first_answer, free, once
from utils.addresses import Address, BadAddress, parse
from utils.attributes import BadValue
from utils.attributes import attributes as checked_attributes
from utils.errors import Conflict, FieldError, Invalid
from utils.signing import SendRef, new_nonce


@dataclass(frozen=True, slots=True)
class Mail:
    """What a request asks to send."""

    to: str
    subject: str
    html: str | None = None
    text: str | None = None
    from_email: str | None = None
    from_name: str | None = None
    reply_to: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: given back as it is
    tags: tuple[str, ...] = ()  #: the first is its name in an ESP's statistics
    attachments: tuple[Mapping[str, str], ...] = ()  #: filename, content_type, content (base64)
    expires_at: float | None = None  #: Unix seconds; not sent from then on
    on_doubt: str = "hold"  #: or `resend`: better twice than never
    esp: str | None = None
    preheader: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same."""
        return fingerprint({name: getattr(self, name) for name in self.__slots__})

    def draft(self) -> Draft:
        """What it has in common with a campaign."""
        return Draft(
            self.subject, self.html, self.text, from_email=self.from_email,
            from_name=self.from_name, reply_to=self.reply_to, esp=self.esp,
            preheader=self.preheader, headers=self.headers,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer, the same for a repeated request."""

    send_id: str
    repeated: bool = False


class Mailer:
    """Takes transactional mail."""

    def __init__(
        self, database: Database, composer: Composer, identity: Identity,
        alias: Callable[[str], str], *, wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`alias` gives the name under which an erased address is kept; `wake` tells the lane that
        something is due, and may be lost."""
        self._db = database
        self._composer = composer
        self._identity = identity
        self._alias = alias
        self._wake = wake
        self._clock = clock

    def post(self, mail: Mail, *, idempotency_key: str | None = None) -> Posted:
        """Check and store. Raises Invalid or Conflict, and then nothing is stored."""
        request = Request.of(idempotency_key, mail.fingerprint)
        if known := self._answer_to(request):
            return known
        address, row = self._prepared(mail)
        row |= request.columns()
        posted = once(
            lambda: self._db.transact(lambda c: self._store(c, row, address.canonical)),
            lambda: self._answer_to(request),
        )
        if not posted.repeated:
            self._wake()
        return posted

    def _answer_to(self, request: Request) -> Posted | None:
        known = first_answer(self._db, request, self._clock())
        return Posted(**known, repeated=True) if known else None

    def _store(self, connection: sa.Connection, row: Mapping[str, Any], address: str) -> Posted:
        key = row["idempotency_key"]
        free(connection, key, row["created_at"])
        person = transactional.recipient(connection, (address, self._alias(address)))
        if person is not None and person.status in UNREACHABLE:
            raise Conflict(why_not(person))
        number = None if person is None else person.id
        campaign_id, send_id = transactional.insert(connection, row, address, number)
        posted = Posted(str(SendRef(row["nonce"], send_id)))
        if key:
            answer = {"send_id": posted.send_id}
            campaigns.set_idempotency_answer(connection, campaign_id, answer)
        return posted

    # --- checks ------------------------------------------------------------------------------

    def _prepared(self, mail: Mail) -> tuple[Address, dict[str, Any]]:
        """Everything that takes time, without a write lock; Invalid with every wrong field."""
        now = self._clock()
        draft = self._identity.signing(mail.draft())
        problems = [*header_problems(draft), *self._sender_problems(draft), *_own(mail, now)]
        address = _address(mail.to, problems)
        if problems or address is None:
            raise Invalid(problems)
        row = self._row(mail, draft, address, now)
        compiled = checked(self._composer, row | {"id": 0})
        _check_rendering(compiled, address.email, mail.variables)
        return address, row | {"links": list(compiled.links)}

    def _sender_problems(self, draft: Draft) -> list[FieldError]:
        if not draft.from_email:
            return [FieldError("from_email", "is needed as long as MAIL_FROM is not set")]
        return sender_problems(self._identity, draft)

    def _row(self, mail: Mail, draft: Draft, to: Address, now: float) -> dict[str, Any]:
        """The columns of its campaign. Nothing is tracked: it is one person's own matter."""
        options = {
            "to": to.email, "variables": dict(mail.variables), "metadata": dict(mail.metadata),
            "tags": list(mail.tags), "expires_at": mail.expires_at, "on_doubt": mail.on_doubt,
            **draft.extras,
        }  # fmt: skip
        return {
            "kind": CampaignKind.TRANSACTIONAL, "name": draft.subject[:200], "topic": None,
            "status": CampaignStatus.SENDING, "phase": Phase.DRAINING,
            "mode": self._identity.mode, "nonce": new_nonce(), "subject": draft.subject,
            "html": draft.html, "text": draft.text, "from_email": draft.from_email,
            "from_name": draft.from_name, "reply_to": draft.reply_to,
            "options": {"track_opens": False, "track_clicks": False}
            | {name: value for name, value in options.items() if value},
            "attachments": [dict(file) for file in mail.attachments] or None,
            "created_at": now, "launched_at": now,
        }  # fmt: skip


_WHY_NOT = {
    "bounced": "mail to this address bounced for good",
    "complained": "this person reported our mail as spam",
    "erased": "this person asked to be forgotten",
}


def why_not(person: Recipient) -> str:
    """Why somebody gets no mail of any kind."""
    words = _WHY_NOT[person.status]
    return f"{words}: {person.status_reason}" if person.status_reason else words


def _address(to: str, problems: list[FieldError]) -> Address | None:
    try:
        return parse(to)
    except BadAddress as error:
        problems.append(FieldError("to", str(error)))
        return None


def _own(mail: Mail, now: float) -> list[FieldError]:
    """What a campaign does not have."""
    found = attachments.problems(mail.attachments)
    for name, values in (("variables", mail.variables), ("metadata", mail.metadata)):
        try:
            checked_attributes(dict(values))
        except BadValue as error:
            found.append(FieldError(name, str(error)))
    if mail.expires_at is not None and mail.expires_at <= now:
        found.append(FieldError("expires_at", "is over already"))
    return found


def _check_rendering(compiled: Compiled, to: str, variables: Mapping[str, Any]) -> None:
    """The message is made once now, so that whatever is wrong with it is told and not found."""
    missing = compiled.missing(Person(to, "", dict(variables)))
    words = {name: f"`{name}` is not in variables (or give it a default)" for name in missing}
    if words:
        raise Invalid(lacking_problems(compiled, words))
    try:
        message = compiled.render((0, to, "", to, dict(variables)))
    except RenderError as error:
        raise Invalid.of("variables", error.reason) from error
    problems = attachments.too_large(compiled.content, message)
    if problems:
        raise Invalid(problems)
