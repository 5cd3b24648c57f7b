"""`worker`: the work engine alone, beside a web process with WORKER=off."""

import click
from flask.cli import with_appcontext

from cli.tools import tools


@click.command()
@with_appcontext
def worker() -> None:
    """Run the work engine until SIGTERM or Ctrl-C; requests in flight end first. In sandbox it
    waits for the simulator."""
    tools().serve_worker()
