"""SES_TRANSPORT=smtp: what it needs, where it leads, and what the sandbox makes of it."""

import pytest

from config.settings import load
from tests.config.test_settings import AWS, KEYS, PUBLISHED, problems, settings

SMTP = {**KEYS, **AWS, "MODE": "live", "SES_TRANSPORT": "smtp"}


def test_smtp_carries_one_message_a_request_and_large_ones() -> None:
    ses = load(SMTP, None).ses
    assert ses.configured
    assert (ses.smtp_host, ses.smtp_port, ses.smtp_starttls) == ("", 587, "1")
    assert (ses.batch_size, ses.facts.max_messages, ses.facts.max_bytes) == (1, 1, 40_000_000)
    assert load({**SMTP, "SES_TRANSPORT": "api"}, None).ses.facts.max_messages == 50


def test_a_server_on_this_machine_makes_it_a_rehearsal() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        found = load({**SMTP, "SES_SMTP_HOST": host}, None)
        assert found.on_loopback
        assert found.not_ready == ()
        assert not found.ses.rate_from_esp
    elsewhere = load({**SMTP, "SES_ENDPOINT_URL": "http://127.0.0.1:5001"}, None)
    assert not elsewhere.on_loopback, "mail goes by SMTP, wherever the API is"


@pytest.mark.parametrize(
    "name,value",
    [
        ("SES_SMTP_HOST", "smtp://x"), ("SES_SMTP_HOST", "x:25"), ("SES_SMTP_PORT", "0"),
        ("SES_SMTP_STARTTLS", "2"), ("SES_SMTP_STARTTLS", "0"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(name: str, value: str) -> None:
    assert list(problems({**SMTP, name: value})) == [name]


@pytest.mark.parametrize("port,starttls", [("465", "1"), ("2465", "1"), ("25", "0"), ("2587", "0")])
def test_a_port_that_speaks_otherwise_is_said(port: str, starttls: str) -> None:
    wrong = {**SMTP, "SES_SMTP_PORT": port, "SES_SMTP_STARTTLS": starttls}
    found = problems(wrong)
    assert list(found) == ["SES_SMTP_STARTTLS"]
    assert port in found["SES_SMTP_STARTTLS"]
    other = {"0": "1", "1": "0"}[starttls]
    assert load({**wrong, "SES_SMTP_STARTTLS": other}, None).ses.smtp_starttls == other


def test_a_role_has_no_smtp_password() -> None:
    role = {**KEYS, "MODE": "live", "SES_TRANSPORT": "smtp", "SES_ENABLED": "1"}
    found = problems(role)
    assert list(found) == ["SES_TRANSPORT"]
    assert "AWS_SECRET_ACCESS_KEY" in found["SES_TRANSPORT"]


def test_the_sandbox_takes_the_simulators_server_and_says_what_it_ignores() -> None:
    given = {"SES_SMTP_HOST": "smtp.example.com", "SES_SMTP_PORT": "465", "SES_SMTP_STARTTLS": "0"}
    found = settings(SES_TRANSPORT="smtp", **given)
    assert set(found.ignored) == set(given)
    ses = found.with_simulator("http://127.0.0.1:5001", PUBLISHED).ses
    assert (ses.smtp_host, ses.smtp_port, ses.smtp_starttls) == ("127.0.0.1", 2525, "1")
    assert ses.reached_at == "smtp://127.0.0.1"
