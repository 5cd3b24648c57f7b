"""A batch on its way through the house: what it carries from its claim to its record."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from database.sends import Lease, Picked
from mail.message import Content, Message


class Claim(NamedTuple):
    """The sends of one claim that are reserved at one ESP."""

    esp: str
    lease: Lease
    day: str  #: the quota day they were reserved on
    picked: Sequence[Picked]


class Parcel(NamedTuple):
    """The messages of one claim that go to one ESP."""

    esp: str
    lease: Lease
    day: str
    content: Content
    messages: Mapping[int, Message]  #: by send, in order
    careful: bool = False  #: one message per request
    deadline: float = 0.0  #: `time.monotonic()` after which no request may begin
