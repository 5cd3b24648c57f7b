"""`backup` and `restore`: a copy of the database while everything runs, and the way back."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from cli.heartbeat import beats
from database import backup as backups
from database import restore_postgresql, restore_sqlite
from database.backup import BackupFailed, Taken
from database.engine import Database
from database.fence import moment
from database.restore import Here, Restored, RestoreRefused
from web.context import House, house

#: Where copies of a PostgreSQL database go; those of a SQLite file go beside it.
FOLDER = Path("data/backups")
_NOBODY_TO_ASK = (
    "opt-outs, bounces, complaints and erasures since the backup: there was no database of ours "
    "to ask, or it is damaged"
)


class Unavailable(click.ClickException):
    """A program of the machine is missing."""

    exit_code = 69  # sysexits.h


@click.command("backup")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--json", "as_json", is_flag=True, help="Path, size and time as one JSON object.")
@with_appcontext
def backup(file: Path | None, force: bool, as_json: bool) -> None:
    """Copy the database to FILE, checked, while everything runs; without FILE to a new one in
    `backups`. It holds addresses: keep it as safe as the database."""
    parts = house()
    target = file or usual_target(parts.db, parts.clock())
    try:
        taken = backups.take(parts.db, target, parts.clock(), overwrite=force, tell=_tell)
    except BackupFailed as error:
        raise _stopped(error) from error
    click.echo(json.dumps(_numbers(taken)) if as_json else _told_of(taken))


@contextmanager
def needing_a_copy() -> Iterator[None]:
    """Says what to do when the copy that is kept before a change cannot be made."""
    try:
        yield
    except BackupFailed as error:
        raise click.ClickException(
            f"nothing was changed, because no copy could be kept: {error} "
            "(--no-copy goes on without one)"
        ) from error


def usual_target(db: Database, now: float) -> Path:
    """A new file beside the others."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    if db.path is not None:
        return db.path.parent / "backups" / f"{db.path.stem}-{stamp}.bak"
    return FOLDER / f"{db.url.database}-{stamp}.dump"


def _numbers(taken: Taken) -> dict[str, Any]:
    return {"file": str(taken.path.resolve()), "bytes": taken.bytes, "at": taken.at}


def _told_of(taken: Taken) -> str:
    return (
        f"{taken.path.resolve()}: {taken.bytes / 1e6:,.1f} MB, the database as of "
        f"{moment(taken.at)}. `./setup.sh restore` puts it back."
    )


@click.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="What was done as one JSON object.")
@with_appcontext
def restore(file: Path, yes: bool, as_json: bool) -> None:
    """Put the backup FILE in the place of the database; stop the service first.

    Whatever may have left since the backup is held back: unfinished campaigns are paused, and who
    waited in them is in doubt. Opt-outs, bounces, complaints and erasures that the replaced
    database holds are applied again. It is kept."""
    parts = house()
    where = parts.db.url.render_as_string(hide_password=True)
    _must_be_quiet(parts)
    if not yes:
        click.confirm(f"{where} is replaced by {file}. Go on?", abort=True, err=True)
    parts.db.dispose()
    here = Here(
        parts.settings.mode, parts.settings.erasure_fingerprint, parts.lists.alias, parts.clock(),
        _tell,
    )  # fmt: skip
    try:
        done = _restored(parts.db, file, here)
    except RestoreRefused as error:
        raise _stopped(error) from error
    click.echo(json.dumps({"database": where, **_figures(done)}) if as_json else _told(done))
    _warn(done)


def _must_be_quiet(parts: House) -> None:
    if beats(parts):
        raise click.ClickException(
            "A worker beats. Stop the service first: it remembers what the backup does not know."
        )


def _restored(db: Database, file: Path, here: Here) -> Restored:
    if db.path is not None:
        return restore_sqlite.restore(db.path, file, here)
    return restore_postgresql.restore(db, file, here)


def _figures(done: Restored) -> dict[str, Any]:
    carried = done.carried
    return {
        "taken_at": done.taken_at, "kept": done.kept, **asdict(done.fenced),
        "out_of_reach": carried.out_of_reach if carried else 0,
        "topics": carried.topics if carried else 0,
        "erased": carried.erased if carried else 0,
        "not_applied": list(_not_applied(done)),
    }  # fmt: skip


def _told(done: Restored) -> str:
    held, figures = done.fenced, _figures(done)
    back = f"Held back: {held.paused:,} campaigns paused, {held.in_doubt:,} sends in doubt, "
    again = f"Applied again: {figures['out_of_reach']:,} people out of reach, "
    lines = [
        f"Restored the database as of {moment(done.taken_at)}.",
        back + f"{held.suppressed:,} sends suppressed.",
        again + f"{figures['topics']:,} topic opt-outs, {figures['erased']:,} erasures.",
    ]
    if done.kept:
        lines.append(f"The replaced database is {done.kept}; remove it once all is well.")
    lines.append(
        "Next: ./setup.sh verify, then start the service; docs/operations.md has the rest."
    )
    return "\n".join(lines)


def _not_applied(done: Restored) -> tuple[str, ...]:
    return done.carried.unread if done.carried else (_NOBODY_TO_ASK,)


def _warn(done: Restored) -> None:
    for what in _not_applied(done):
        click.echo(f"warning: not applied again, all or in part: {what}.", err=True)


def _stopped(error: BackupFailed | RestoreRefused) -> click.ClickException:
    return Unavailable(str(error)) if error.missing else click.ClickException(str(error))


def _tell(words: str) -> None:
    click.echo(f"  {words}", err=True)
