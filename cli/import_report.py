"""What commands say about an import."""

from typing import Any

import click

from database.imports import ImportReport
from web.import_models import import_out

#: Who acts, in people's history, when it is somebody at a terminal.
ACTOR = "command line"
EX_DATAERR = 65  # sysexits.h
_SHOWN = 20


def told(report: ImportReport, *, dry_run: bool) -> dict[str, Any]:
    """The report as the API gives it."""
    return import_out(report, dry_run=dry_run).model_dump()


def tell(report: ImportReport, *, dry_run: bool) -> None:
    """The same for a person: counts on the output, what is wrong on the error stream."""
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    for error in report.errors[:_SHOWN]:
        click.echo(f"row {error.row}: {error.field or 'it'} {error.message}", err=True)
    more = len(report.errors) - _SHOWN + report.more_errors
    if more > 0:
        where = "--errors FILE" if dry_run else f"./setup.sh imports errors {report.import_id}"
        click.echo(f"… and {more:,} more: {where} has all", err=True)
    counts = ", ".join(f"{number:,} {name}" for name, number in report.counts().items())
    click.echo(f"{'dry run' if dry_run else report.import_id}: {counts}")
