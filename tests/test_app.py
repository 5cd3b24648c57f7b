"""The application and its command line: what is refused at start, and how it starts and stops."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from boot import rerun, serving, startup
from boot.startup import StartRefused, prepare, welcome
from config.settings import load
from database import campaigns, migrate
from database.engine import Database
from tests.application import SECRETS, application_at, close, settings_at
from tests.running import ROOT, Running, free_ports
from utils.signing import new_nonce

NOW = 1_800_000_000.0


def database_with_a_campaign(folder: Path, mode: str) -> None:
    db = Database(f"sqlite:///{folder}/test.db")
    migrate.upgrade(db)
    row = {"mode": mode, "status": "sent", "nonce": new_nonce(), "subject": "x",
           "from_email": "a@example.com", "created_at": NOW}  # fmt: skip
    with db.write() as connection:
        campaigns.insert(connection, row)
    db.dispose()


# --- what is refused at start -------------------------------------------------------------------


def test_a_database_of_the_other_mode_is_refused(tmp_path: Path) -> None:
    database_with_a_campaign(tmp_path, "live")
    with pytest.raises(StartRefused, match="MODE"):
        create_app(settings_at(tmp_path))


def test_live_on_a_sandbox_database_names_the_way_out(tmp_path: Path) -> None:
    database_with_a_campaign(tmp_path, "sandbox")
    live = settings_at(tmp_path, MODE="live", POSTMARK_API_KEY="p1" * 16)
    with pytest.raises(StartRefused, match="promote-sandbox"):
        create_app(live)


def test_another_erasure_key_is_refused_and_the_first_one_still_fits(tmp_path: Path) -> None:
    close(application_at(tmp_path))
    with pytest.raises(StartRefused, match="ERASURE_KEY") as caught:
        create_app(settings_at(tmp_path, ERASURE_KEY="another-one-0123456789"))
    assert "another-one" not in str(caught.value)
    close(create_app(settings_at(tmp_path)))


def test_the_same_guards_hold_on_both_databases(database_url: str, tmp_path: Path) -> None:
    db = Database(database_url)
    migrate.upgrade(db)
    db.dispose()
    values = {"DATABASE_URL": database_url}
    close(create_app(settings_at(tmp_path, **values)))
    with pytest.raises(StartRefused):
        create_app(settings_at(tmp_path, ERASURE_KEY="another-one-0123456789", **values))


def test_a_start_makes_the_indexes_of_declared_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "segments.json"
    monkeypatch.setattr(startup, "SAVED_SEGMENTS", file)
    settings = settings_at(tmp_path)

    def indexes() -> int:
        prepare(settings, NOW)
        db = Database(settings.database_url)
        with db.read() as connection:
            names = connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
        db.dispose()
        return sum(str(name).startswith("ix_subscribers_field_") for name in names)

    assert indexes() == 0
    file.write_text('{"fields": ["attributes.plan", "attributes.city"]}')
    assert indexes() == 2
    file.write_text('{"fields": ["attributes.city"]}')
    assert indexes() == 1


@pytest.mark.parametrize("text", ["{", "[1]", '{"fields": 5}', '{"segments": {"a": {"all": 5}}}'])
def test_segments_that_cannot_be_read_are_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "segments.json"
    file.write_text(text)
    monkeypatch.setattr(startup, "SAVED_SEGMENTS", file)
    with pytest.raises(StartRefused, match=r"config/segments\.json"):
        prepare(settings_at(tmp_path), NOW)


def test_a_start_makes_the_sqlite_file(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    assert prepare(settings, NOW) is None
    db = Database(settings.database_url)
    assert migrate.is_current(db)
    db.dispose()


# --- programs -----------------------------------------------------------------------------------


def flask(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *words], cwd=ROOT, text=True,
        env={**os.environ, **env}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_needs_no_settings() -> None:
    for words in (["--help"], ["db", "--help"], ["openapi"]):
        done = flask(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_help_imports_no_sdk() -> None:
    code = (
        "import sys, app; print([m for m in sys.modules if m.split('.')[0] in"
        " {'boto3', 'botocore', 'sendgrid', 'postmarker', 'requests'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["db", "current"], ["worker"], ["settings"]])
def test_a_command_without_settings_exits_with_78_and_names_all(words: list[str]) -> None:
    done = flask(*words)
    assert done.returncode == 78
    assert all(name in done.stderr for name in ("API_KEY", "SECRET_KEY", "ERASURE_KEY"))


def test_app_py_without_settings_exits_with_78() -> None:
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "PORT": "x"},
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 78
    assert "PORT: " in done.stderr
    assert "ERASURE_KEY: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_database_goes_up_and_down(tmp_path: Path) -> None:
    env = {**SECRETS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    assert flask("db", "current", **env).returncode == 1
    assert "from nothing" in flask("db", "upgrade", **env).stdout
    assert "nothing to do" in flask("db", "upgrade", **env).stdout
    shown = flask("db", "current", "--json", **env)
    assert '"up_to_date": true' in shown.stdout
    assert "copy" in flask("db", "downgrade", "base", **env).stdout
    assert list(tmp_path.glob("x.db.*.bak"))


def test_the_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    env = {**SECRETS, "SENDGRID_API_KEY": "needle-key", "SES_DAILYLIMIT": "1",
           "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}  # fmt: skip
    for words in (["settings"], ["settings", "--json"]):
        done = flask(*words, **env)
        assert done.returncode == 0
        shown = done.stdout + done.stderr
        assert "SENDGRID_DAILY_LIMIT" in shown
        assert "SES_DAILYLIMIT" in shown
        assert "SENDGRID_API_KEY" in shown
        assert not [s for s in (*SECRETS.values(), "needle") if s in shown]


def test_it_starts_sends_in_sandbox_whatever_the_host_says_and_stops(tmp_path: Path) -> None:
    """Real keys, addresses and a proxy in the environment change nothing: the audit hook of the
    tests would end the process at the first look outside."""
    hostile = {
        "SENDGRID_API_KEY": "SG.needle-0123456789", "SENDGRID_BASE_URL": "https://192.0.2.1",
        "AWS_ACCESS_KEY_ID": "AKIANEEDLE0123456789", "AWS_SECRET_ACCESS_KEY": "needle-aws-0123456",
        "SES_ENDPOINT_URL": "https://192.0.2.2", "POSTMARK_API_KEY": "needle-postmark-0123456",
        "POSTMARK_BASE_URL": "https://192.0.2.3", "HTTPS_PROXY": "http://192.0.2.4:3128",
        "HTTP_PROXY": "http://192.0.2.4:3128", "ALL_PROXY": "http://192.0.2.4:3128",
        "SENDGRID_PRIORITY": "1", "SES_PRIORITY": "1", "POSTMARK_PRIORITY": "1",
    }  # fmt: skip
    with Running(tmp_path, port=None, **hostile) as service:
        service.wait_for("Stop: Ctrl-C")
        assert "Ignored in sandbox: SENDGRID_API_KEY" in service.text
        assert "/esp-status" in service.text
        for number in range(30):
            service.ask("/subscribers", {"email": f"p{number}@example.com"})
        status, launched = service.ask("/send-campaign", {"subject": "Hi", "text": "Hello"})
        assert (status, launched["audience"]) == (202, 30)
        campaign = wait_until_sent(service, launched["campaign_id"])
        assert campaign["balanced"]
        assert campaign["ledger"]["accepted"] + campaign["ledger"]["delivered"] == 30
        assert set(campaign["by_esp"]) == {"sendgrid", "ses", "postmark"}
        status, mailbox = service.ask("/sandbox/messages?limit=7")
        assert (status, len(mailbox["items"])) == (200, 7)
        more = service.ask(f"/sandbox/messages?limit=7&cursor={mailbox['next_cursor']}")[1]
        assert more["items"][0]["id"] < mailbox["items"][-1]["id"]
        assert service.ask("/ready")[1]["status"] == "ready"
        assert service.stop(signal.SIGTERM) == 0
    assert not [s for s in (*SECRETS.values(), "needle", "p7@example.com") if s in service.text]
    assert "Traceback" not in service.text


def wait_until_sent(service: Running, campaign_id: int) -> dict[str, Any]:
    for _ in range(300):
        campaign: dict[str, Any] = service.ask(f"/campaigns/{campaign_id}")[1]
        if campaign["status"] == "sent":
            return campaign
        time.sleep(0.1)
    raise AssertionError(service.text)


def test_ctrl_c_ends_every_process_of_the_tree(tmp_path: Path) -> None:
    with Running(tmp_path, LOG_FORMAT="json") as service:
        service.wait_for("Stop: Ctrl-C")
        os.killpg(service.process.pid, signal.SIGINT)
        assert service.process.wait(timeout=30) == 0
        for port in (service.port, service.port + 1):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    for offset in (0, 1):
        port = free_ports()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port + offset))
            taken.listen()
            with Running(tmp_path, port=port) as service:
                assert service.process.wait(timeout=30) == 69
            assert f"Port {port + offset}" in service.text
            assert "Traceback" not in service.text


UNUSABLE = {
    "no folder": {"DATABASE_URL": "sqlite:////proc/nowhere/x.db"},
    "no database": {"DATABASE_URL": "sqlite:///{folder}/junk"},
    "a folder": {"DATABASE_URL": "sqlite:///{folder}"},
    "no server": {"DATABASE_URL": "postgresql://u:needle-0123@127.0.0.1:1/x"},
    "no queue": {"QUEUE_URL": "sqlite:////proc/nowhere/q.db"},
}


@pytest.mark.parametrize("why", UNUSABLE)
@pytest.mark.parametrize(
    "words", [["app.py"], ["-m", "flask", "--app", "app", "worker"],
              ["-m", "flask", "--app", "app", "verify"]], ids=lambda words: words[-1],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path, why: str, words: list[str]
) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 500)
    if "QUEUE_URL" in UNUSABLE[why]:
        prepare(settings_at(tmp_path), NOW)
    values = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"} | UNUSABLE[why]
    environment = {name: value.format(folder=tmp_path) for name, value in values.items()}
    port = str(free_ports())
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **SECRETS, "PORT": port, "SIMULATOR_URL": "", **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 69, done.stderr
    assert "needle" not in done.stderr + done.stdout
    assert "he database cannot be used" in done.stderr


def test_the_worker_alone_does_the_work_of_a_web_without(tmp_path: Path) -> None:
    with Running(tmp_path, WORKER="off") as web:
        web.wait_for("Stop: Ctrl-C")
        web.ask("/subscribers", {"email": "a@example.com"})
        campaign_id = web.ask("/send-campaign", {"subject": "Hi", "text": "Hello"})[1][
            "campaign_id"
        ]
        assert web.ask("/ready")[0] == 503
        with Running(tmp_path, "-m", "flask", "--app", "app", "worker", port=web.port) as worker:
            worker.wait_for("The worker is running.")
            wait_until_sent(web, campaign_id)
            assert web.ask("/ready")[0] == 200
            assert worker.stop(signal.SIGTERM) == 0
        assert web.stop(signal.SIGTERM) == 0


def test_a_worker_without_a_simulator_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "simulator_keys", lambda _url: None)
    with pytest.raises(serving.CannotServe, match="No simulator"):
        serving.wait_for_simulator(settings_at(tmp_path), 0.1)


# --- small things -------------------------------------------------------------------------------


def test_the_welcome_in_live_names_what_is_missing(tmp_path: Path) -> None:
    text = welcome(settings_at(tmp_path, MODE="live", POSTMARK_API_KEY="p1" * 16))
    assert "really sent" in text
    assert "POSTAL_ADDRESS" in text
    assert "nothing of what Postmark does" in text
    assert "SendGrid does" not in text
    assert "p1p1" not in text


def test_the_curl_line_finds_the_key_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("\n".join(f"{name}={value}" for name, value in SECRETS.items()))
    path.chmod(0o600)
    words = load({}, path).key_in_shell
    done = subprocess.run(["sh", "-c", f'printf %s "{words}"'], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout == SECRETS["API_KEY"].partition(":")[2]


class Became(Exception):
    """Stands in for the other program, from which nothing returns."""


def test_another_python_becomes_the_one_of_venv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def become(_path: Path, words: list[str]) -> None:
        raise Became(*words)

    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setattr(sys, "argv", ["app.py", "--x"])
    rerun.in_venv("app.py", tmp_path)  # this Python is in a virtual environment
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    rerun.in_venv("app.py", tmp_path)  # this one has the packages
    monkeypatch.setattr(rerun, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit) as left:
        rerun.in_venv("app.py", tmp_path)
    assert left.value.code == 69
    assert "./setup.sh" in capsys.readouterr().err
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(Became) as other:
        rerun.in_venv("app.py", tmp_path)
    assert other.value.args == (str(python), "app.py", "--x")
