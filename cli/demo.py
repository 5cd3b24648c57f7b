"""`./setup.sh demo`: the main job for real, with an ESP that dies and a worker that is killed.

Everything happens between real processes over HTTP on loopback. The story ends with the service's
own ledger beside what the ESPs say they got, and fails unless the two agree.
"""

import argparse
import csv
import io
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.stage import Stage, StageError

PEOPLE = 6_000
#: Each ESP takes this many messages a second, so that there is time to watch and to break things.
RATE = 50
SETTINGS = {
    **{f"{esp}_RATE_PER_SECOND": str(RATE) for esp in ("SENDGRID", "SES", "POSTMARK")},
    **{f"{esp}_DAILY_LIMIT": "none" for esp in ("SENDGRID", "SES", "POSTMARK")},
    **{f"{esp}_PRIORITY": "1" for esp in ("SENDGRID", "SES", "POSTMARK")},
    **{f"{esp}_TIMEOUT_SECONDS": "4" for esp in ("SENDGRID", "SES", "POSTMARK")},
    "TRANSACTIONAL_RESERVE_PERCENT": "0",
    "LEASE_SECONDS": "10",
    "MAIL_FROM_NAME": "The Weekly",
}
#: The share of the campaign that has left when something happens to it.
ESP_DIES, WORKER_DIES, ESP_RETURNS = 0.10, 0.25, 0.35
LONGEST_SECONDS = 300.0

HTML = """<html><body>
<h1>Hello {{ first_name | default: "reader" }}</h1>
{% if plan == "pro" %}<p>Thank you for being a <b>pro</b> in {{ city }}.</p>
{% else %}<p>News from {{ city }}.</p>{% endif %}
<p><a href="https://example.com/issue/42?utm_source=weekly">Read the issue</a> ·
<a href="{{ view_url }}">in the browser</a></p>
<p>You get this because you signed up. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
</body></html>
"""
FIRST_NAMES = ("Ana", "Björn", "Chloé", "Dmitri", "Eoin", "Fatima", "Grace", "Hiroshi", "Ines")
LAST_NAMES = ("O'Neill", "García", "Müller", "Søndergaard", "Okafor", "Nguyen", "Rossi")
CITIES = ("Lisbon", "Zürich", "Kraków", "São Paulo", "Åarhus")
#: Decided by the recipient's local part (docs/simulator.md): one in so many, the rarest first. Few
#: bounce hard: an import orders by address, so they leave in a row, and ten would stop it all.
FATES = {2000: "complaint+", 1000: "hard+", 200: "soft+", 150: "block+", 70: "defer+", 10: "click+"}


class Narrator:
    """Prints what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._live = sys.stdout.isatty()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._erase()
        print(f"[{time.monotonic() - self._start:5.1f} s] {text}", flush=True)

    def show(self, text: str) -> None:
        """A line that the next one replaces on a terminal."""
        self._erase()
        print(f"[{time.monotonic() - self._start:5.1f} s] {text}",
              end="" if self._live else "\n", flush=True)  # fmt: skip

    def _erase(self) -> None:
        if self._live:
            print("\r\x1b[2K", end="")


def main() -> int:
    """Run the demo; 0 only if the ledger balances and nobody was mailed twice."""
    options = _options()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="email-demo-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    narrator = Narrator()
    stage = Stage(folder, SETTINGS)
    try:
        good = perform(stage, narrator, options.people)
        _next_steps(stage, serving=options.serve)
        if options.serve:
            _serve()
    except StageError as error:
        narrator.say(f"the demo could not go on: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        stage.close()
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./setup.sh demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep everything up at the end")
    parser.add_argument("--people", type=int, default=PEOPLE, help="size of the list")
    parser.add_argument("--folder", help="where the demo keeps its things (default: a new one)")
    return parser.parse_args()


def perform(stage: Stage, narrator: Narrator, people: int) -> bool:
    """The whole story; True if it ends well."""
    narrator.say(f"Starting simulator, service and worker; everything is in {stage.folder}")
    stage.start(simulator=("--engagement", "0.3"))
    narrator.say(f"Service at {stage.url}, three simulated ESPs at {stage.simulator_url}")
    _import(stage, narrator, people)
    campaign_id = _send(stage, narrator)
    _watch(stage, narrator, campaign_id)
    _settle(stage, narrator, campaign_id)
    return _account(stage, narrator, campaign_id)


# --- list and campaign --------------------------------------------------------------------------


def people_csv(count: int) -> bytes:
    """A list as it comes out of real life: other alphabets, apostrophes, repeated and bad rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["Email", "Name", "plan", "city", "tags"])
    writer.writerows(_rows(count))
    return out.getvalue().encode()


