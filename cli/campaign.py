"""`flask campaign`: what `/campaigns` does before a campaign leaves, from a terminal."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from cli.heartbeat import beats
from cli.send import EX_CONFIG, EX_DATAERR, read_file, read_segment
from database.models import CampaignStatus
from outbound.draft import Draft, NotReady
from outbound.overview import CampaignReader, Overview
from outbound.trial import Trial
from utils.errors import Conflict, FieldError, Invalid, NotFound
from utils.times import moment, rfc3339
from web.context import house
from web.draft_models import details_out
from web.preview_models import preview_out

_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_Json = click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
_Number = click.argument("campaign_id", type=click.IntRange(min=1))


@click.group("campaign")
def campaign() -> None:
    """Write, look at, try, schedule and send campaigns."""


@campaign.command("draft")
@click.option("--subject", default="", help="Liquid.")
@click.option("--html", "html_file", type=_File, help="A file with the HTML, as Liquid.")
@click.option("--text", "text_file", type=_File, help="A file with the text; else derived.")
@click.option("--name", default="", help="For lists; the subject if absent.")
@click.option("--segment", help="A saved segment, a tag, or a rule tree as JSON; else everybody.")
@click.option("--from-email", help="Else MAIL_FROM.")
@click.option("--from-name", help="Else MAIL_FROM_NAME.")
@click.option("--reply-to", help="Else MAIL_REPLY_TO.")
@click.option("--esp", help="Only through this ESP.")
@click.option("--update", type=click.IntRange(min=1), help="Edit this campaign instead.")
@_Json
@with_appcontext
def draft(
    html_file: Path | None, text_file: Path | None, segment: str | None, update: int | None,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Keep a campaign, whatever is wrong with it; with --update only what is given changes."""
    written = Draft(
        html=read_file(html_file), text=read_file(text_file), segment=read_segment(segment), **given
    )
    with _telling():
        if update is None:
            update = house().drafts.create(written)
        else:
            house().drafts.change(update, _given(written))
        _show(update, as_json=as_json)


@campaign.command("show")
@_Number
@_Json
@with_appcontext
def show(campaign_id: int, as_json: bool) -> None:
    """What a campaign is, and what a launch would refuse."""
    with _telling():
        _show(campaign_id, as_json=as_json)


@campaign.command("send")
@_Number
@click.option("--idempotency-key", help="The same key gets the first answer again.")
@_Json
@with_appcontext
def send(campaign_id: int, idempotency_key: str | None, as_json: bool) -> None:
    """Send a draft, now or at the time it has."""
    with _telling():
        launched = house().launcher.send(campaign_id, idempotency_key=idempotency_key)
    names = ("campaign_id", "status", "audience", "warnings")
    words = f"campaign {campaign_id} is {launched.status}: {launched.audience:,} recipients"
    _print({name: getattr(launched, name) for name in names}, words, as_json=as_json)
    for warning in launched.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not beats(house()):
        click.echo("No worker beats: it leaves as soon as one is started.", err=True)


@campaign.command("schedule")
@_Number
@click.option("--at", required=True, help="Like 2026-12-01T09:00+01:00; UTC if it names no zone.")
@_Json
@with_appcontext
def schedule(campaign_id: int, at: str, as_json: bool) -> None:
    """Give a campaign a time, and let a draft wait for it."""
    try:
        when = moment(at)
    except ValueError as error:
        raise click.UsageError(f"--at is no time: {error}") from error
    parts = house()
    with _telling():
        parts.drafts.change(campaign_id, {"scheduled_at": when})
        if _overview(campaign_id).row["status"] == CampaignStatus.DRAFT:
            parts.launcher.send(campaign_id)
        _show(campaign_id, as_json=as_json)


@campaign.command("preview")
@_Number
@click.option("--as", "email", help="Read it as this subscriber; else the first of its audience.")
@click.option("--part", type=click.Choice(["html", "text"]), default="text", show_default=True)
@_Json
@with_appcontext
def preview(campaign_id: int, email: str | None, part: str, as_json: bool) -> None:
    """A campaign as one person would get it. Sends nothing; its links act for nobody."""
    parts = house()
    with _telling():
        written = parts.drafts.read(campaign_id, {})
        seen = parts.previewer.preview(written, campaign_id=campaign_id, email=email)
    body = getattr(seen, part) or ""
    _print(preview_out(seen).model_dump(), f"{seen.subject}\n\n{body}", as_json=as_json)
    for name in seen.missing:
        click.echo(f"{seen.reader.email} has no `{name}`", err=True)


@campaign.command("test")
@_Number
@click.option("--to", multiple=True, required=True, help="An address; up to ten of them.")
@click.option("--as", "email", help="With the values of this subscriber; else of the first.")
@_Json
@with_appcontext
def test(campaign_id: int, to: tuple[str, ...], email: str | None, as_json: bool) -> None:
    """Send a campaign to a few addresses, marked as a test."""
    if len(to) > 10:
        raise click.UsageError("--to: ten addresses at most.")
    parts = house()
    with _telling():
        tried = parts.tester.send(Trial(parts.drafts.read(campaign_id, {}), to, email))
    lines = [f"{one['to']}: {one['send_id']}" for one in tried.sends]
    _print({"sends": tried.sends, "read_as": tried.reader}, "\n".join(lines), as_json=as_json)


def _given(written: Draft) -> dict[str, Any]:
    """The fields that are not as if they were absent."""
    absent = Draft("")
    return {
        f.name: value
        for f in fields(Draft)
        if (value := getattr(written, f.name)) != getattr(absent, f.name)
    }


def _show(campaign_id: int, *, as_json: bool) -> None:
    overview = _overview(campaign_id)
    problems = house().drafts.problems(overview.row)
    row = overview.row
    at = f" at {rfc3339(row['scheduled_at'])}" if row["scheduled_at"] else ""
    why = f" ({row['status_reason']})" if row["status_reason"] else ""
    lines = [f"campaign {campaign_id} `{row['name']}`: {row['status']}{at}{why}"]
    lines += [f"  {found.field}: {found.message}" for found in problems or ()]
    _print(details_out(overview, problems).model_dump(), "\n".join(lines), as_json=as_json)


def _overview(campaign_id: int) -> Overview:
    parts = house()
    return CampaignReader(parts.db, parts.manager, parts.clock).get(campaign_id)


def _print(answer: dict[str, Any], words: str, *, as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else words)


@contextmanager
def _telling() -> Iterator[None]:
    """What is refused is said line by line, and the exit status says that nothing was done."""
    try:
        yield
    except NotReady as error:
        _refuse(EX_CONFIG, error.blockers)
    except Invalid as error:
        _refuse(EX_DATAERR, error.errors)
    except (Conflict, NotFound) as error:
        click.echo(str(error), err=True)
        sys.exit(EX_DATAERR)


def _refuse(status: int, found: list[FieldError]) -> None:
    for one in found:
        click.echo(f"  {one.field}: {one.message}", err=True)
    sys.exit(status)
