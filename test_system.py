"""`python3 test_system.py`: walks every component against the simulator, as a readable checklist.

Real processes over HTTP on loopback, on a stage of its own; reads no `.env` and needs no key.
"""

from boot.rerun import in_venv

if __name__ == "__main__":
    in_venv(__file__)

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.stage import Answer, Stage, StageError

ESPS = ("sendgrid", "ses", "postmark")
TABLES = "subscribers campaigns sends bounces complaints engagement esp_performance"
SETTINGS = {
    **{f"{esp.upper()}_DAILY_LIMIT": "none" for esp in ESPS},
    **{f"{esp.upper()}_TIMEOUT_SECONDS": "2" for esp in ESPS},
    "LEASE_SECONDS": "8",
}
HTML = (
    "<p>Hello {{ first_name | default: 'you' }}, you are on the {{ plan }} plan.</p>"
    "<p><a href='https://example.com/offer?plan={{ plan }}'>Offer</a></p>"
)
PEOPLE = (
    "email,name,plan,tags\n"
    "ana@example.com,Ana Lima,pro,beta\n"
    "bob@example.com,Bob O'Neill,free,\n"
    "hard+cyd@example.com,Cyd,free,\n"
    "complaint+dee@example.com,Dee,pro,\n"
    "ANA@EXAMPLE.COM,Ana Lima,pro,beta\n"
    "nonsense,Nobody,free,\n"
)


class Failed(Exception):
    """A check did not hold; the text says what was found instead."""


def expect(holds: object, found: object) -> None:
    """Fail with what was found unless the check holds."""
    if not holds:
        raise Failed(str(found))