def _rows(count: int) -> Iterator[list[str]]:
    for number in range(count):
        fate = next((FATES[n] for n in FATES if number % n == n - 1), "")
        name = f"{FIRST_NAMES[number % 9]} {LAST_NAMES[number % 7]}"
        plan = "pro" if number % 3 == 0 else "free"
        yield [f"{fate}reader{number}@example.com", name, plan, CITIES[number % 5], "weekly"]
    yield ["READER1@EXAMPLE.COM", "Björn García", "free", "Zürich", "weekly"]  # one person, twice
    yield ["not an address", "Nobody", "free", "Nowhere", "weekly"]


def _import(stage: Stage, narrator: Narrator, people: int) -> None:
    answer = stage.call(
        "POST", "/subscribers/import?source=demo", people_csv(people), Content_Type="text/csv"
    )
    if answer.status != 200:
        raise StageError(f"the import answered {answer.status}: {answer.body}")
    counts = ", ".join(f"{answer.body[name]} {name}" for name in ("received", "added", "rejected"))
    narrator.say(f"Imported a CSV list over HTTP: {counts}")
    for error in answer.body["errors"][:3]:
        narrator.say(f"  row {error['row']}, {error['field']}: {error['message']}")


def _send(stage: Stage, narrator: Narrator) -> int:
    body = {
        "name": "Weekly 42", "subject": "{{ first_name | default: 'Hello' }}, your weekly",
        "html": HTML, "segment": "weekly",
    }  # fmt: skip
    answer = stage.call("POST", "/send-campaign", body, Idempotency_Key="demo-42")
    if answer.status != 202:
        raise StageError(f"/send-campaign answered {answer.status}: {answer.body}")
    again = stage.call("POST", "/send-campaign", body, Idempotency_Key="demo-42")
    if again.body["campaign_id"] != answer.body["campaign_id"]:
        raise StageError("the same Idempotency-Key started a second campaign")
    narrator.say(f"Sent one personalised campaign to {answer.body['audience']} people")
    return int(answer.body["campaign_id"])


# --- the story ----------------------------------------------------------------------------------


def _watch(stage: Stage, narrator: Narrator, campaign_id: int) -> None:
    """Follow the campaign and make trouble on the way."""
    troubles = _troubles(stage, narrator)
    at = next(troubles)
    states: dict[str, str] = {}
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        campaign = stage.campaign(campaign_id)
        left = campaign["audience"] - campaign["ledger"]["queued"] - campaign["ledger"]["sending"]
        _tell_switches(stage, narrator, states)
        narrator.show(_progress(campaign, left))
        if campaign["phase"] != "building" and left >= at * campaign["audience"]:
            at = next(troubles)
        if campaign["status"] in {"sent", "failed"}:
            narrator.say(f"The campaign is {campaign['status']}")
            return
        time.sleep(1)
    raise StageError(f"the campaign did not end in {LONGEST_SECONDS:.0f} s")


def _troubles(stage: Stage, narrator: Narrator) -> Iterator[float]:
    """Yields the share of the campaign at which the next thing happens."""
    yield ESP_DIES
    stage.fault("sendgrid", "error_503")
    narrator.say("⚡ SendGrid fails from now on: every request is answered with 503")
    yield WORKER_DIES
    stage.actors["worker"].kill()
    narrator.say("⚡ kill -9 of the worker in the middle of its batches")
    time.sleep(1)
    stage.start_worker()
    narrator.say("  a new worker starts; leases of the old one run out within 10 s")
    yield ESP_RETURNS
    stage.heal()
    narrator.say("  SendGrid works again; its breaker lets probes through, then closes")
    yield float("inf")


