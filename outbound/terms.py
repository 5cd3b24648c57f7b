"""What a transactional mail asks of its journey: to whom, until when, through which ESP."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from database.models import Lane
from database.sends import Picked
from services.esp_manager import EspManager, Plan, Record

#: In a plan's eyes only; nobody is told.
_PASSED_OVER = "has failed this mail already"


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


def route(
    manager: EspManager, records: Mapping[str, Record], terms: Terms, tried: Collection[str],
    now: float,
) -> Plan:  # fmt: skip
    """One mail's ESP: one that has not failed it yet, while such a one has room."""
    lane, only = Lane.TRANSACTIONAL, terms.esp
    fresh = {
        name: replace(record, state=replace(record.state, suspended=_PASSED_OVER))
        if name in tried
        else record
        for name, record in records.items()
    }
    plan = manager.plan(fresh, 1, lane, now, only)
    return plan if plan.chosen or not tried else manager.plan(records, 1, lane, now, only)


def tried_by(trail: Sequence[Mapping[str, Any]]) -> set[str]:
    """ESPs through which a mail did not leave, or nobody knows whether."""
    return {step["esp"] for step in trail if step.get("esp")}
