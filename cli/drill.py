"""`simulator drill`: a day in which one ESP after another breaks, played with real processes in a
few minutes, and an account of what the house made of it."""

import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from cli.drill_account import account
from cli.drill_day import FULL, SHORT
from cli.drill_play import Player
from cli.drill_report import Report, as_dict, lines, report
from cli.drill_stream import waves
from cli.stage import Stage, StageError

#: The day in about three minutes.
SPEED = 40.0
#: Messages in a real second: two cores carry them with room to spare.
RATE = 50.0
#: The longest lease that may be set: the clock runs fast, requests do not.
LEASE_SECONDS = 3600
ESPS = ("SENDGRID", "SES", "POSTMARK")


def settings(speed: float, since: float) -> dict[str, str]:
    """The stage's: three equal ESPs without limits, and a fast clock."""
    return {
        **{f"{esp}_DAILY_LIMIT": "none" for esp in ESPS},
        **{f"{esp}_PRIORITY": "1" for esp in ESPS},
        **{f"{esp}_TIMEOUT_SECONDS": "4" for esp in ESPS},
        **{f"{esp}_BATCH_SIZE": "5" for esp in ESPS},
        "TRANSACTIONAL_RESERVE_PERCENT": "0",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "DRILL_CLOCK": f"{speed:g}@{since:.3f}",
    }


@click.command()
@click.option("--speed", type=click.FloatRange(1, 240), default=SPEED, show_default=True,
              help="How many times as fast as a real day.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True,
              help="Who gets mail where, and the dice of the faults.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(5, 400), default=RATE, show_default=True,
              help="Messages in a real second.")  # fmt: skip
@click.option("--short", is_flag=True, help="Shorter faults: does everything work?")
@click.option("--folder", type=click.Path(path_type=Path),
              help="Where logs and databases are kept [default: a new one].")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
def drill(
    speed: float, seed: int, rate: float, short: bool, folder: Path | None, as_json: bool
) -> None:
    """Rehearse a bad day: hard outage, silent outage, slump, brown-out, webhook delay.

    Simulator, service and worker run on free loopback ports with a database of their own; nothing
    of yours is touched. Exit 0 if every fault was noticed, nobody was lost but in the silent
    outage, nobody was mailed twice, and `verify` is clean.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    script = SHORT if short else FULL
    real = script.day().seconds / speed
    campaigns = waves(rate, real)
    since = time.time()
    stage = Stage(folder or Path(tempfile.mkdtemp(prefix="email-drill-")), settings(speed, since))
    say = Narrator(time.monotonic(), quiet=as_json)
    try:
        say(f"Starting simulator, service and worker; everything is in {stage.folder}")
        stage.start()
        say(f"The day begins; {sum(campaigns.sizes)} messages in {real:.0f} real seconds at most")
        shown = Player(stage, speed, since, seed, say).play(script.day(), campaigns)
        played = account(stage, shown, speed, say)
    except StageError as error:
        raise click.ClickException(f"the drill could not go on: {error}") from None
    finally:
        stage.close()
    _tell(report(played, speed), as_json=as_json)


class Narrator:
    """Says what happens, with the real seconds since the start; to standard error when standard
    output is for a machine."""

    def __init__(self, began: float, *, quiet: bool) -> None:
        self._began, self._quiet = began, quiet

    def __call__(self, words: str) -> None:
        """One line."""
        click.echo(f"[{time.monotonic() - self._began:5.1f} s] {words}", err=self._quiet)


def _tell(told: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_dict(told), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(told)))
    sys.exit(0 if told.ok else 1)
