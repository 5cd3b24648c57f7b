"""What a single mail asks of its journey: to whom, as whom, until when, through which ESP."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from database.sends import Picked
from database.subscribers import Subscriber


class Terms(NamedTuple):
    """The options of its row, as far as the journey reads them."""

    to: str | None = None  #: None: the row was emptied, since its person was erased
    variables: Mapping[str, Any] = {}
    expires_at: float = float("inf")  #: Unix seconds
    esp: str | None = None
    reader: int | None = None  #: of a test: the subscriber as whom it is read

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Terms":
        """From the column of the database."""
        given = {name: options[name] for name in cls._fields if options.get(name) is not None}
        return cls(**given)

    def addressed(self, picked: Sequence[Picked]) -> list[Picked]:
        """The person as the request named them: what we know of a subscriber is not used."""
        return [
            Picked(row.id, self.to or row.to, "", self.to or row.email, dict(self.variables))
            for row in picked
        ]

    def read_as(self, picked: Sequence[Picked], reader: Subscriber) -> list[Picked]:
        """A test goes to its addressee and says what it would say to a subscriber. Who was erased
        meanwhile has nothing left to say it with."""
        return [
            Picked(row.id, self.to or row.to, reader.name, reader.email, reader.attributes)
            for row in picked
        ]


def tried_by(trail: Sequence[Mapping[str, Any]]) -> set[str]:
    """ESPs through which a mail did not leave, or nobody knows whether."""
    return {step["esp"] for step in trail if step.get("esp")}