def until(done: Callable[[], Any], seconds: float = 30) -> Any:
    """What `done` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := done():
            return result
        time.sleep(0.1)
    raise Failed(f"nothing within {seconds:.0f} s")


class Walk:
    """The checks, in an order in which each may build on those before."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.first = 0  #: the first campaign

    def settings_are_complete_and_hide_secrets(self) -> str:
        answer = self.stage.run("settings")
        expect(answer.returncode == 0, answer.stderr)
        expect(self.stage.api_key not in answer.stdout, "a secret is shown")
        return "every setting is known; secrets are masked"

    def mistakes_in_settings_are_reported_together(self) -> str:
        broken = Stage(self.stage.folder / "broken", {"PORT": "http", "LEASE_SECONDS": "soon"})
        answer = broken.run("settings")
        words = answer.stdout + answer.stderr
        expect(answer.returncode == 78, f"exit {answer.returncode}")
        expect("PORT" in words and "LEASE_SECONDS" in words, words)
        return "two mistakes, both named, exit 78"

    def the_simulator_stands_in_for_three_esps(self) -> str:
        self.stage.start_simulator()
        keys = self.stage.simulator("GET", "/_keys").body
        expect(set(ESPS) <= set(keys), keys)
        return f"SendGrid, SES and Postmark at {self.stage.simulator_url}"

    def the_service_starts(self) -> str:
        self.stage.start_web()
        self.stage.start_worker()
        ready = until(lambda: self._ok("GET", "/ready"))
        return f"{self.stage.url}, {ready.headers.get('x-mode')} mode"

    def the_database_has_seven_tables(self) -> str:
        answer = self.stage.run("db", "current")
        expect(answer.returncode == 0, answer.stderr)
        return f"{answer.stdout.strip()}: {TABLES}"

    def the_api_wants_a_key(self) -> str:
        answer = self.stage.call("GET", "/campaigns", Authorization="Bearer wrong")
        expect(answer.status == 401, answer)
        return "401 without one, problem+json"

    def the_api_documents_itself(self) -> str:
        answer = self._ok("GET", "/openapi.json")
        expect(answer and answer.body["openapi"].startswith("3.1"), answer)
        return f"{len(answer.body['paths'])} paths in /openapi.json" if answer else ""

    def a_list_is_imported(self) -> str:
        answer = self.stage.call(
            "POST", "/subscribers/import", PEOPLE.encode(), Content_Type="text/csv"
        )
        expect(answer.status == 200, answer.body)
        counts = answer.body
        expect((counts["added"], counts["rejected"]) == (4, 1), counts)
        return "4 people, one of them twice, one bad row named"

    def an_opt_out_survives_an_import(self) -> str:
        self._done("POST", "/subscribers/bob@example.com/unsubscribe", {"reason": "by phone"})
        self.stage.call("POST", "/subscribers/import", PEOPLE.encode(), Content_Type="text/csv")
        person = self._done("GET", "/subscribers/bob@example.com")
        expect(person["status"] == "unsubscribed", person)
        self._done("POST", "/subscribers/bob@example.com/resubscribe", {"reason": "asked again"})
        return "only an explicit act lifts it"

    def missing_variables_are_refused_before_sending(self) -> str:
        body = {"subject": "x", "html": "<p>{{ shoe_size }}</p>"}
        answer = self.stage.call("POST", "/send-campaign", body)
        expect(answer.status == 422, answer.body)
        expect("shoe_size" in str(answer.body), answer.body)
        return "422 names the variable and how many lack it"

    def a_campaign_leaves_through_each_esp(self) -> str:
        for esp in ESPS:
            campaign = self._campaign({"subject": f"Through {esp}", "esp": esp})
            self.first = self.first or campaign["id"]
            expect(set(campaign["by_esp"]) == {esp}, campaign["by_esp"])
            if esp == ESPS[0]:
                continue
            expect(campaign["balanced"], campaign["ledger"])
        return "by their real SDKs, balanced"

    def messages_are_personal_and_can_be_unsubscribed(self) -> str:
        items = self._done("GET", "/sandbox/messages?to=ana@example.com")["items"]
        message = next(item for item in items if item["subject"] == "Through sendgrid")
        expect("Hello Ana, you are on the pro plan" in message["html"], message["html"])
        headers = {name.lower(): value for name, value in _pairs(message["headers"])}
        expect("list-unsubscribe" in headers, headers)
        expect(headers.get("list-unsubscribe-post") == "List-Unsubscribe=One-Click", headers)
        return "greeting, List-Unsubscribe, one-click"

    def webhooks_reach_the_ledger(self) -> str:
        campaign = until(lambda: self._with("delivered", "bounced", "complained"))
        expect(campaign["balanced"], campaign["ledger"])
        return ", ".join(f"{n} {state}" for state, n in campaign["ledger"].items() if n)

    def bounces_and_complaints_suppress(self) -> str:
        for email, status in (("hard%2Bcyd", "bounced"), ("complaint%2Bdee", "complained")):
            person = self._done("GET", f"/subscribers/{email}@example.com")
            expect(person["status"] == status, person)
        return "hard bounce and complaint are never mailed again"

    def a_get_never_unsubscribes_and_a_post_does(self) -> str:
        items = self._done("GET", "/sandbox/messages?to=bob@example.com")["items"]
        url = dict(_pairs(items[0]["headers"]))["List-Unsubscribe"].split(">")[0].strip("<")
        path = url.removeprefix(self.stage.url)
        self.stage.call("GET", path)
        person = self._done("GET", "/subscribers/bob@example.com")
        expect(person["status"] == "active", person)
        self.stage.call(
            "POST", path, b"List-Unsubscribe=One-Click",
            Content_Type="application/x-www-form-urlencoded",
        )  # fmt: skip
        person = self._done("GET", "/subscribers/bob@example.com")
        expect(person["status"] == "unsubscribed", person)
        return "RFC 8058"

    def a_broken_esp_is_passed_over(self) -> str:
        self.stage.fault("sendgrid", "error_503")
        campaign = self._campaign({"subject": "Failover", "segment": "beta"})
        self.stage.heal()
        expect(ESPS[1] in campaign["by_esp"], campaign["by_esp"])
        return "503 at the first, the message left through the second"

    def an_ambiguous_answer_is_not_resent(self) -> str:
        esp = ESPS[0]
        self.stage.simulator("PATCH", "/_webhooks", {"paused": True})
        self.stage.fault(esp, "accepted_500", count=1)
        campaign = self._campaign({"subject": "Doubt", "segment": "beta", "esp": esp})
        expect(campaign["ledger"]["in_doubt"] == 1, campaign["ledger"])
        taken = self._done("GET", f"/sandbox/messages?to=ana@example.com&esp={esp}")["items"]
        copies = [message for message in taken if message["subject"] == "Doubt"]
        expect(len(copies) == 1, copies)
        self.stage.simulator("PATCH", "/_webhooks", {"paused": False})
        until(lambda: not self.stage.campaign(campaign["id"])["ledger"]["in_doubt"])
        return "one copy, in doubt, settled by its webhook"

    def esp_status_explains_itself(self) -> str:
        esps = self._done("GET", "/esp-status")["esps"]
        expect([esp["name"] for esp in esps] == list(ESPS), esps)
        return ", ".join(f"{esp['name']} {esp['state']}" for esp in esps)

    def every_promise_holds(self) -> str:
        answer = self.stage.run("verify")
        expect(answer.returncode == 0, answer.stdout + answer.stderr)
        return "`./setup.sh verify` finds nothing wrong"

    def everything_stops_cleanly(self) -> str:
        codes = {actor.name: actor.stop() for actor in reversed(list(self.stage.actors.values()))}
        expect(set(codes.values()) == {0}, codes)
        return ", ".join(codes)

    # --- steps that several checks take ----------------------------------------------------------

    def _campaign(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.stage.call("POST", "/send-campaign", {"html": HTML} | body)
        expect(answer.status == 202, answer.body)
        campaign_id = answer.body["campaign_id"]

        def over() -> dict[str, Any] | None:
            campaign = self.stage.campaign(campaign_id)
            return campaign if campaign["status"] in {"sent", "failed"} else None

        return dict(until(over))

    def _with(self, *states: str) -> dict[str, Any] | None:
        campaign = self.stage.campaign(self.first)
        return campaign if all(campaign["ledger"][state] for state in states) else None

    def _ok(self, method: str, path: str) -> Answer | None:
        answer = self.stage.call(method, path)
        return answer if answer.status == 200 else None

    def _done(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.stage.call(method, path, body)
        expect(answer.status in {200, 201, 202}, f"{method} {path}: {answer.status} {answer.body}")
        return answer.body


CHECKS = (
    Walk.settings_are_complete_and_hide_secrets,
    Walk.mistakes_in_settings_are_reported_together,
    Walk.the_simulator_stands_in_for_three_esps,
    Walk.the_service_starts,
    Walk.the_database_has_seven_tables,
    Walk.the_api_wants_a_key,
    Walk.the_api_documents_itself,
    Walk.a_list_is_imported,
    Walk.an_opt_out_survives_an_import,
    Walk.missing_variables_are_refused_before_sending,
    Walk.a_campaign_leaves_through_each_esp,
    Walk.messages_are_personal_and_can_be_unsubscribed,
    Walk.webhooks_reach_the_ledger,
    Walk.bounces_and_complaints_suppress,
    Walk.a_get_never_unsubscribes_and_a_post_does,
    Walk.a_broken_esp_is_passed_over,
    Walk.an_ambiguous_answer_is_not_resent,
    Walk.esp_status_explains_itself,
    Walk.every_promise_holds,
    Walk.everything_stops_cleanly,
)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Headers as pairs, whichever of the usual JSON shapes they have."""
    if isinstance(headers, dict):
        return list(headers.items())
    return [(h["name"], h["value"]) if isinstance(h, dict) else (h[0], h[1]) for h in headers]


def main() -> int:
    """Take every step; 0 if all hold. After a failure the logs stay."""
    folder = Path(tempfile.mkdtemp(prefix="test-system-"))
    stage = Stage(folder, SETTINGS)
    walk = Walk(stage)
    bad = 0
    try:
        for check in CHECKS:
            title = check.__name__.replace("_", " ")
            try:
                print(f"✔ {title}: {check(walk)}", flush=True)
            except (Failed, StageError, OSError, KeyError, StopIteration) as error:
                bad += 1
                print(f"✘ {title}: {type(error).__name__}: {error}", flush=True)
    finally:
        stage.close()
    if bad:
        print(f"\nThe logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(CHECKS) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
