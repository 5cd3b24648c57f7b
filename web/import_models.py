"""The shapes of imports in HTTP. Decides nothing."""

from typing import Any, Literal

from pydantic import Field

from database.import_log import PIECE, RowError
from database.imports import COUNTS, ImportReport
from utils.rows import FORMATS
from utils.times import rfc3339
from web.campaign_models import Line
from web.shapes import Answer, Path, Query, moment
from web.subscriber_models import Status


class ImportQuery(Query):
    """How to import."""

    dry_run: bool = False
    status: Status = Field(
        "active",
        description="Of new people whose row names none; one that is out of reach"
        " (unsubscribed, bounced, complained, inactive) holds for everybody in the file",
    )
    tags: Line = Field("", max_length=2000, description="For everybody; between commas")
    source: Line = Field("", max_length=200, description="Kept with everybody's history")
    format: str | None = Field(None, description=f"{', '.join(FORMATS)}; else by Content-Type")


class RowErrorOut(Answer):
    """What is wrong with a row."""

    row: int
    field: str
    message: str


class Counts(Answer):
    """What became of the rows."""

    received: int
    added: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int


class ImportOut(Counts):
    """What an import did: received = added + updated + unchanged + skipped + rejected."""

    import_id: str | None = Field(description="null of a dry run, which leaves nothing")
    dry_run: bool
    warnings: list[str] = Field(description="What to know about this file as a whole")
    errors: list[RowErrorOut]
    more_errors: int = Field(
        description="How many errors are not listed; GET /subscribers/imports/{id}/errors has all"
    )


class ImportPath(Path):
    """An import by its id."""

    import_id: str


class UndoneOut(Answer):
    """What undoing took back."""

    at: str
    by: str
    removed: int
    kept: dict[str, int] = Field(description="Whom it added and who stay, by why")


class KnownImportOut(Counts):
    """An import, while it runs and afterwards."""

    import_id: str
    status: Literal["running", "finished", "interrupted"]
    by: str
    source: str
    file_name: str
    tags: list[str]
    started_at: str
    updated_at: str
    finished_at: str | None
    warnings: list[str]
    undone: UndoneOut | None


class ImportsOut(Answer):
    """A page of imports."""

    items: list[KnownImportOut]
    next_cursor: str | None


class ErrorsQuery(Query):
    """Which errors to list."""

    limit: int = Field(PIECE, ge=1, le=PIECE, description="How many items.")
    cursor: str | None = Field(None, max_length=400, description="`next_cursor` of the one before.")


class ExportQuery(Query):
    """Whom to export, and how."""

    format: Literal["csv", "jsonl"] = "csv"
    segment: str | None = Field(
        None, max_length=8_000, description="A saved segment, a tag, or a rule tree as JSON"
    )
    status: Status | None = Field(None, description="Else people of every status")


class RowErrorsOut(Answer):
    """A page of errors, in the order they were found."""

    items: list[RowErrorOut]
    next_cursor: str | None


def import_out(report: ImportReport, *, dry_run: bool) -> ImportOut:
    """The report as the API gives it."""
    return ImportOut(
        import_id=None if dry_run else report.import_id,
        dry_run=dry_run,
        warnings=report.warnings,
        errors=[error_out(error) for error in report.errors],
        more_errors=report.more_errors,
        **report.counts(),
    )


def error_out(error: RowError) -> RowErrorOut:
    """One error as the API gives it."""
    return RowErrorOut(**error._asdict())


def known_out(known: dict[str, Any]) -> KnownImportOut:
    """What the log knows of an import as the API gives it."""
    undone = known["undone"]
    return KnownImportOut(
        started_at=rfc3339(known["started_at"]),
        updated_at=rfc3339(known["updated_at"]),
        finished_at=moment(known["finished_at"]),
        undone=UndoneOut(**{**undone, "at": rfc3339(undone["at"])}) if undone else None,
        **{name: known[name] for name in (*_AS_THEY_ARE, *COUNTS)},
    )


_AS_THEY_ARE = ("import_id", "status", "by", "source", "file_name", "tags", "warnings")
