"""What an author wants to send, who sends by the settings, and how both are kept in a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from outbound import custom_headers
from outbound.idempotency import fingerprint
from utils.errors import FieldError

#: Fields that an author may leave open, and how: the settings, or the subject, decide them at the
#: launch. The first way is the one that is given back.
_OPEN: Mapping[str, tuple[str | None, ...]] = {
    "name": ("",), "from_email": (None, ""), "from_name": (None,), "reply_to": (None, ""),
}  # fmt: skip
#: Names of many campaigns stand below each other.
_LONGEST_NAME = 200
_WRITTEN = (*_OPEN, "subject", "html", "text", "scheduled_at")


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
    scheduled_at: float | None = None  #: Unix seconds; None = as soon as it is sent

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same."""
        return fingerprint({name: getattr(self, name) for name in self.__slots__})

    @property
    def has_content(self) -> bool:
        """Whether there is anything to read."""
        return any((content or "").strip() for content in (self.html, self.text))

    @property
    def shown_name(self) -> str:
        """What lists call it."""
        return self.name or self.subject[:_LONGEST_NAME]

    @property
    def extras(self) -> dict[str, Any]:
        """Options that most campaigns and mails do not have."""
        headers = custom_headers.written(self.headers)
        found = {"esp": self.esp, "preheader": self.preheader, "headers": headers}
        return {name: value for name, value in found.items() if value}

    @property
    def options(self) -> dict[str, Any]:
        """What of it has no column of its own."""
        return {
            "track_opens": self.track_opens, "track_clicks": self.track_clicks,
            "allow_missing": self.allow_missing, **self.extras,
        }  # fmt: skip


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

    def warnings(self, draft: Draft) -> list[str]:
        """A campaign that nothing is heard of leaves as well, but nobody learns from it."""
        return [words for name, words in self.unheard.items() if draft.esp in (None, name)]


def columns(draft: Draft, identity: Identity) -> dict[str, Any]:
    """A draft as it is kept until its launch: with the sender of today, and what was left open."""
    signed = identity.signing(draft)
    left_open = [name for name, ways in _OPEN.items() if getattr(draft, name) in ways]
    return {
        "name": draft.shown_name, "subject": draft.subject, "html": draft.html, "text": draft.text,
        "from_email": signed.from_email, "from_name": signed.from_name,
        "reply_to": signed.reply_to, "segment": draft.segment, "topic": None,
        "options": draft.options | {"open": left_open}, "scheduled_at": draft.scheduled_at,
    }  # fmt: skip


def draft_of(row: Mapping[Any, Any]) -> Draft:
    """What the author of a campaign wrote. One that was launched has nothing open."""
    options = row["options"]
    written = {name: row[name] for name in _WRITTEN}
    written |= {name: _OPEN[name][0] for name in options.get("open", ())}
    chosen = {f.name: options[f.name] for f in fields(Draft) if f.name in options}
    # A launch has turned the tag that it was for into a rule and a topic.
    return Draft(**written, **chosen, segment=row["topic"] or row["segment"])
