"""`segment`: which segments are saved, how many people one has, why somebody is in it."""

import json
from typing import Any

import click
from flask.cli import with_appcontext

from database import segment_view
from database.models import SubscriberStatus
from database.segment_view import Verdict
from database.segments import SavedSegments, Tree, parse, read
from utils.errors import Invalid, NotFound
from web.context import house
from web.segment_models import verdict_out


@click.group()
def segment() -> None:
    """Segments of the list. RULE is the name of a saved one or of a tag, or a rule as JSON."""


@segment.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_appcontext
def saved(as_json: bool) -> None:
    """The saved segments (config/segments.json)."""
    rules = _saved().rules
    if as_json:
        click.echo(json.dumps(rules, ensure_ascii=False))
    else:
        click.echo("\n".join(f"{name}  {json.dumps(rule)}" for name, rule in sorted(rules.items())))


@segment.command()
@click.argument("rule")
@click.option("--json", "as_json", is_flag=True, help="The numbers as one JSON object.")
@with_appcontext
def count(rule: str, as_json: bool) -> None:
    """How many people it has, and how many of them a campaign reaches."""
    tree = _tree(rule)
    with house().db.read() as connection:
        size = segment_view.size(connection, tree, house().clock())
    if as_json:
        click.echo(json.dumps(size._asdict()))
    else:
        click.echo(f"{size.people:,} people, {size.reached:,} of them active")


@segment.command()
@click.argument("rule")
@click.argument("email")
@click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
@with_appcontext
def explain(rule: str, email: str, as_json: bool) -> None:
    """Why EMAIL is in it, or is not; exit 1 if not."""
    tree = _tree(rule)
    try:
        person = house().lists.get(email)
    except (Invalid, NotFound) as error:
        raise click.ClickException(str(error)) from error
    with house().db.read() as connection:
        verdict = segment_view.explain(connection, tree, person, house().clock())
    if as_json:
        click.echo(json.dumps(verdict_out(verdict).model_dump(), ensure_ascii=False))
    else:
        where = "in it" if verdict.holds else "not in it"
        reached = "" if person.status is SubscriberStatus.ACTIVE else ": no campaign reaches them"
        click.echo(f"{person.email} is {where}, and {person.status}{reached}")
        _tell(verdict, 1)
    if not verdict.holds:
        click.get_current_context().exit(1)


def _tell(verdict: Verdict, depth: int) -> None:
    mark = "✔" if verdict.holds else "✘"
    if "field" in verdict.rule:
        wanted = f"{verdict.rule['field']} {verdict.rule['op']} {_shown(verdict.rule['value'])}"
        click.echo(f"{'  ' * depth}{mark} {wanted}  (is {_shown(verdict.found)})")
    else:
        click.echo(f"{'  ' * depth}{mark} {verdict.rule['rule']} of:")
    for node in verdict.nodes:
        _tell(node, depth + 1)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tree(rule: str) -> Tree:
    try:
        return parse(read(rule), _saved())
    except Invalid as error:
        raise click.UsageError(str(error)) from error


def _saved() -> SavedSegments:
    saved: SavedSegments = house().extras["segments"]
    return saved
