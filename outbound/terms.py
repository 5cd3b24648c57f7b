"""What a transactional mail asks of its journey: to whom, until when, through which ESP."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from database.sends import Picked


class Terms(NamedTuple):
    """The options of its row, as far as the journey reads them."""

    to: str | None = None  #: None: the row was emptied, since its person was erased
    variables: Mapping[str, Any] = {}
    expires_at: float = float("inf")  #: Unix seconds
    esp: str | None = None

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


def tried_by(trail: Sequence[Mapping[str, Any]]) -> set[str]:
    """ESPs through which a mail did not leave, or nobody knows whether."""
    return {step["esp"] for step in trail if step.get("esp")}
