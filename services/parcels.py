"""A batch cut into requests by count, by bytes and by what an ESP's slots hold.

Knows no ESP: an adapter writes the bytes of each message.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mail.message import Message
from services.esp import Batch, EspError, Refused, Rejected

#: Messages written by one call: more would not stay in the processor's cache from step to step.
TOGETHER = 100


class Envelope(NamedTuple):
    """What stands in a request before and after its messages."""

    head: bytes
    tail: bytes
    single: bool = False  #: goes by the ESP's call for one message


class Parcel(NamedTuple):
    """The messages of one request: their places in the batch and their bytes."""

    envelope: Envelope
    places: Sequence[int]
    entries: Sequence[bytes]

    def body(self) -> bytes:
        """The request's body."""
        # One copy of the messages, not two: bodies reach megabytes.
        parts = [b","] * (2 * len(self.entries) + 1)
        parts[0], parts[1::2], parts[-1] = self.envelope.head, self.entries, self.envelope.tail
        return b"".join(parts)

    def part(self, *keep: int) -> "Parcel":
        """A parcel with some of these messages."""
        return Parcel(
            self.envelope, [self.places[k] for k in keep], [self.entries[k] for k in keep]
        )

    def span(self, start: int, stop: int) -> "Parcel":
        """A parcel with the messages from `start` to `stop`."""
        return Parcel(self.envelope, self.places[start:stop], self.entries[start:stop])

    def halves(self) -> "list[Parcel]":
        """Two parcels of two or more messages."""
        middle = (len(self.places) + 1) // 2
        return [self.span(0, middle), self.span(middle, len(self.places))]


class Cut(NamedTuple):
    """The limits of one request."""

    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Writing:
    """How an adapter writes the messages of one content."""

    envelope: Envelope
    #: For each message its bytes; None: does not fit the ESP's slots.
    entries: Callable[[Sequence[Message]], Sequence[bytes | None]]
    alone: Callable[[Message], tuple[Envelope, bytes]]  #: rendered, in a request of its own


class Lost(NamedTuple):
    """A message that cannot be written at all."""

    place: int
    error: EspError


def parcels(batch: Batch, writing: Writing, cut: Cut) -> Iterator[Parcel | Lost]:
    """The batch as requests, each written only when it is asked for."""
    per_request = 1 if batch.careful else cut.messages
    for start in range(0, len(batch.messages), per_request):
        messages = batch.messages[start : start + per_request]
        try:
            entries = _entries(writing, messages)
        except (TypeError, ValueError):  # some text is not Unicode: find whose
            entries = [_entry(writing, message) for message in messages]
        places: Sequence[int] = range(start, start + len(messages))
        room = cut.bytes - len(writing.envelope.head) - len(writing.envelope.tail)
        written = [entry for entry in entries if entry is not None and len(entry) <= room]
        if len(written) == len(entries):
            yield from _by_bytes(Parcel(writing.envelope, places, written), room)
            continue
        fit = [entry is not None and len(entry) <= room for entry in entries]
        if written:
            some = list(itertools.compress(places, fit))
            yield from _by_bytes(Parcel(writing.envelope, some, written), room)
        for place, fits in zip(places, fit, strict=True):
            if not fits:
                yield _alone(writing, batch.messages[place], place, cut)


def _entries(writing: Writing, messages: Sequence[Message]) -> list[bytes | None]:
    entries: list[bytes | None] = []
    for start in range(0, len(messages), TOGETHER):
        entries += writing.entries(messages[start : start + TOGETHER])
    return entries


def _entry(writing: Writing, message: Message) -> bytes | None:
    try:
        return writing.entries([message])[0]
    except (TypeError, ValueError):
        return None


def _alone(writing: Writing, message: Message, place: int, cut: Cut) -> Parcel | Lost:
    try:
        envelope, entry = writing.alone(message)
    except (TypeError, ValueError) as odd:
        return Lost(place, Rejected(f"the message cannot be written: {odd}", code="text"))
    size = len(envelope.head) + len(entry) + len(envelope.tail)
    if not envelope.single and size > cut.bytes:
        words = f"the message has {size} bytes, the ESP takes {cut.bytes}"
        return Lost(place, Refused(words, code="size"))
    return Parcel(envelope, (place,), (entry,))


def _by_bytes(parcel: Parcel, room: int) -> Iterator[Parcel]:
    """`room`: bytes for the messages and the commas between them."""
    if sum(map(len, parcel.entries)) + len(parcel.entries) <= room:
        yield parcel
        return
    ends = list(itertools.accumulate(map(len, parcel.entries)))
    first, used = 0, 0
    for n, end in enumerate(ends):
        if end - used + n - first > room:
            yield parcel.part(*range(first, n))
            first, used = n, ends[n - 1]
    yield parcel.part(*range(first, len(ends)))
