"""As whom an author reads a campaign before it leaves: a subscriber, a sample, made-up values."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from database import audience, subscribers
from database.audience import Reader
from database.models import SubscriberStatus
from outbound.checks import Examined, Examiner
from utils.addresses import BadAddress, canonical
from utils.attributes import BadValue
from utils.attributes import attributes as checked_attributes
from utils.errors import Invalid

#: Of a person who is made up (RFC 2606 §3).
NOBODY = "reader@example.com"


def known(connection: sa.Connection, email: str, field: str) -> Reader | None:
    """The subscriber of that address; None when there is none. Raises Invalid on `field`."""
    try:
        person = subscribers.by_address(connection, canonical(email))
    except BadAddress as error:
        raise Invalid.of(field, str(error)) from error
    if person is None or person.status is SubscriberStatus.ERASED:
        return None
    return Reader(person.id, person.email, person.name, person.attributes)


def somebody(connection: sa.Connection, examiner: Examiner, found: Examined, field: str) -> Reader:
    """The first whom the campaign would reach. Raises Invalid on `field` when it is nobody."""
    people = examiner.people(found.row) if found.has_audience else None
    reader = audience.sample(connection, people)
    if reader is None:
        raise Invalid.of(field, "nobody would get this yet: name somebody to read it as")
    return reader


def made_up(reader: Reader | None, email: str | None, attributes: Mapping[str, Any]) -> Reader:
    """A person with these values, and those of the subscriber where there is one."""
    try:
        checked_attributes(dict(attributes))
    except BadValue as error:
        raise Invalid.of("attributes", str(error)) from error
    base = reader or Reader(0, email or NOBODY, "", {})
    name = attributes.get("name")
    shown = name if isinstance(name, str) else base.name
    return base._replace(name=shown, attributes={**base.attributes, **attributes})
