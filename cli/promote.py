"""`flask promote-sandbox`: take a sandbox's people to live, and leave the simulation behind."""

import json
from pathlib import Path

import click
from flask.cli import with_appcontext

from cli.backup import FOLDER, needing_a_copy
from cli.heartbeat import beats
from database import migrate
from database.engine import Database
from database.promote import NotASandbox, Promoted, promote, promote_copy
from web.context import House, house

#: What the sandbox's and the live database are called unless DATABASE_URL says otherwise.
SANDBOX_NAME, LIVE_NAME = "sandbox.db", "email.db"


@click.command("promote-sandbox")
@click.option(
    "--to", "target", type=click.Path(dir_okay=False, path_type=Path),
    help=f"The SQLite file to make; the sandbox's own stays as it is. Without it {SANDBOX_NAME} "
    f"becomes {LIVE_NAME} beside it, and any other database is changed in place.",
)  # fmt: skip
@click.option("--no-copy", is_flag=True, help="Keep no copy of what is changed in place.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The numbers as one JSON object.")
@with_appcontext
def promote_sandbox(target: Path | None, no_copy: bool, yes: bool, as_json: bool) -> None:
    """Keep people and consent; drop simulated campaigns, sends, events and their outcomes. A copy
    is kept of what is changed in place, as by `db upgrade`."""
    parts = house()
    _must_be_quiet(parts)
    target = target or _usual_target(parts.db)
    if target is not None:
        _must_be_free(parts.db, target)
    where = str(target or parts.db.url.render_as_string(hide_password=True))
    if not yes:
        click.confirm(_question(where, copied=target is not None), abort=True, err=True)
    with needing_a_copy():
        copy = None if no_copy or target else migrate.copy_of(parts.db, FOLDER)
    done = _promote(parts, target)
    told = {"database": where, "copy": copy and str(copy), **done.numbers()}
    click.echo(json.dumps(told) if as_json else _told(done, where, copy))


def _must_be_quiet(parts: House) -> None:
    if beats(parts):
        raise click.ClickException(
            "A worker beats. Stop the service first, so that nothing is sent or counted meanwhile."
        )


def _usual_target(db: Database) -> Path | None:
    path = db.path
    return path.with_name(LIVE_NAME) if path is not None and path.name == SANDBOX_NAME else None


def _must_be_free(db: Database, target: Path) -> None:
    if db.path is None:
        raise click.UsageError("--to copies a SQLite file; this is PostgreSQL: leave it out.")
    if target.exists():
        raise click.ClickException(f"{target} exists; it is not overwritten. Move it away first.")


def _question(where: str, *, copied: bool) -> str:
    how = "A copy without them is made at" if copied else "They are dropped in place from"
    return f"Simulated campaigns, sends and events are left behind. {how} {where}. Go on?"


def _promote(parts: House, target: Path | None) -> Promoted:
    names, now = parts.settings.esp_names, parts.clock()
    try:
        if target is not None:
            return promote_copy(parts.db, target, names, now)
        return parts.db.transact(lambda connection: promote(connection, names, now))
    except NotASandbox as error:
        raise click.ClickException(str(error)) from error


def _told(done: Promoted, where: str, copy: Path | None) -> str:
    kept = f"\nA copy of the former database is {copy}" if copy else ""
    return (
        f"Kept: {done.people:,} people with their consent, {done.restored:,} of them back where "
        "they were before a simulated bounce or complaint.\n"
        f"Dropped: {done.campaigns:,} campaigns, {done.sends:,} sends, {done.events:,} events, "
        f"{done.strangers:,} people whom only the simulation had named, and what was known of each "
        f"ESP.\nThe database: {where}. Set MODE=live to use it.{kept}"
    )
