"""A campaign as one person would get it, made by what makes the real one. Sends nothing.

Its links are complete and lead nowhere: their tokens name a send of a campaign that is not stored,
so there is nobody for whom they could act.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from database.audience import Reader
from database.engine import Database
from mail.compiled import Compiled
from mail.links import fill_link
from mail.message import Content, Message, fill
from mail.people import Person, RenderError
from outbound import readers
from outbound.checks import Examined, Examiner
from outbound.draft import Draft
from services.mime import Letters, mailbox
from utils.errors import FieldError, Invalid


@dataclass(frozen=True, slots=True)
class Preview:
    """What one person would get."""

    reader: Reader
    subject: str
    html: str | None
    text: str | None
    headers: Mapping[str, str]
    links: list[str]  #: where clicks lead, by number
    missing: list[str]  #: variables that this person lacks, without excuse
    warnings: list[str]
    problems: list[FieldError]  #: what a launch would refuse, but for the audience
    size: int | None  #: bytes of the whole message; None: it cannot be written


class Previewer:
    """Shows campaigns."""

    def __init__(self, database: Database, examiner: Examiner) -> None:
        self._db = database
        self._examiner = examiner

    def preview(
        self, draft: Draft, *, campaign_id: int = 0, email: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Preview:  # fmt: skip
        """Read it as a subscriber (`email`), with made-up `attributes`, both, or as the first of
        its audience. Raises Invalid for what cannot be rendered."""
        found = self._examiner.compile(draft, campaign_id=campaign_id)
        if found.compiled is None:
            raise Invalid(found.problems)
        reader = self._reader(found, email, attributes)
        person = Person(reader.email, reader.name, reader.attributes)
        compiled = found.compiled
        message = _message(compiled, reader)
        content = compiled.content
        letter, unwritable = _letter(content, message)
        return Preview(
            reader=reader,
            subject=fill(content.subject, message.slots),
            html=None if content.html is None else fill(content.html, message.slots),
            text=None if content.text is None else fill(content.text, message.slots),
            headers=_headers(content, message),
            links=[_target(link, person) for link in compiled.links],
            missing=list(replace(compiled, allow_missing=False).missing(person)),
            warnings=[*found.warnings, *unwritable],
            problems=found.problems,
            size=None if letter is None else len(letter),
        )

    def _reader(
        self, found: Examined, email: str | None, attributes: Mapping[str, Any] | None
    ) -> Reader:
        with self._db.read() as connection:
            if email is None and attributes is None:
                return readers.somebody(connection, self._examiner, found, "email")
            reader = readers.known(connection, email, "email") if email else None
        if attributes is not None:
            return readers.made_up(reader, email, attributes)
        if reader is None:
            raise Invalid.of("email", "is no subscriber; give attributes to read it as a stranger")
        return reader


def _message(compiled: Compiled, reader: Reader) -> Message:
    """What is missing prints nothing here; a send would fail by it."""
    forgiving = replace(compiled, allow_missing=True)
    row = (0, reader.email, reader.name, reader.email, dict(reader.attributes))
    try:
        return forgiving.render(row)
    except RenderError as error:
        raise Invalid.of("html", f"cannot be rendered for this person: {error.reason}") from error


def _headers(content: Content, message: Message) -> dict[str, str]:
    own = {"From": mailbox(content.from_name, content.from_email), "To": message.to}
    reply_to = {"Reply-To": content.reply_to} if content.reply_to else {}
    personal = zip(content.personal_headers, message.headers, strict=True)
    return own | reply_to | dict(content.headers) | dict(personal)


def _letter(content: Content, message: Message) -> tuple[bytes | None, list[str]]:
    """The message as it travels, as far as our own hand writes it; or why it cannot be written."""
    sender = ("From", mailbox(content.from_name, content.from_email))
    try:
        return Letters(content, [sender]).write(message), []
    except ValueError as error:
        return None, [str(error)]


def _target(link: str, person: Person) -> str:
    try:
        return fill_link(link, person)
    except RenderError as error:
        return error.reason
