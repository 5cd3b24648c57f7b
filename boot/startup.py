"""What must be so before this process works: settings that can be used, and a database they fit."""

import hashlib
import json
import sys
from pathlib import Path
from typing import NoReturn

import click
import sqlalchemy as sa

from config.settings import EX_CONFIG, Settings, SettingsError, load
from database import campaigns, migrate
from database import esp_performance as performance
from database.audience import ensure_field_indexes
from database.engine import Database
from database.segments import SavedSegments, SegmentError
from utils import logs

DOTENV = Path(".env")
SAVED_SEGMENTS = Path(__file__).parent.parent / "config" / "segments.json"


class StartRefused(Exception):
    """This process and this database do not go together; the text says what to do."""


def is_command() -> bool:
    """Whether Flask's command line builds the application for a command, and not to serve it."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name != "run"


def read_settings() -> Settings:
    """What the environment and `.env` say. Raises SettingsError."""
    return load(None, DOTENV, after_flask=is_command())


def in_force() -> Settings:
    """The same, with the log set up; or exit with every mistake."""
    try:
        settings = read_settings()
    except SettingsError as error:
        leave(EX_CONFIG, f"These settings cannot be used:\n{error}")
    logs.configure(settings.service.log_format, settings.secret_values)
    return settings


def leave(status: int, words: str) -> NoReturn:
    """Exit with a sentence."""
    sys.stderr.write(f"{words}\n")
    sys.exit(status)


def prepare(settings: Settings, clock: float) -> Path | None:
    """Upgrade a SQLite file, then check it. Returns the copy that was kept. PostgreSQL is upgraded
    by hand (`db upgrade`), since other hosts may still run the older version."""
    db = Database(settings.database_url)
    try:
        copy = migrate.upgrade(db) if db.is_sqlite else None
        guard(settings, db, clock)
    finally:
        db.dispose()
    return copy


def checked(settings: Settings, clock: float) -> Settings:
    """The settings, once the database is known to fit them. Raises StartRefused."""
    db = Database(settings.database_url)
    try:
        guard(settings, db, clock)
    finally:
        db.dispose()
    return settings


def guard(settings: Settings, db: Database, clock: float) -> None:
    """Refuse another mode's campaigns and another erasure key (an empty database has neither), and
    segments that cannot be read; then make the indexes of the fields that they declare."""
    if migrate.current(db) is None:
        return
    with db.read() as connection:
        others = campaigns.of_other_mode(connection, settings.mode)
    if others:
        raise StartRefused(_other_mode(settings, others))
    db.transact(lambda connection: _check_erasure_key(connection, settings, clock))
    saved = saved_segments()
    if migrate.is_current(db):
        ensure_field_indexes(db, saved.fields)


def saved_segments() -> SavedSegments:
    """The segments of config/segments.json; none when there is no such file."""
    if not SAVED_SEGMENTS.is_file():
        return SavedSegments()
    try:
        return SavedSegments(json.loads(SAVED_SEGMENTS.read_text(encoding="utf-8")))
    except SegmentError as error:
        raise StartRefused(f"config/segments.json: {error}") from None
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise StartRefused("config/segments.json: is not a JSON object in UTF-8") from None


def _other_mode(settings: Settings, others: int) -> str:
    found = f"the database holds {others} campaign{'s' if others > 1 else ''} of the other mode"
    if settings.is_sandbox:
        advice = "Take another DATABASE_URL for the sandbox, or set MODE=live."
    else:
        advice = (
            "`./setup.sh promote-sandbox` keeps people and consent and drops what was simulated; "
            "or take another DATABASE_URL."
        )
    return f"MODE={settings.mode}, but {found}. {advice}"


def _check_erasure_key(connection: sa.Connection, settings: Settings, clock: float) -> None:
    mine = fingerprint(settings.erasure_key)
    performance.add_state(connection, "instance", "keys", {"erasure": mine}, clock)
    stored = performance.get_state(connection, "instance", "keys") or {}
    if stored.get("erasure") != mine:
        raise StartRefused(
            "ERASURE_KEY is not the one this database was made with: erased people would no longer "
            "be recognised. Put the former key back; it is never rotated."
        )


def fingerprint(key: str) -> str:
    """Tells keys apart without telling the key."""
    return hashlib.sha256(b"erasure-key:" + key.encode()).hexdigest()[:32]


def welcome(settings: Settings) -> str:
    """What a person reads once everything runs."""
    address = f"http://{settings.local_address}"
    lines = [*(f"warning: {warning}" for warning in settings.warnings)]
    if settings.ignored:
        lines.append(f"Ignored in sandbox: {', '.join(settings.ignored)}")
    if settings.is_sandbox:
        lines.append(
            f"Mode: sandbox. Nothing leaves this machine; simulator {settings.simulator_url}"
        )
    else:
        lines.append("Mode: live. Mail is really sent.")
        lines += [f"No campaign can start yet: {blocker}" for blocker in settings.not_ready]
        lines += [f"warning: {warning}" for warning in settings.unheard.values()]
    lines += [
        f"Address: {address}  (the API: {address}/docs)",
        f'Try: curl -s -H "Authorization: Bearer {settings.key_in_shell}" {address}/esp-status',
        "Stop: Ctrl-C",
    ]
    return "\n".join(lines)
