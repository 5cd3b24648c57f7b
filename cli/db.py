"""`db`: bring the schema forward or back, and say where it is."""

import json

import click
from flask.cli import with_appcontext

from cli.backup import FOLDER, needing_a_copy
from database import migrate
from web.context import house


@click.group()
def db() -> None:
    """The database's schema."""


@db.command()
@click.option("--no-copy", is_flag=True, help="Keep no copy before it changes.")
@with_appcontext
def upgrade(no_copy: bool) -> None:
    """Bring the schema to this version. A copy is kept before it changes: of a SQLite file beside
    it, of PostgreSQL in data/backups."""
    database = house().db
    before = migrate.current(database)
    with needing_a_copy():
        copy = migrate.upgrade(database, keep_copy=not no_copy, folder=FOLDER)
    after = migrate.current(database)
    if before == after:
        click.echo(f"The schema is at {after}; there is nothing to do.")
        return
    click.echo(f"The schema went from {before or 'nothing'} to {after}.")
    if copy is not None:
        click.echo(f"A copy of the former database is {copy}")


@db.command()
@click.argument("revision", default="-1")
@click.option("--no-copy", is_flag=True, help="Keep no copy before it changes.")
@with_appcontext
def downgrade(revision: str, no_copy: bool) -> None:
    """Go back one step, or to REVISION (`base`: to nothing). A copy is kept, as by `upgrade`."""
    database = house().db
    with needing_a_copy():
        copy = migrate.downgrade(database, revision, keep_copy=not no_copy, folder=FOLDER)
    click.echo(f"The schema is at {migrate.current(database) or 'nothing'}.")
    if copy is not None:
        click.echo(f"A copy of the former database is {copy}")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_appcontext
def current(as_json: bool) -> None:
    """Say which revision the database is at; 1 when this version needs another one."""
    at, needed = migrate.current(house().db), migrate.head()
    if as_json:
        click.echo(json.dumps({"current": at, "head": needed, "up_to_date": at == needed}))
    else:
        behind = "" if at == needed else f"; this version needs {needed}: db upgrade"
        click.echo(f"{at or 'empty'}{behind}")
    if at != needed:
        click.get_current_context().exit(1)
