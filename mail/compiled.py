"""A compiled campaign: what it needs to know of a person, and the message, page and preview that
one person gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from mail.budget import Clock
from mail.links import fill_link, is_template
from mail.liquid import Problem, parse, render_whole
from mail.message import Content, Message
from mail.people import (
    OWN_URLS,
    Person,
    Recipient,
    RenderError,
    look_up,
    one_line,
    sendable,
    values_of,
)
from mail.renderer import Render, Row, Urls, make_renderer
from mail.slots import Slots, engine_fault
from mail.variables import Use


class Parts(NamedTuple):
    """The Liquid sources of a message."""

    subject: str
    html: str | None
    text: str | None


class Preview(NamedTuple):
    """A message as this person would see it, with nothing personal to click."""

    subject: str
    html: str | None
    text: str | None
    missing: tuple[str, ...]  #: variables that would stop this person's message


@dataclass(frozen=True, eq=False)
class Compiled:
    """Made by `compile_campaign`."""

    content: Content
    links: tuple[str, ...]  #: click targets by number; `fill_link` completes them
    variables: tuple[Use, ...]  #: every use, in document order
    warnings: tuple[Problem, ...]
    allow_missing: bool
    slots: Slots
    urls: Urls
    mailto: str | None
    known: dict[str, object]  #: `campaign.…`
    view: Parts  #: the sources as anybody may see them
    view_links: tuple[str, ...]  #: targets of the links in `view`

    def required_variables(self) -> tuple[str, ...]:
        """Names (dotted) that everybody in the audience must have. `name` is the person's column,
        `first_name` the attribute or else the name's first word, the others are attributes."""
        if self.allow_missing:
            return ()
        return tuple(dict.fromkeys(use.name for use in self.variables if use.required))

    def missing(self, person: Person) -> tuple[str, ...]:
        """Required variables that this person lacks."""
        values = values_of(person.name, person.email, person.attributes)
        return tuple(
            name for name in self.required_variables()
            if look_up(values, tuple(name.split("."))) is None
        )  # fmt: skip

    def render(self, recipient: Recipient | Row) -> Message:
        """This person's message. Raises RenderError."""
        [result] = self._render([recipient])
        if isinstance(result, RenderError):
            raise result
        return result

    def render_many(self, rows: Iterable[Recipient | Row]) -> list[Message | RenderError]:
        """One result for each row, in order: one person's fault stops nobody else."""
        return self._render(list(rows))

    @cached_property
    def _render(self) -> Render:
        return make_renderer(
            self.content, self.slots, self.urls, required=self.required_variables(),
            mailto=self.mailto, campaign=self.known,
        )  # fmt: skip


def render_view(compiled: Compiled, person: Person) -> str:
    """The page behind "view in browser": no pixel, no tracked and no personal links, so that it
    may be passed on. Raises RenderError."""
    return _whole(compiled.view.html or "", "html", _view_values(compiled, person))


def preview(compiled: Compiled, person: Person) -> Preview:
    """All parts for this person. What is missing is empty and named. Raises RenderError."""
    values, clock = _view_values(compiled, person), Clock()
    subject, html, text = (
        _whole(source, part, values, clock) if source is not None else None
        for part, source in zip(Parts._fields, compiled.view, strict=True)
    )
    return Preview(one_line(subject or ""), html, text, compiled.missing(person))


def _view_values(compiled: Compiled, person: Person) -> dict[str, Any]:
    """A person's variables with our own links made harmless."""
    values = values_of(person.name, person.email, person.attributes)
    values |= {"campaign": compiled.known} | dict.fromkeys(OWN_URLS, "#")
    for number, target in enumerate(compiled.view_links):
        if is_template(target):
            values[f"_link_{number}"] = fill_link(target, person)
    return values


def _whole(source: str, part: str, values: dict[str, Any], clock: Clock | None = None) -> str:
    template, _ = parse(source, part)
    try:
        return sendable(render_whole(template, values, clock))
    except Exception as error:
        raise engine_fault(error) from error
