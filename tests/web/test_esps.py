"""ESPs over HTTP: how each stands, and an operator's pause that holds everywhere."""

from collections.abc import Iterator

import pytest

from database import migrate
from database.engine import Database
from database.events import note_heard
from services.esp import Misconfigured, Suspended, Throttled
from services.quota import Limits
from tests import house as homes
from tests.served import READ, Caller, app_of, house_of

SHAPE = {
    "name", "configured", "eligible", "why_not", "until", "paused_by", "state", "priority",
    "weight", "reputation", "band", "alert", "left_alone", "daily_limit", "limit_source",
    "sent_today", "remaining_today",
    "resets_at", "rate_per_second", "account", "warmup", "events", "last_24h", "last_error",
    "next_probe_at",
}  # fmt: skip


class Served:
    """A house with ten people; Postmark is not configured."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        migrate.upgrade(self.database)
        self.home = homes.enter(self.database, limits={"sendgrid": Limits(100, 20, 10)})
        del self.home.manager.esps["postmark"], self.home.manager.policies["postmark"]
        self.home.add_people(10)
        self.app = app_of(house_of(self.home))
        self.api = Caller(self.app.test_client())

    def esp(self, name: str) -> dict[str, object]:
        found = {esp["name"]: esp for esp in self.api.get("/esp-status").json["esps"]}
        esp: dict[str, object] = found[name]
        return esp


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.database.dispose()


def test_every_esp_is_shown_configured_or_not(served: Served) -> None:
    campaign = served.home.launch()
    served.home.drain(campaign)
    with served.database.write() as connection:
        note_heard(connection, "sendgrid", 3, served.home.clock())
    answer = served.api.get("/esp-status").json

    assert answer["mode"] == "sandbox"
    assert [esp["name"] for esp in answer["esps"]] == list(homes.NAMES)
    assert all(set(esp) == SHAPE for esp in answer["esps"])
    sendgrid = served.esp("sendgrid")
    assert (sendgrid["configured"], sendgrid["eligible"], sendgrid["why_not"]) == (True, True, None)
    assert (sendgrid["sent_today"], sendgrid["remaining_today"]) == (10, 90)
    assert (sendgrid["daily_limit"], sendgrid["limit_source"]) == (100, "settings")
    assert sendgrid["rate_per_second"] == 20
    assert str(sendgrid["resets_at"]).endswith("T00:00:00.000Z")
    assert sendgrid["events"] == {
        "last_at": sendgrid["events"]["last_at"],  # type: ignore[index]
        "last_24h": 3, "refused_24h": 0, "feedback": "none",
    }  # fmt: skip
    ses, postmark = served.esp("ses"), served.esp("postmark")
    assert (ses["daily_limit"], ses["remaining_today"], ses["limit_source"]) == (None, None, None)
    assert (postmark["configured"], postmark["eligible"]) == (False, False)
    assert postmark["why_not"] == "not configured"
    assert postmark["priority"] is None


def test_a_broken_esp_says_what_is_wrong_and_when_it_is_tried_again(served: Served) -> None:
    served.home.esps["sendgrid"].answers = [homes.all_get(Misconfigured("bad key", code="401"))]
    campaign = served.home.launch()
    served.home.drain(campaign)
    sendgrid = served.esp("sendgrid")

    assert sendgrid["state"] == "open"
    assert sendgrid["why_not"] == "api breaker open: 401: bad key"
    assert sendgrid["until"] == sendgrid["next_probe_at"]
    assert sendgrid["last_error"]["message"] == "401: bad key"  # type: ignore[index]
    log = served.api.get("/esps/sendgrid/log").json["items"]
    assert log[0]["what"] == "open"
    assert log[0]["why"] == "api breaker: 401: bad key"


def test_a_paused_esp_gets_nothing_in_any_process(served: Served) -> None:
    answer = served.api.post("/esps/sendgrid/pause", {"reason": "invoice dispute"})
    other = homes.enter(Database(str(served.database.url.render_as_string(False))))
    campaign = other.launch()
    other.drain(campaign)

    assert answer.status_code == 200
    assert answer.json["why_not"] == "paused: invoice dispute"
    assert answer.json["paused_by"] == "ops"
    assert other.esps["sendgrid"].taken == []
    assert len(other.esps["ses"].taken) == 10
    resumed = served.api.post("/esps/sendgrid/resume").json
    assert (resumed["eligible"], resumed["paused_by"]) == (True, None)
    log = [
        (line["what"], line["why"]) for line in served.api.get("/esps/sendgrid/log").json["items"]
    ]
    assert log == [("resumed", "pause lifted by ops"), ("paused", "by ops: invoice dispute")]
    other.db.dispose()


def test_a_pause_may_end_by_itself(served: Served) -> None:
    paused = served.api.post("/esps/ses/pause", {"reason": "x", "until": "2100-01-01T00:00:00Z"})
    assert paused.json["until"] == "2100-01-01T00:00:00.000Z"
    served.home.clock.forward(80 * 366 * 86400)

    assert served.esp("ses")["eligible"] is True
    assert served.esp("ses")["paused_by"] is None


def test_resume_lifts_a_suspension_with_a_line_that_names_the_actor(served: Served) -> None:
    served.home.esps["sendgrid"].answers = [homes.all_get(Suspended("under review"))]
    campaign = served.home.launch()
    served.home.drain(campaign)
    assert served.esp("sendgrid")["why_not"] == "suspended by the ESP: under review"

    answer = served.api.post("/esps/sendgrid/resume", {"reason": "they wrote it is over"})

    assert answer.json["eligible"] is True
    line = served.api.get("/esps/sendgrid/log").json["items"][0]
    assert line["why"] == "suspension lifted by ops: they wrote it is over"


def test_resume_ends_the_wait_for_a_quota_that_was_raised(served: Served) -> None:
    spent = Throttled("no credits left", quota_spent=True)
    served.home.esps["sendgrid"].answers = [homes.all_get(spent)]
    served.home.drain(served.home.launch(esp="sendgrid"), seconds=0.5)
    assert served.esp("sendgrid")["why_not"] == "throttled: no credits left"

    assert served.api.post("/esps/sendgrid/resume").json["eligible"] is True

    line = served.api.get("/esps/sendgrid/log").json["items"][0]
    assert line["why"] == "pause after 429 lifted by ops"


def test_an_operator_changes_how_an_esp_is_used_while_everything_runs(served: Served) -> None:
    changed = served.api.patch("/esps/ses", {"priority": 1, "weight": 3, "rate_per_second": 7.5})
    assert (changed.json["priority"], changed.json["weight"]) == (1, 3)
    assert changed.json["rate_per_second"] == 7.5
    limited = served.api.patch("/esps/sendgrid", {"daily_limit": 4}).json
    assert (limited["daily_limit"], limited["remaining_today"]) == (4, 4)

    other = homes.enter(Database(str(served.database.url.render_as_string(False))))
    campaign = other.launch()
    other.drain(campaign)

    assert (len(other.esps["sendgrid"].taken), len(other.esps["ses"].taken)) == (3, 7)
    back = served.api.patch("/esps/sendgrid", {"daily_limit": None}).json
    assert back["daily_limit"] == 100
    log = [line["why"] for line in served.api.get("/esps/sendgrid/log").json["items"]]
    assert log == ["by ops: daily_limit as set", "by ops: daily_limit 4"]
    other.db.dispose()


@pytest.mark.parametrize(
    "name,body,status",
    [
        ("mailgun", {"weight": 1}, 404),
        ("ses", {}, 422),
        ("ses", {"weight": -1}, 422),
        ("ses", {"priority": 0}, 422),
        ("ses", {"priority": 1.5}, 422),
        ("ses", {"rate_per_second": 0}, 422),
        ("ses", {"daily_limit": "none"}, 422),
        ("ses", {"rate": 3}, 422),
        ("ses", {"daily_limit": True}, 422),
    ],
)
def test_bad_changes_change_nothing(
    sqlite_url: str, name: str, body: dict[str, object], status: int
) -> None:
    served = Served(sqlite_url)
    before = served.esp("ses")
    assert served.api.patch(f"/esps/{name}", body).status_code == status
    assert served.esp("ses") == before
    served.database.dispose()


def test_a_pause_may_be_for_one_lane(served: Served) -> None:
    paused = served.api.post("/esps/sendgrid/pause", {"reason": "x", "lane": "transactional"}).json
    assert (paused["eligible"], paused["paused_by"]) == (True, "ops")
    paused = served.api.post("/esps/sendgrid/pause", {"reason": "x", "lane": "campaign"}).json
    assert (paused["eligible"], paused["why_not"]) == (False, "paused: x")


def test_the_esps_own_figures_are_shown_beside_ours(served: Served) -> None:
    from services.account import Account
    from tests.outbound.test_accounts import watch

    accounts, _ = watch(served.home, Account(rate=14.0, quota=60, used=25))
    accounts.refresh()
    ses = served.esp("ses")
    assert (ses["daily_limit"], ses["limit_source"], ses["remaining_today"]) == (60, "esp", 35)
    assert ses["rate_per_second"] == 14
    account = ses["account"]
    assert isinstance(account, dict)
    assert (account["quota"], account["used"], account["error"]) == (60, 25, None)


def test_resuming_what_is_not_stopped_changes_nothing(served: Served) -> None:
    assert served.api.post("/esps/ses/resume").status_code == 200
    assert served.api.get("/esps/ses/log").json["items"] == []


@pytest.mark.parametrize(
    "path,body,status",
    [
        ("/esps/mailgun/pause", {"reason": "x"}, 404),
        ("/esps/mailgun/resume", None, 404),
        ("/esps/ses/pause", {}, 422),
        ("/esps/ses/pause", {"reason": "x", "lane": "both"}, 422),
        ("/esps/ses/pause", {"reason": " "}, 422),
        ("/esps/ses/pause", {"reason": "x", "until": "2001-01-01T00:00:00Z"}, 422),
        ("/esps/ses/pause", {"reason": "x", "until": 5}, 422),
        ("/esps/ses/pause", {"reason": "x", "until": "tomorrow"}, 422),
        ("/esps/ses/pause", None, 415),
    ],
)
def test_bad_requests_are_named(sqlite_url: str, path: str, body: object, status: int) -> None:
    served = Served(sqlite_url)
    assert served.api.post(path, body).status_code == status
    assert served.api.get("/esps/mailgun/log").status_code == 404
    assert Caller(served.app.test_client(), READ).post(path, body).status_code == 403
    served.database.dispose()
