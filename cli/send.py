"""`flask send`: what `POST /send-campaign` does, from a terminal."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from cli.heartbeat import beats
from outbound.draft import Draft, NotReady
from outbound.launch import Launched
from outbound.overview import CampaignReader, Overview
from utils.errors import Conflict, Invalid
from web.campaign_models import campaign_out
from web.context import House, house

EX_DATAERR = 65  # sysexits.h
EX_CONFIG = 78
POLL_SECONDS = 0.5
_UNDER_WAY = frozenset({"scheduled", "sending"})
_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("send")
@click.option("--subject", required=True, help="Liquid.")
@click.option("--html", "html_file", type=_File, help="A file with the HTML, as Liquid.")
@click.option("--text", "text_file", type=_File, help="A file with the text; else derived.")
@click.option("--preheader", help="Liquid; shown after the subject in lists of messages.")
@click.option("--name", default="", help="For lists; the subject if absent.")
@click.option("--segment", help="A saved segment, a tag, or a rule tree as JSON; else everybody.")
@click.option("--from-email", help="Else MAIL_FROM.")
@click.option("--from-name", help="Else MAIL_FROM_NAME.")
@click.option("--reply-to", help="Else MAIL_REPLY_TO.")
@click.option("--track-opens/--no-track-opens", default=True, show_default=True)
@click.option("--track-clicks/--no-track-clicks", default=True, show_default=True)
@click.option("--allow-missing", is_flag=True, help="Send although some lack a variable.")
@click.option("--esp", help="Only through this ESP.")
@click.option("--idempotency-key", help="The same key and content get the first answer again.")
@click.option("--wait", is_flag=True, help="Show progress until it is over; exit 1 unless sent.")
@click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
@with_appcontext
def send(
    html_file: Path | None, text_file: Path | None, segment: str | None,
    idempotency_key: str | None, wait: bool, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Send a campaign now, and print its id."""
    draft = Draft(
        html=read_file(html_file), text=read_file(text_file), segment=read_segment(segment), **given
    )
    launched = _launch(house(), draft, idempotency_key)
    if not wait:
        _print_launched(launched, as_json=as_json)
        return
    click.echo(f"campaign {launched.campaign_id}: {launched.audience:,} recipients", err=True)
    over = _watch(house(), launched.campaign_id)
    click.echo(json.dumps(campaign_out(over).model_dump()) if as_json else _line(over))
    sys.exit(0 if over.row["status"] == "sent" else 1)


def read_file(path: Path | None) -> str | None:
    """The text of a file that an option names."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path} is not UTF-8.") from error


def read_segment(text: str | None) -> Any:
    """A rule tree if it begins like one, else a name."""
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"--segment is not JSON: {error}") from error


def _launch(parts: House, draft: Draft, key: str | None) -> Launched:
    try:
        return parts.launcher.launch(draft, idempotency_key=key)
    except Invalid as error:
        _fail(EX_DATAERR, [f"{found.field}: {found.message}" for found in error.errors])
    except NotReady as error:
        _fail(EX_CONFIG, [f"{found.field}: {found.message}" for found in error.blockers])
    except Conflict as error:
        _fail(EX_DATAERR, [str(error)])
    raise AssertionError("unreachable")


def _fail(status: int, lines: list[str]) -> None:
    click.echo("Nothing was sent:", err=True)
    for line in lines:
        click.echo(f"  {line}", err=True)
    sys.exit(status)


def _print_launched(launched: Launched, *, as_json: bool) -> None:
    if as_json:
        names = ("campaign_id", "status", "audience", "warnings")
        click.echo(json.dumps({name: getattr(launched, name) for name in names}))
        return
    click.echo(f"campaign {launched.campaign_id}: {launched.audience:,} recipients")
    for warning in launched.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not beats(house()):
        click.echo("No worker beats: it leaves as soon as one is started.", err=True)


def _watch(parts: House, campaign_id: int) -> Overview:
    """Print a line whenever something changed, until the campaign is over or stopped."""
    reader = CampaignReader(parts.db, parts.manager, parts.clock)
    shown = ""
    while True:
        now = reader.get(campaign_id)
        if now.row["status"] not in _UNDER_WAY:
            return now
        line = _line(now)
        if line != shown:
            click.echo(line, err=True)
            shown = line
        time.sleep(POLL_SECONDS)


def _line(now: Overview) -> str:
    row = now.row
    states = [
        f"{name.removeprefix('n_').replace('_', ' ')} {row[name]:,}"
        for name in row
        if str(name).startswith("n_") and row[name]
    ]
    waiting = [f"{w.esp} waits: {w.why}" for w in now.waiting]
    why = [row["status_reason"]] if row["status_reason"] else []
    return f"{row['status']}: " + "; ".join([", ".join(states), *why, *waiting])
