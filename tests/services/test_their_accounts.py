"""Our accounts' figures, asked of the ESPs by their own SDKs."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.account import Account, Accountable
from services.amazon_ses import AmazonSes
from services.esp import EspError, Misconfigured, Unavailable
from services.sendgrid import SendGrid
from services.ses_client import AwsKeys
from simulator import Running, start
from tests.services.esp_contract import capabilities
from tests.services.scripted_server import ScriptedServer


def ses(running: Running, **changes: Any) -> AmazonSes:
    keys = running.state.keys
    pair = AwsKeys(keys.ses_access_key_id, keys.ses_secret_access_key)
    given: dict[str, Any] = {"keys": pair, "endpoint_url": running.url} | changes
    return AmazonSes(capabilities("ses"), **given)


def sendgrid(running: Running, key: str | None = None) -> SendGrid:
    key = key or running.state.keys.sendgrid_api_key
    return SendGrid(key, capabilities("sendgrid"), base_url=running.url)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Running]:
    with start(tmp_path / "simulator.db") as running:
        yield running


def limit(running: Running, esp: str, **limits: Any) -> None:
    assert not running.state.meters.change({esp: limits})


def test_ses_tells_its_rate_and_its_rolling_quota(simulator: Running) -> None:
    limit(simulator, "ses", rate_per_second=14, daily_quota=200)
    esp = ses(simulator)
    assert isinstance(esp, Accountable)
    assert esp.account() == Account(rate=14.0, quota=200, used=0)


def test_an_account_without_limits_has_none(simulator: Running) -> None:
    assert ses(simulator).account().quota is None


def test_sendgrid_tells_its_credits_and_when_they_come_back(simulator: Running) -> None:
    limit(simulator, "sendgrid", daily_quota=100)
    told = sendgrid(simulator).account()
    assert (told.quota, told.used, told.rate) == (100, 0, None)
    assert told.resets_at is not None
    assert told.resets_at % 86400 == 0


@pytest.mark.parametrize("esp", ["ses", "sendgrid"])
def test_a_wrong_key_is_told_without_the_key(simulator: Running, esp: str) -> None:
    wrong: Accountable = (
        sendgrid(simulator, "SG.wrong.secret")
        if esp == "sendgrid"
        else ses(simulator, keys=AwsKeys("AKIAWRONG", "wrong-secret"))
    )
    with pytest.raises(Misconfigured) as caught:
        wrong.account()
    assert "secret" not in str(caught.value)


ODD = [
    (200, b"[]"), (200, b"{}"), (200, b"<html>"), (500, b"{}"), (403, b'{"message": "no"}'),
    (200, b'{"SendQuota": []}'),
]  # fmt: skip


@pytest.mark.parametrize("status,body", ODD)
def test_an_answer_that_cannot_be_read_gives_no_figures(status: int, body: bytes) -> None:
    with ScriptedServer(lambda peer: peer.answer(status, body)) as server:
        with pytest.raises(EspError):
            AmazonSes(
                capabilities("ses"), keys=AwsKeys("AKIA", "secret"), endpoint_url=server.url
            ).account()
        if (status, body) == (200, b"{}"):
            assert _sendgrid_at(server.url).account() == Account()
        elif status != 200:
            with pytest.raises(EspError):
                _sendgrid_at(server.url).account()


def test_a_plan_that_bills_what_goes_beyond_has_no_limit() -> None:
    body = b'{"remain": 0, "total": 40000, "overage": 120, "next_reset": "2026-12-01"}'
    with ScriptedServer(lambda peer: peer.answer(200, body)) as server:
        assert _sendgrid_at(server.url).account() == Account()


def test_an_esp_that_hangs_is_given_up(simulator: Running) -> None:
    over = threading.Event()
    with ScriptedServer(lambda _peer: _wait(over)) as server:
        esp = AmazonSes(
            capabilities("ses"), keys=AwsKeys("AKIA", "secret"), endpoint_url=server.url,
            timeout_seconds=0.5,
        )  # fmt: skip
        with pytest.raises(EspError):
            esp.account()
        over.set()


def test_an_esp_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        _sendgrid_at("http://127.0.0.1:9").account()


def _wait(over: threading.Event) -> None:
    over.wait(20)


def _sendgrid_at(url: str) -> SendGrid:
    return SendGrid("SG.key", capabilities("sendgrid"), base_url=url)
