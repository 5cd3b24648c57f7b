"""`flask migrate-json`: lists of the older version, which kept people in JSON files."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from cli.import_report import ACTOR, EX_DATAERR, told
from database import import_log
from database.imports import Importer, ImportReport, Upload
from database.lifecycle import further
from database.records import Origin
from utils.errors import Invalid
from utils.legacy import legacy_rows
from utils.lines import Notes
from utils.rows import BadFile
from utils.times import rfc3339
from web.context import House, house

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("migrate-json")
@click.argument("files", nargs=-1, required=True, type=_File)
@click.option("--dry-run", is_flag=True, help="Say what would happen, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file.")
@with_appcontext
def migrate_json(files: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Bring the people of older JSON FILES onto the list: a list of addresses or of objects, an
    object keyed by address, or one of them under "subscribers".

    A copy of each file is kept beside it. A file that was migrated is not read again."""
    done = [_migrated(house(), path, dry_run=dry_run, as_json=as_json) for path in files]
    sys.exit(0 if all(done) else EX_DATAERR)


def _migrated(parts: House, path: Path, *, dry_run: bool, as_json: bool) -> bool:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with parts.db.read() as connection:
        known = import_log.with_digest(connection, digest, parts.clock())
    if known is not None:
        _tell_known(path, known, as_json=as_json)
        return True
    backup = None if dry_run else _kept(path, digest)
    try:
        report = _imported(parts, path.name, data, digest, dry_run=dry_run)
    except (BadFile, Invalid) as error:
        click.echo(f"{path}: not migrated: {error}", err=True)
        return False
    _tell(path, report, backup, dry_run=dry_run, as_json=as_json)
    return True


def _kept(path: Path, digest: str) -> Path:
    """A copy beside the file, under a name of its own for other content."""
    copy = path.with_name(f"{path.name}.{digest[:12]}.bak")
    if not copy.exists():
        half = copy.with_name(f"{copy.name}.unfinished")
        half.touch(mode=0o600)
        shutil.copyfile(path, half)
        half.rename(copy)
    return copy


def _imported(parts: House, name: str, data: bytes, digest: str, *, dry_run: bool) -> ImportReport:
    origin = Origin(at=parts.clock(), by=ACTOR, alias=parts.lists.alias, source=f"migrated: {name}")
    importer = Importer(parts.db, origin, parts.clock, Upload(name, digest))
    return importer.take(legacy_rows(data, further), Notes(), dry_run=dry_run)


def _tell_known(path: Path, known: dict[str, Any], *, as_json: bool) -> None:
    at = rfc3339(known["finished_at"])
    if as_json:
        click.echo(json.dumps({"file": str(path), "already": known["import_id"], "at": at}))
    else:
        click.echo(f"{path}: migrated already at {at} ({known['import_id']}); nothing to do")


def _tell(
    path: Path, report: ImportReport, backup: Path | None, *, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    if as_json:
        about = {"file": str(path), "backup": str(backup) if backup else None}
        click.echo(json.dumps({**about, **told(report, dry_run=dry_run)}))
        return
    counts = ", ".join(f"{number:,} {name}" for name, number in report.counts().items() if number)
    click.echo(f"{path}: {counts or 'nobody in it'}" + (" (dry run)" if dry_run else ""))
    if backup:
        click.echo(f"  copy kept: {backup}")
    for error in report.errors:
        click.echo(f"  entry {error.row}: {error.field or 'it'} {error.message}", err=True)
    if report.more_errors:
        click.echo(
            f"  … and {report.more_errors:,} more: ./setup.sh imports errors {report.import_id}",
            err=True,
        )
