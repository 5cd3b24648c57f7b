"""`openapi`: print the description of the API; needs no settings and no database."""

import json
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext


@click.command()
@click.option("--indent", type=click.IntRange(0, 8), default=2, help="0 for one line.")
@with_appcontext
def openapi(indent: int) -> None:
    """Print the OpenAPI 3.1 description, as /openapi.json serves it."""
    spec: dict[str, Any] = current_app.api_doc  # type: ignore[attr-defined]
    click.echo(json.dumps(spec, indent=indent or None, ensure_ascii=False))
