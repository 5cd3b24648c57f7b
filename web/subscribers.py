"""Subscribers over HTTP: add, read, change, forget, bring in a whole list, count."""

from typing import Any, BinaryIO, cast

from flask import g, request
from flask_openapi import APIBlueprint, Tag
from werkzeug.exceptions import UnsupportedMediaType

from database.imports import Upload
from database.merge import Verdict
from database.models import SubscriberStatus
from database.subscribers import Filter, Subscriber
from utils import attributes
from utils.errors import Invalid
from utils.rows import format_of
from web.context import house
from web.import_models import ImportOut, ImportQuery, import_out
from web.shapes import next_cursor, read_position
from web.subscriber_models import (
    EmailPath,
    ReasonIn,
    StatsOut,
    SubscriberIn,
    SubscriberOut,
    SubscriberPatch,
    SubscribersOut,
    SubscribersQuery,
    SubscriberWithTimelineOut,
    subscriber_fields,
    timeline_out,
)

blueprint = APIBlueprint(
    "subscribers", __name__, abp_tags=[Tag(name="subscribers")], abp_security=[{"key": []}]
)

#: What a list is sent as, by media type.
FORMATS = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/json": "json",
}
_MULTIPART = "multipart/form-data"
_LIST = "subscribers"


@blueprint.post("/subscribers", responses={200: SubscriberOut, 201: SubscriberOut})
def add_subscriber(body: SubscriberIn) -> tuple[dict[str, Any], int]:
    """Add a person, or change the one who is there. Never brings anybody back."""
    person, verdict = house().lists.upsert(body.change(), by=g.actor)
    return _shown(person), 201 if verdict is Verdict.ADDED else 200


@blueprint.get("/subscribers", responses={200: SubscribersOut})
def list_subscribers(query: SubscribersQuery) -> dict[str, Any]:
    """Subscribers in the order they were added."""
    prefix = query.q.strip().lower() if query.q else None
    wanted = Filter(query.status, query.tag, prefix)
    page = house().lists.page(
        wanted, after=read_position(_LIST, query.cursor) or 0, limit=query.limit
    )
    now = house().clock()
    items = [SubscriberOut(**subscriber_fields(person, now)) for person in page.items]
    more = next_cursor(_LIST, page.next_cursor)
    return SubscribersOut(items=items, next_cursor=more).model_dump()


@blueprint.get("/subscribers/<address:email>", responses={200: SubscriberWithTimelineOut})
def get_subscriber(path: EmailPath) -> dict[str, Any]:
    """One person, and what happened to them."""
    lists = house().lists
    person = lists.get(path.email)
    entries = timeline_out(lists.timeline(person))
    fields = subscriber_fields(person, house().clock())
    return SubscriberWithTimelineOut(**fields, timeline=entries).model_dump()


@blueprint.patch("/subscribers/<address:email>", responses={200: SubscriberOut})
def change_subscriber(path: EmailPath, body: SubscriberPatch) -> dict[str, Any]:
    """Change what is given; null clears."""
    lists = house().lists
    known = lists.get(path.email)
    return _shown(lists.patch(known.email, body.change(known.email), by=g.actor))


@blueprint.delete("/subscribers/<address:email>", responses={204: None})
def erase_subscriber(path: EmailPath) -> tuple[str, int]:
    """Forget a person. A keyed hash stays, so that no list brings the address back."""
    house().lists.erase(path.email, by=g.actor)
    return "", 204


@blueprint.post("/subscribers/<address:email>/unsubscribe", responses={200: SubscriberOut})
def unsubscribe(path: EmailPath, body: ReasonIn) -> dict[str, Any]:
    """No campaign reaches this person any more."""
    return _shown(house().lists.unsubscribe(path.email, reason=body.reason, by=g.actor))


@blueprint.post("/subscribers/<address:email>/resubscribe", responses={200: SubscriberOut})
def resubscribe(path: EmailPath, body: ReasonIn) -> dict[str, Any]:
    """Bring a person back, with the reason that justifies it."""
    return _shown(house().lists.resubscribe(path.email, reason=body.reason, by=g.actor))


@blueprint.post("/subscribers/import", responses={200: ImportOut})
def import_subscribers(query: ImportQuery) -> dict[str, Any]:
    """Bring in a list: CSV, JSON Lines or a JSON list, as the body or as a form's file."""
    file, name = _file()
    report = house().lists.import_stream(
        file, upload=Upload(name), format=query.format or _format(name), by=g.actor,
        dry_run=query.dry_run, status=SubscriberStatus(query.status), tags=_tags(query.tags),
        source=query.source,
    )  # fmt: skip
    return import_out(report, dry_run=query.dry_run).model_dump()


@blueprint.get("/subscriber-stats", responses={200: StatsOut})
def subscriber_stats() -> dict[str, Any]:
    """How many people there are, by status, mailbox provider and tag."""
    return StatsOut(**house().lists.stats()).model_dump()


def _shown(person: Subscriber) -> dict[str, Any]:
    return SubscriberOut(**subscriber_fields(person, house().clock())).model_dump()


def _file() -> tuple[BinaryIO, str]:
    """The body as it arrives, and its name if it has one: a list of any length is never held as a
    whole."""
    if request.mimetype != _MULTIPART:
        return cast("BinaryIO", request.stream), ""
    for upload in request.files.values():
        return cast("BinaryIO", upload.stream), upload.filename or ""
    raise Invalid.of("file", "the form has no file")


def _format(name: str) -> str:
    """By the media type; a form's file also by its name, for which browsers and curl guess one."""
    kind = request.mimetype
    if kind == _MULTIPART:
        kind = next((upload.mimetype for upload in request.files.values()), kind)
    found = FORMATS.get(kind) or format_of(name)
    if found is None:
        raise UnsupportedMediaType(f"Send one of {', '.join(FORMATS)}, or say ?format=.")
    return found


def _tags(text: str) -> tuple[str, ...]:
    try:
        return attributes.tags([tag for tag in text.split(",") if tag.strip()])
    except attributes.BadValue as error:
        raise Invalid.of("tags", str(error)) from None
