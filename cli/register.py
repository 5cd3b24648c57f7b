"""The list of commands. Each file of this folder holds one group."""

from functools import wraps
from typing import Any

import click
from flask import Flask

from cli.backup import backup, restore
from cli.campaign import campaign
from cli.db import db
from cli.imports import export_subscribers, import_subscribers, imports
from cli.migrate_json import migrate_json
from cli.openapi import openapi
from cli.promote import promote_sandbox
from cli.segments import segment
from cli.send import send
from cli.settings import settings
from cli.simulator import simulator
from cli.tools import Tools
from cli.verify import verify
from cli.worker import worker
from database.engine import DatabaseUnavailable

COMMANDS: tuple[click.Command, ...] = (
    backup, campaign, db, export_subscribers, import_subscribers, imports, migrate_json, openapi,
    promote_sandbox, restore, segment, send, settings, simulator, verify, worker,
)  # fmt: skip


class Unavailable(click.ClickException):
    """Something of the machine stands in the way."""

    exit_code = 69  # sysexits.h


def telling(command: click.Command) -> click.Command:
    """The same command, which says in a sentence that database or queue cannot be used."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            telling(inner)
    elif command.callback is not None:
        command.callback = _telling(command.callback)
    return command


def _telling(act: Any) -> Any:
    @wraps(act)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return act(*args, **kwargs)
        except DatabaseUnavailable as error:
            raise Unavailable(f"the database cannot be used: {error}") from error

    return told


def register(app: Flask, tools: Tools) -> None:
    """Add every command to the application."""
    app.extensions["tools"] = tools
    for command in COMMANDS:
        app.cli.add_command(telling(command))
