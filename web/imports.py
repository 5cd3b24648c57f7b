"""Imports over HTTP: how far each got, what was wrong with its rows, and taking one back; and the
export, which an import reads back."""

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from database import import_log, segments
from database.models import SubscriberStatus
from utils.errors import NotFound
from web.auth import actor
from web.campaign_models import NoBody
from web.context import house
from web.import_models import (
    ErrorsQuery,
    ExportQuery,
    ImportPath,
    ImportsOut,
    KnownImportOut,
    RowErrorsOut,
    error_out,
    known_out,
)
from web.shapes import PageQuery, next_cursor, read_name, read_position

blueprint = APIBlueprint(
    "imports", __name__, abp_tags=[Tag(name="subscribers")], abp_security=[{"key": []}]
)


@blueprint.get("/subscribers/imports", responses={200: ImportsOut})
def list_imports(query: PageQuery) -> dict[str, Any]:
    """Imports, newest first; one that runs tells how far it is."""
    before = read_name("imports", query.cursor)
    with house().db.read() as connection:
        found = import_log.page(
            connection, before=before, limit=query.limit + 1, now=house().clock()
        )
    shown = found[: query.limit]
    last = shown[-1]["import_id"] if len(found) > len(shown) else None
    items = [known_out(known) for known in shown]
    return ImportsOut(items=items, next_cursor=next_cursor("imports", last)).model_dump()


@blueprint.get("/subscribers/imports/<import_id>", responses={200: KnownImportOut})
def get_import(path: ImportPath) -> dict[str, Any]:
    """One import."""
    return known_out(_known(path.import_id)).model_dump()


@blueprint.get("/subscribers/imports/<import_id>/errors", responses={200: RowErrorsOut})
def list_import_errors(path: ImportPath, query: ErrorsQuery) -> dict[str, Any]:
    """What was wrong with every bad row; kept for 90 days."""
    _known(path.import_id)
    after = read_position("import-errors", query.cursor) or 0
    with house().db.read() as connection:
        found = import_log.errors_of(connection, path.import_id, after=after, limit=query.limit + 1)
    items = [error_out(error) for error in found[: query.limit]]
    more = after + len(items) if len(found) > len(items) else None
    return RowErrorsOut(items=items, next_cursor=next_cursor("import-errors", more)).model_dump()


@blueprint.post("/subscribers/imports/<import_id>/undo", responses={200: KnownImportOut})
def undo_import(path: ImportPath, body: NoBody) -> dict[str, Any]:  # noqa: ARG001  (checks it is empty)
    """Take back the people whom only this import brought, and who have not acted, been mailed or
    been changed since. `undone` says how many went, and why the others stay."""
    return known_out(house().lists.undo_import(path.import_id, by=actor())).model_dump()


_EXPORTED = {
    "description": "Everybody, streamed",
    "content": {"text/csv": {}, "application/x-ndjson": {}},
}
_KINDS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


@blueprint.get("/subscribers/export", responses={200: _EXPORTED})
def export_subscribers(query: ExportQuery) -> Response:
    """Everybody, or a segment, as CSV or JSON Lines: safe to open in a spreadsheet, and read back
    by POST /subscribers/import without lifting or losing anything."""
    status = SubscriberStatus(query.status) if query.status else None
    pieces = house().lists.export(
        format=query.format, segment=segments.read(query.segment), status=status
    )
    return Response(
        pieces,
        content_type=_KINDS[query.format],
        headers={"Content-Disposition": f"attachment; filename=subscribers.{query.format}"},
    )


def _known(import_id: str) -> dict[str, Any]:
    with house().db.read() as connection:
        known = import_log.get(connection, import_id, house().clock())
    if known is None:
        raise NotFound(f"There is no import {import_id[:60]!r}. A dry run leaves none.")
    return known
