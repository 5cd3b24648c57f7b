"""`simulator`: SendGrid, Amazon SES and Postmark on loopback, for any program that uses them."""

import click
from flask.cli import with_appcontext

from cli.drill import drill
from cli.tools import tools


@click.group(invoke_without_command=True)
@click.pass_context
def simulator(context: click.Context) -> None:
    """The simulator of all three ESPs; without a subcommand it is served on its usual port."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@simulator.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", default=5001, show_default=True, help="0 takes a free port.")
@click.option("--db", "database", default="data/simulator.db", show_default=True,
              help="Delivery log, outbox and keys.")  # fmt: skip
@click.option("--webhook-target", help="Where events go, as http://127.0.0.1:5000")
@click.option("--engagement", type=float, help="Share of delivered mail that is read.")
@click.option("--parent-pid", type=int, help="Exit when this process is gone.")
@with_appcontext
def serve(
    host: str, port: int, database: str, webhook_target: str | None, engagement: float | None,
    parent_pid: int | None,
) -> None:  # fmt: skip
    """Serve in the foreground until Ctrl-C."""
    try:
        status = tools().serve_simulator(
            database, host, port, webhook_target, engagement, parent_pid
        )
    except (ValueError, OSError) as problem:
        raise click.ClickException(str(problem)) from None
    click.get_current_context().exit(status)


simulator.add_command(drill)
