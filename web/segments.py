"""Segments over HTTP: which are saved, how many people one has, why somebody is in it or not."""

import json
import time
from typing import Any, NamedTuple

from flask_openapi import APIBlueprint, Tag

from database import segment_view
from database.models import SubscriberStatus
from database.segment_view import Size
from database.segments import SavedSegments, Tree, parse, read
from web.context import house
from web.segment_models import (
    CountOut,
    CountQuery,
    ExplainOut,
    ExplainQuery,
    SegmentOut,
    SegmentsOut,
    count_out,
    verdict_out,
)

#: A count is shown again for so long: a page that redraws itself must not count a million people
#: each time. Of so many segments at most.
KEPT_SECONDS = 60.0
MOST_KEPT = 200

blueprint = APIBlueprint(
    "segments", __name__, abp_tags=[Tag(name="subscribers")], abp_security=[{"key": []}]
)


@blueprint.get("/segments", responses={200: SegmentsOut})
def list_segments() -> dict[str, Any]:
    """The saved segments (config/segments.json)."""
    items = [SegmentOut(name=name, rule=rule) for name, rule in sorted(_saved().rules.items())]
    return SegmentsOut(items=items).model_dump()


@blueprint.get("/segments/count", responses={200: CountOut})
def count_segment(query: CountQuery) -> dict[str, Any]:
    """How many people a segment has; `counted_at` says when that was true."""
    counted = _counted(parse(read(query.segment), _saved()), fresh=query.fresh)
    return count_out(*counted).model_dump()


@blueprint.get("/segments/explain", responses={200: ExplainOut})
def explain_segment(query: ExplainQuery) -> dict[str, Any]:
    """Why somebody is in a segment, or is not: every rule in it, and what they have there."""
    tree = parse(read(query.segment), _saved())
    person = house().lists.get(query.email)
    with house().db.read() as connection:
        verdict = segment_view.explain(connection, tree, person, house().clock())
    return ExplainOut(
        email=person.email, status=person.status, in_segment=verdict.holds,
        reached=verdict.holds and person.status is SubscriberStatus.ACTIVE,
        verdict=verdict_out(verdict),
    ).model_dump()  # fmt: skip


class Counted(NamedTuple):
    """A count and its circumstances."""

    size: Size
    at: float  #: Unix seconds
    seconds: float


def _counted(tree: Tree, *, fresh: bool) -> Counted:
    kept: dict[str, Counted] = house().extras.setdefault("segment_counts", {})
    key, now = json.dumps(tree, sort_keys=True), house().clock()
    before = kept.get(key)
    if before and not fresh and 0 <= now - before.at < KEPT_SECONDS:
        return before
    began = time.monotonic()
    with house().db.read() as connection:
        size = segment_view.size(connection, tree, now)
    kept.pop(key, None)
    kept[key] = counted = Counted(size, now, time.monotonic() - began)
    for oldest in list(kept)[:-MOST_KEPT]:
        kept.pop(oldest, None)
    return counted


def _saved() -> SavedSegments:
    saved: SavedSegments = house().extras["segments"]
    return saved
