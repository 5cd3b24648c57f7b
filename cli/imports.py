"""`import-subscribers`, `imports` and `export-subscribers`: lists in and out from a terminal."""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from flask.cli import with_appcontext

from cli.import_report import ACTOR, EX_DATAERR, tell, told
from database import import_log, segments
from database.import_log import PIECE, RowError
from database.imports import COUNTS, Upload
from database.models import SubscriberStatus
from utils import attributes
from utils.errors import Conflict, Invalid, NotFound
from utils.own_export import FORMATS as EXPORTS
from utils.rows import FORMATS, format_of
from web.context import House, house
from web.import_models import known_out

_STATUSES = [str(status) for status in SubscriberStatus if status != SubscriberStatus.ERASED]
_TOLD_SECONDS = 1.0
_File = click.Path(dir_okay=False, path_type=Path)


@click.command("import-subscribers")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "form", type=click.Choice(FORMATS), help="Else by the file's name.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, write nothing.")
@click.option(
    "--status", type=click.Choice(_STATUSES), default="active", show_default=True,
    help="Of new people whose row names none; one that is out of reach holds for everybody.",
)  # fmt: skip
@click.option("--tags", default="", help="For everybody; between commas.")
@click.option("--source", default="", help="Kept with everybody's history.")
@click.option("--errors", type=_File, help="A CSV file to write every bad row into.")
@click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
@with_appcontext
def import_subscribers(
    file: BinaryIO, *, form: str | None, dry_run: bool, status: str, tags: str, source: str,
    errors: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Bring FILE (CSV, JSON Lines or JSON; - is the standard input) onto the list.

    Killed half-way, run it again: nobody is there twice. No import lifts an opt-out."""
    name = Path(getattr(file, "name", "-")).name  # a stream may have none
    try:
        with _written(errors) as blame:
            report = house().lists.import_stream(
                file, format=form or format_of(name) or "csv", by=ACTOR,
                dry_run=dry_run, status=SubscriberStatus(status), tags=_tags(tags), source=source,
                upload=Upload(name, blame=blame, progress=_progress()),
            )  # fmt: skip
    except Invalid as error:
        click.echo(f"Nothing was imported: {error}", err=True)
        sys.exit(EX_DATAERR)
    if as_json:
        click.echo(json.dumps(told(report, dry_run=dry_run)))
    else:
        tell(report, dry_run=dry_run)


def _tags(text: str) -> tuple[str, ...]:
    try:
        return attributes.tags([tag for tag in text.split(",") if tag.strip()])
    except attributes.BadValue as error:
        raise click.UsageError(f"--tags: {error}") from None


@contextmanager
def _written(path: Path | None) -> Iterator[Callable[[RowError], None] | None]:
    """Where every bad row goes."""
    if path is None:
        yield None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(RowError._fields)
        yield writer.writerow


def _progress() -> Callable[[int], None]:
    """Says how far it is: on a terminal each second in one line, else seldom."""
    terminal = sys.stderr.isatty()
    pause = _TOLD_SECONDS if terminal else 10 * _TOLD_SECONDS
    last = time.monotonic()

    def say(read: int) -> None:
        nonlocal last
        if time.monotonic() - last >= pause:
            last = time.monotonic()
            click.echo(f"{read:,} rows read" + ("\r" if terminal else "\n"), err=True, nl=False)

    return say


@click.command("export-subscribers")
@click.option("--format", "form", type=click.Choice(sorted(EXPORTS)), default="csv",
              show_default=True)  # fmt: skip
@click.option("--segment", help="A saved segment, a tag, or a rule tree as JSON; else everybody.")
@click.option("--status", type=click.Choice(_STATUSES), help="Else people of every status.")
@with_appcontext
def export_subscribers(form: str, segment: str | None, status: str | None) -> None:
    """Write people to the standard output; import-subscribers reads them back as they were."""
    wanted = SubscriberStatus(status) if status else None
    try:
        pieces = house().lists.export(format=form, segment=segments.read(segment), status=wanted)
    except Invalid as error:
        raise click.UsageError(str(error)) from error
    for piece in pieces:
        click.echo(piece.encode(), nl=False)


@click.group("imports")
def imports() -> None:
    """What was imported, what was wrong with it, and taking it back."""


@imports.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
def list_imports(limit: int, as_json: bool) -> None:
    """Imports, newest first."""
    with house().db.read() as connection:
        found = import_log.page(connection, before=None, limit=limit, now=house().clock())
    for known in found:
        _show(known, as_json=as_json)


@imports.command("show")
@click.argument("import_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_appcontext
def show_import(import_id: str, as_json: bool) -> None:
    """One import; while it runs, how far it is."""
    _show(_known(house(), import_id), as_json=as_json)


@imports.command("errors")
@click.argument("import_id")
@with_appcontext
def show_errors(import_id: str) -> None:
    """Every bad row, as CSV."""
    _known(house(), import_id)
    writer = csv.writer(sys.stdout)
    writer.writerow(RowError._fields)
    after, page = 0, list[RowError]()
    while page or not after:
        with house().db.read() as connection:
            page = import_log.errors_of(connection, import_id, after=after, limit=PIECE)
        writer.writerows(page)
        after += len(page) or 1


@imports.command("undo")
@click.argument("import_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The import as one JSON object.")
@with_appcontext
def undo_import(import_id: str, yes: bool, as_json: bool) -> None:
    """Take back whom only this import brought and to whom nothing has happened since."""
    known = _known(house(), import_id)
    if not yes:
        question = f"{known['added']:,} people were added by {import_id}. Take them back?"
        click.confirm(question, abort=True, err=True)
    try:
        _show(house().lists.undo_import(import_id, by=ACTOR), as_json=as_json)
    except (Conflict, NotFound) as error:
        raise click.ClickException(str(error)) from error


def _known(parts: House, import_id: str) -> dict[str, Any]:
    with parts.db.read() as connection:
        known = import_log.get(connection, import_id, parts.clock())
    if known is None:
        raise click.ClickException(f"There is no import {import_id!r}. A dry run leaves none.")
    return known


def _show(known: dict[str, Any], *, as_json: bool) -> None:
    shown = known_out(known)
    if as_json:
        click.echo(json.dumps(shown.model_dump()))
        return
    counts = ", ".join(f"{getattr(shown, name):,} {name}" for name in COUNTS)
    about = (shown.import_id, shown.started_at, shown.status, shown.file_name, counts)
    click.echo("  ".join(filter(None, about)))
    if shown.undone:
        kept = [f"{number:,} {why}" for why, number in shown.undone.kept.items() if number]
        click.echo(
            f"  undone by {shown.undone.by}: {shown.undone.removed:,} removed, kept: "
            + (", ".join(kept) or "nobody")
        )
