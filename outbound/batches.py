"""A batch on its way through the house: what it is planned by, what it carries until its record.
Decides nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from database.esp_performance import EspRow
from database.models import Lane
from database.sends import Lease, Picked
from mail.message import Content, Message
from services.esp_manager import Record
from services.esp_state import EspState


class Claim(NamedTuple):
    """The sends of one claim that are reserved at one ESP."""

    esp: str
    lease: Lease
    day: str  #: the quota day they were reserved on
    picked: Sequence[Picked]
    lane: Lane = Lane.CAMPAIGN
    expires_at: float = float("inf")  #: Unix seconds after which none of it may be handed over


class Parcel(NamedTuple):
    """The messages of one claim that go to one ESP."""

    esp: str
    lease: Lease
    day: str
    content: Content
    messages: Mapping[int, Message]  #: by send, in order
    handed_over_at: float = 0.0
    careful: bool = False  #: one message per request
    deadline: float = 0.0  #: `time.monotonic()` after which no request may begin
    lane: Lane = Lane.CAMPAIGN
    expires_at: float = float("inf")


def records_of(rows: Mapping[str, EspRow]) -> dict[str, Record]:
    """What the database knows of each ESP, in the words of the manager."""
    return {
        name: Record(EspState.from_json(row.state), row.used_today) for name, row in rows.items()
    }
