"""How an event is judged and kept: which send it is about, who opened or clicked, and the row that
proves it. What follows from it is `feedback`'s matter."""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from database import events
from database.events import OWN, Key
from database.labels import label
from database.lifecycle import PROVEN, proof_of
from database.models import BounceKind, EventKind, Label
from database.models import SendStatus as S
from database.send_acts import SendRow
from services.esp import EspEvent
from services.events import NO_TIME

#: Longest text of an ESP kept as a reason.
_WORDS = 500
_ACTS = frozenset({EventKind.OPEN, EventKind.CLICK})
#: Kinds whose raw event is worth its room: rare, or not understood.
_RAW_KEPT = frozenset(
    {EventKind.UNKNOWN, EventKind.FAILED, EventKind.UNSUBSCRIBE, EventKind.RESUBSCRIBE}
)
#: Fields of an event kept beside its columns.
_DETAIL = ("url", "user_agent", "ip", "reason", "code", "machine")


class Met(NamedTuple):
    """An event and the send it is about."""

    event: EspEvent
    key: Key  #: what makes the event itself, as it is stored
    row: SendRow | None  #: None = no send of ours
    foreign: bool = False  #: the address it names is not the send's: no effect
    label: Label | None = None

    @property
    def send(self) -> SendRow | None:
        """The send that the event may have an effect on."""
        return None if self.foreign else self.row

    @property
    def proof(self) -> S:
        """The state of the send that the event proves."""
        final = self.event.final or self.event.bounce is BounceKind.HARD
        return proof_of(self.event.kind, final=final)

    @property
    def rank(self) -> int:
        """How far the proof lifts."""
        return PROVEN.index(self.proof)

    @property
    def words(self) -> str:
        """The ESP's own words, unless they may repeat an address that was to be forgotten."""
        if self.row is not None and self.row.address.startswith("erased:"):
            return ""
        told = " ".join(filter(None, (self.event.code, self.event.reason)))
        return events.stored_text(told[:_WORDS])

    @property
    def human(self) -> bool:
        """Whether a person opened or clicked."""
        return self.label is Label.HUMAN


def key_of(event: EspEvent) -> Key:
    """What makes an event itself."""
    return event.esp, events.stored_text(event.key)


def labelled(connection: sa.Connection, met: list[Met]) -> list[Met]:
    """Say who opened and clicked."""
    clicks = [one.row for one in met if one.row and one.event.kind is EventKind.CLICK]
    people = {row.subscriber_id for row in clicks if row.subscriber_id is not None}
    delivered = events.delivered_at(connection, people) if people else {}
    if clicks:
        for one in met:
            if one.row and one.event.kind is EventKind.DELIVERED:
                delivered.setdefault(one.row.id, one.event.at)
    return [
        one._replace(label=_label(one, delivered)) if one.event.kind in _ACTS else one
        for one in met
    ]


def _label(one: Met, delivered: dict[int, float]) -> Label:
    event = one.event
    at = delivered.get(one.row.id) if one.row else None
    since = None if at is None or event.at == NO_TIME else event.at - at
    return label(
        event.kind, machine=event.machine, user_agent=event.user_agent, since_delivery=since
    )


def keep(connection: sa.Connection, met: Iterable[Met], now: float) -> set[Key]:
    """Store every event in its table; returns the keys of those that are new."""
    entries, bounces, complaints = [], [], []
    for one in met:
        if one.event.kind is EventKind.BOUNCE:
            bounces.append(_bounce(one))
        elif one.event.kind is EventKind.COMPLAINT:
            complaints.append(_complaint(one))
        else:
            entries.append(_entry(one))
    return (
        events.keep(connection, entries, now)
        | events.keep_bounces(connection, bounces, now)
        | events.keep_complaints(connection, complaints, now)
    )


def _about(one: Met) -> tuple[int | None, int | None, int | None]:
    """Send, campaign and person of an event; none for one without effect."""
    row = one.send
    return (row.id, row.campaign_id, row.subscriber_id) if row else (None, None, None)


def _entry(one: Met) -> events.Entry:
    event, (esp, key) = one.event, one.key
    link = event.raw.get("link") if esp == OWN else None
    return events.Entry(
        events.stored_time(event.at), esp, key, event.kind, one.label, *_about(one), link,
        _detail(one),
    )  # fmt: skip


def _detail(one: Met) -> str | None:
    """What of the event is kept beside its columns: nothing for a plain delivery."""
    event, row = one.event, one.send
    if row is not None and row.address.startswith("erased:"):
        return None
    if row is not None and event.kind is EventKind.DELIVERED:
        return None
    detail: dict[str, object] = {
        name: value for name in _DETAIL if (value := getattr(event, name)) not in ("", None)
    }
    if row is None:
        detail |= {"send_id": event.send_id, "address": event.address}
    if event.raw and (row is None or event.kind in _RAW_KEPT):
        detail["raw"] = event.raw
    return events.stored_json(detail)


def _bounce(one: Met) -> events.Bounce:
    event, (esp, key) = one.event, one.key
    return events.Bounce(
        events.stored_time(event.at), esp, key, event.bounce or BounceKind.SOFT, *_about(one),
        _named(one), events.stored_text(event.code), one.words, _raw(one),
    )  # fmt: skip


def _complaint(one: Met) -> events.Complaint:
    event, (esp, key) = one.event, one.key
    return events.Complaint(
        events.stored_time(event.at), esp, key, events.stored_text(event.code), *_about(one),
        _named(one), _raw(one),
    )  # fmt: skip


def _named(one: Met) -> str:
    """The address that an evidence row shows: the send's own (an alias once it is erased)."""
    row = one.send
    return row.address if row else events.stored_text(one.event.address or "")


def _raw(one: Met) -> str | None:
    erased = one.row is not None and one.row.address.startswith("erased:")
    return None if erased else events.stored_json(one.event.raw)
