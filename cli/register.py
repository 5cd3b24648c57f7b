"""The list of commands. Each file of this folder holds one group."""

import click
from flask import Flask

from cli.db import db
from cli.openapi import openapi
from cli.promote import promote_sandbox
from cli.send import send
from cli.settings import settings
from cli.simulator import simulator
from cli.tools import Tools
from cli.verify import verify
from cli.worker import worker

COMMANDS: tuple[click.Command, ...] = (
    db, openapi, promote_sandbox, send, settings, simulator, verify, worker,
)  # fmt: skip


def register(app: Flask, tools: Tools) -> None:
    """Add every command to the application."""
    app.extensions["tools"] = tools
    for command in COMMANDS:
        app.cli.add_command(command)
