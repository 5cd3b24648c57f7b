"""`settings`: what is in force, without secrets, and everything that is wrong."""

import json
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from cli.tools import SettingsReport, tools

EX_CONFIG = 78  # sysexits.h


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_appcontext
def settings(as_json: bool) -> None:
    """Check the settings and print those in force; 78 when some cannot be used."""
    report = tools().settings_report()
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        _print(report)
    if report.problems:
        click.get_current_context().exit(EX_CONFIG)


def _print(report: SettingsReport) -> None:
    for name, value in report.values.items():
        click.echo(f"{name}={value}")
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    if report.ignored:
        click.echo(f"ignored in sandbox: {', '.join(report.ignored)}", err=True)
    for name, words in report.problems.items():
        click.echo(f"{name}: {words}", err=True)
