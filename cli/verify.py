"""`flask verify`: does this database keep every promise that a database can show?"""

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext

from cli.heartbeat import beats
from database.audit import ELSEWHERE, Facts, Finding, Report, audit
from web.context import House, house

#: The longest lease that the settings allow: what was handed over later than this after midnight
#: was certainly claimed, and so counted, on the same day.
LONGEST_LEASE_SECONDS = 3600.0


@click.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@with_appcontext
def verify(as_json: bool) -> None:
    """Check every promise that the database can show; exit 1 with the evidence if one is broken.

    Reads only; may run while the service works."""
    began = time.monotonic()
    report = audit(house().db, facts_of(house()))
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(as_dict(report), indent=2, default=str))
    else:
        _print(report, seconds)
    sys.exit(0 if report.ok else 1)


def facts_of(parts: House) -> Facts:
    """What the audit must be told."""
    return Facts(
        now=parts.clock(),
        mode=parts.settings.mode,
        lease_seconds=LONGEST_LEASE_SECONDS,
        worker_beats=beats(parts),
        daily_limits={name: its.limits.daily for name, its in parts.manager.policies.items()},
    )


def as_dict(report: Report) -> dict[str, Any]:
    """The report for machines."""
    return {
        "ok": report.ok,
        "checks": [{"ok": finding.ok, **asdict(finding)} for finding in report.findings],
        "not_auditable_here": [item._asdict() for item in ELSEWHERE],
    }


def _print(report: Report, seconds: float) -> None:
    for finding in report.findings:
        _print_finding(finding)
    broken = [finding.name for finding in report.findings if not finding.ok]
    click.echo("\nNot auditable here, because no database shows it:")
    for item in ELSEWHERE:
        click.echo(f"  promise {item.promise}: {item.sentence} See {item.proven_by}")
    asked = sum(not finding.skipped for finding in report.findings)
    click.echo(f"\n{asked} checks in {seconds:.1f} s: ", nl=False)
    click.echo(f"BROKEN: {', '.join(broken)}" if broken else "every promise asked about holds.")


def _print_finding(finding: Finding) -> None:
    word = "skip" if finding.skipped else "ok" if finding.ok else "FAIL"
    whose = "house" if finding.promise == "house" else f"promise {finding.promise}"
    about = finding.skipped or f"{finding.looked_at:,} rows"
    click.echo(f"{word:>4}  {finding.name} ({whose}; {about}): {finding.sentence}")
    if not finding.ok:
        click.echo(f"      {finding.violations:,} violations, for example:")
    for piece in finding.evidence:
        click.echo(f"      {json.dumps(piece, default=str)}")
