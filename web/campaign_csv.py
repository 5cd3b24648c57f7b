"""A campaign's sends as CSV, streamed in small reads so that no snapshot stays open for a million
rows. No cell can run as a formula in a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from flask import Response

from database import campaigns, send_acts
from database.engine import Database
from web.send_models import SendOut, send_fields

COLUMNS = tuple(SendOut.model_fields)
_PAGE = 2_000
#: Excel, Sheets and LibreOffice run a cell that begins so (OWASP "CSV Injection").
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def response(database: Database, campaign_id: int, status: str | None, esp: str | None) -> Response:
    """The whole list; NotFound before anything is sent."""
    with database.read() as connection:
        nonce = nonce_of(connection, campaign_id)
    name = f"campaign-{campaign_id}-sends.csv"
    return Response(
        _lines(database, campaign_id, nonce, status, esp),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f"attachment; filename={name}"},
    )


def nonce_of(connection: sa.Connection, campaign_id: int) -> str:
    """What a campaign's send ids begin with."""
    return campaigns.shown_brief(connection, campaign_id).nonce


def safe(cell: object) -> object:
    """A cell that a spreadsheet shows instead of running."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_DANGEROUS) else cell


def _lines(
    database: Database, campaign_id: int, nonce: str, status: str | None, esp: str | None
) -> Iterator[str]:
    yield _csv([COLUMNS])
    after = ""
    while True:
        with database.read() as connection:
            rows = send_acts.page(connection, campaign_id, _PAGE, after, status, esp)
        if not rows:
            return
        yield _csv([_cells(row, nonce) for row in rows])
        after = rows[-1]["address"]


def _cells(row: Mapping[Any, Any], nonce: str) -> list[object]:
    fields = send_fields(row, nonce)
    return [safe(fields[name]) for name in COLUMNS]


def _csv(rows: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)  # CRLF, as RFC 4180 has it
    return buffer.getvalue()