def _tell_switches(stage: Stage, narrator: Narrator, states: dict[str, str]) -> None:
    """Say when an ESP is taken out or in again."""
    for esp in stage.call("GET", "/esp-status").body["esps"]:
        name, state = esp["name"], esp["state"]
        if states.get(name, "closed") != state:
            narrator.say(f"  {name} {_SWITCHES[state]}; {esp['why_not'] or 'it takes mail'}")
        states[name] = state


_SWITCHES = {
    "open": "is left alone",
    "half_open": "is tried again, one message at a time",
    "ramp": "comes back: a tenth of the mail at first",
    "closed": "has its whole share again",
}


def _progress(campaign: dict[str, Any], left: int) -> str:
    share = left / max(1, campaign["audience"])
    bar = "█" * round(share * 20)
    esps = "  ".join(
        f"{name} {sum(row.values())}" for name, row in sorted(campaign["by_esp"].items())
    )
    doubt = campaign["ledger"]["in_doubt"]
    return f"{bar:░<20} {left:5d}/{campaign['audience']}  {esps}" + (
        f"  in doubt {doubt}" if doubt else ""
    )


def _settle(stage: Stage, narrator: Narrator, campaign_id: int) -> None:
    """Wait until the ESPs have told everything they know."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pending = sum(stage.simulator("GET", "/_webhooks").body["pending"].values())
        campaign = stage.campaign(campaign_id)
        doubt = campaign["ledger"]["in_doubt"]
        narrator.show(f"Webhooks flow in: {pending} to come, {doubt} sends in doubt")
        if not pending:
            narrator.say("All webhooks are in")
            return
        time.sleep(1)
    narrator.say("Some webhooks are still to come")


# --- the account --------------------------------------------------------------------------------


def _account(stage: Stage, narrator: Narrator, campaign_id: int) -> bool:
    campaign = stage.campaign(campaign_id)
    copies = Counter(message["send_id"] for message in stage.ledger_of_simulator())
    narrator.say("The ledger, by status:")
    for status, count in campaign["ledger"].items():
        if count:
            print(f"    {status:<12}{count:6d}")
    print(f"    {'audience':<12}{campaign['audience']:6d}   balanced: {campaign['balanced']}")
    narrator.say("By ESP:")
    for esp, row in sorted(campaign["by_esp"].items()):
        states = ", ".join(f"{count} {name}" for name, count in row.items() if count)
        print(f"    {esp:<12}{sum(row.values()):6d}   {states}")
    opens, clicks = campaign["engagement"]["opens"], campaign["engagement"]["clicks"]
    machines = opens["machine"] + opens["privacy"]
    print(
        f"    opens: {opens['human']} human, {machines} machine · clicks: {clicks['human']} human"
    )
    verified = stage.run("verify")
    checks = {
        "the ledger balances": campaign["balanced"],
        "nobody was mailed twice (by the ESPs' own count)": max(copies.values(), default=0) <= 1,
        "nobody is missing": _settled(campaign) == campaign["audience"],
        "`verify` finds every promise kept": verified.returncode == 0,
    }
    for check, holds in checks.items():
        print(f"    {'✔' if holds else '✘'} {check}")
    if verified.returncode:
        print(verified.stdout[-3000:], verified.stderr[-2000:])
    return all(checks.values())


def _settled(campaign: dict[str, Any]) -> int:
    return sum(
        count for state, count in campaign["ledger"].items() if state not in {"queued", "sending"}
    )


def _next_steps(stage: Stage, *, serving: bool) -> None:
    if serving:
        key = f"-H 'Authorization: Bearer {stage.api_key}'"
        print(f"\nIt stays up. Look at it:\n  curl {key} {stage.url}/campaigns/1\n"
              f"  curl {key} '{stage.url}/sandbox/messages?to=reader1@example.com'\n"
              f"  curl {key} {stage.url}/esp-status\nStop with Ctrl-C.")  # fmt: skip
        return
    print("\nTry next:")
    print("  ./setup.sh demo --serve   # the same, and it stays up to look at")
    print("  ./setup.sh run            # your own sandbox: nothing leaves this machine")


def _serve() -> None:
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
