"""Settings: every mistake by name and all at once, defaults, the mode, and no secret shown."""

import os
import re
from pathlib import Path
from unittest import mock

import pytest

from config import pages, report
from config.esp_config import ESP_FACTS
from config.settings import KNOWN, SECTIONS, Settings, SettingsError, load
from config.values import is_placeholder

KEYS = {
    "API_KEY": "a1" * 16,
    "SECRET_KEY": "b2" * 16,
    "ERASURE_KEY": "c3" * 16,
}
AWS = {"AWS_ACCESS_KEY_ID": "AKIA0123456789ABCDEF", "AWS_SECRET_ACCESS_KEY": "d4" * 20}
LIVE = {**KEYS, "MODE": "live", "SENDGRID_API_KEY": "SG.0123456789.abcdefghij"}


def settings(**values: str) -> Settings:
    return load({**KEYS, **values}, None)


def live(**values: str) -> Settings:
    return load({**LIVE, **values}, None)


def problems(env: dict[str, str], dotenv: Path | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(env, dotenv)
    return {problem.name: problem.message for problem in caught.value.problems}


# --- defaults -----------------------------------------------------------------------------------


def test_three_keys_are_enough_for_a_sandbox() -> None:
    found = settings()
    assert found.mode == "sandbox"
    assert found.database_url == "sqlite:///data/sandbox.db"
    assert found.queue_url == "sqlite:///data/queue.db"
    assert found.public_url == "http://127.0.0.1:5000"
    assert found.simulator_url == "http://127.0.0.1:5001"
    assert found.mail.mail_from == "news@example.com"
    assert found.mail.postal_address
    assert found.from_domains == {"example.com"}
    assert found.not_ready == ()


def test_the_owners_limits_are_the_defaults() -> None:
    found = settings()
    assert [esp.daily_limit for esp in found.esps.values()] == [1500, 1000, 500]
    assert [esp.batch_size for esp in found.esps.values()] == [50, 50, 500]
    assert [esp.priority for esp in found.esps.values()] == [1, 2, 3]
    assert found.sending.transactional_reserve_percent == 10
    assert found.sending.lease_seconds == 60


def test_kinds_of_addresses_are_refused_by_name() -> None:
    assert settings().mail.refuse_addresses == ()
    assert settings(REFUSE_ADDRESSES=" Typo, role,").mail.refuse_addresses == ("typo", "role")


def test_a_loopback_address_has_no_rate_and_a_real_one_has() -> None:
    assert settings().sendgrid.rate_per_second is None
    assert not settings().ses.rate_from_esp
    assert live().sendgrid.rate_per_second == 20
    assert live().ses.rate_from_esp
    assert live(SENDGRID_BASE_URL="http://127.0.0.1:9").sendgrid.rate_per_second is None
    assert settings(SENDGRID_RATE_PER_SECOND="7.5").sendgrid.rate_per_second == 7.5
    unlimited = live(SES_RATE_PER_SECOND="none").ses
    assert (unlimited.rate_per_second, unlimited.rate_from_esp) == (None, False)


def test_a_batch_is_capped_by_the_esp_and_by_one_seconds_rate() -> None:
    assert settings(SES_BATCH_SIZE="500").ses.batch_size == 50
    assert settings(SENDGRID_BATCH_SIZE="5000").sendgrid.batch_size == 1000
    assert settings(SENDGRID_RATE_PER_SECOND="10").sendgrid.batch_size == 10
    assert settings(SENDGRID_RATE_PER_SECOND="0.5").sendgrid.batch_size == 1
    assert live().postmark.batch_size == 20


def test_limits_may_be_zero_or_none() -> None:
    assert settings(SES_DAILY_LIMIT="0").ses.daily_limit == 0
    assert settings(SES_DAILY_LIMIT="NONE").ses.daily_limit is None


@pytest.mark.parametrize(
    "host,url",
    [
        ("0.0.0.0", "http://127.0.0.1:5000"), ("::", "http://127.0.0.1:5000"),
        ("::1", "http://[::1]:5000"), ("mail.internal", "http://mail.internal:5000"),
    ],
)  # fmt: skip
def test_the_public_url_follows_the_host(host: str, url: str) -> None:
    assert settings(HOST=host).public_url == url


def test_the_queue_lies_beside_the_database() -> None:
    assert settings(DATABASE_URL="sqlite:////x/y.db").queue_url == "sqlite:////x/queue.db"
    server = "postgresql://me:password1@host/mail"
    assert settings(DATABASE_URL=server).queue_url == server
    assert live().database_url == "sqlite:///data/email.db"


def test_a_value_may_have_several_keys_with_labels() -> None:
    found = settings(
        API_KEY=f"ada:{'x1' * 16},{'y1' * 16}", API_KEY_READ="z1" * 16,
        SECRET_KEY=f"{'n1' * 16} , {'o1' * 16}",
    )  # fmt: skip
    labels = [(key.label, key.scope) for key in found.api_keys]
    assert labels == [("ada", "full"), ("api_key_2", "full"), ("api_key_read", "read")]
    assert found.secret_keys == ("n1" * 16, "o1" * 16)


def test_a_postal_address_may_have_lines() -> None:
    assert settings(POSTAL_ADDRESS=r"Me\n1 Street").mail.postal_address == "Me\n1 Street"


def test_mail_from_is_kept_with_an_ascii_domain_and_allows_it() -> None:
    found = settings(MAIL_FROM="Ann@Bücher.com")
    assert found.mail.mail_from == "Ann@xn--bcher-kva.com"
    assert found.from_domains == {"xn--bcher-kva.com"}


@pytest.mark.parametrize(
    "given,wanting",
    [
        ({}, "POSTMARK_WEBHOOK_USERNAME"),
        ({"POSTMARK_WEBHOOK_USERNAME": "hook", "POSTMARK_WEBHOOK_PASSWORD": "w1" * 16}, None),
    ],
)
def test_what_an_esp_wants_to_be_heard_is_named(given: dict[str, str], wanting: str | None) -> None:
    found = live(POSTMARK_API_KEY="p1" * 16, **given)
    assert found.postmark.unheard == wanting
    assert (wanting or "") in found.unheard.get("postmark", "")
    assert ("postmark" in found.unheard) == (wanting is not None)


# --- mistakes -----------------------------------------------------------------------------------

MISTAKES = [
    ("MODE", "production"), ("HOST", "http://x"), ("PORT", "80a"), ("PORT", "0"),
    ("PORT", "70000"), ("PORT", "65535"), ("PUBLIC_URL", "mail.example.com"),
    ("PUBLIC_URL", "https://a:b@c.example"), ("PUBLIC_URL", "https://c.example/?a=1"),
    ("PUBLIC_URL", "https://c.example:99999"),
    ("TRUSTED_PROXIES", "proxy"), ("DATABASE_URL", "mysql://x/y"), ("DATABASE_URL", "sqlite://"),
    ("DATABASE_URL", "sqlite:///:memory:"), ("DATABASE_URL", "postgres://x/y"),
    ("DATABASE_URL", "postgresql://a:b@c:d/e"),
    ("REFUSE_ADDRESSES", "typo,spam"), ("QUEUE_URL", "redis://x"),
    ("QUEUE_URL", "postgresql://x/y"), ("WORKER", "on"),
    ("SIMULATOR_URL", "https://simulator.example.com"), ("LOG_FORMAT", "xml"),
    ("MAX_REQUEST_MB", "0"), ("MAIL_FROM", "news"), ("MAIL_FROM", "a@example.com, b@example.com"),
    ("MAIL_FROM", "ünal@example.com"), ("MAIL_FROM_NAME", "a\nb"),
    ("UNSUBSCRIBE_MAILTO", "mailto:a@b.com"),
    ("TRANSACTIONAL_RESERVE_PERCENT", "101"), ("LEASE_SECONDS", "x"), ("LEASE_SECONDS", "34"),
    ("SENDGRID_DAILY_LIMIT", "-1"), ("SENDGRID_DAILY_LIMIT", "1_500"),
    ("POSTMARK_DAILY_LIMIT", "esp"),
    ("SES_BATCH_SIZE", "0"), ("POSTMARK_RATE_PER_SECOND", "0"), ("SES_RATE_PER_SECOND", "fast"),
    ("SES_PRIORITY", "0"), ("SES_WEIGHT", "-1"), ("SES_TIMEOUT_SECONDS", "0.5"),
    ("SES_TRANSPORT", "fax"),
    ("SES_WARMUP_START", "2026-11-01"),
    ("INBOUND_SECRET", "e5" * 16), ("DNS_RESOLVERS", "9.9.9.9"), ("ON_SUSPENSION", "maybe"),
    ("SES_CONFIGURATION_SET", "a b"), ("POSTMARK_MESSAGE_STREAM", "ü"),
    ("API_KEY", "short"), ("API_KEY", "changeme-changeme"), ("API_KEY", f"a b:{'x1' * 16}"),
    ("API_KEY_READ", "a1" * 16), ("SECRET_KEY", "a1" * 16), ("ERASURE_KEY", "b2" * 16),
    ("ERASURE_KEY", "too short"), ("API_KEY_SEND", f"l:{'x1' * 16},l:{'y1' * 16}"),
]  # fmt: skip


@pytest.mark.parametrize("name,value", MISTAKES)
def test_each_mistake_is_named(name: str, value: str) -> None:
    assert list(problems({**KEYS, name: value})) == [name]


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_no_message_repeats_what_was_given(name: str) -> None:
    """A secret may be pasted into any line."""
    for value in ("needle \u00fc\x01", "needle,needle:needle", "https://needle:needle@x"):
        try:
            load({**LIVE, name: value}, None)
        except SettingsError as error:
            assert "needle" not in str(error)  # noqa: PT017


LIVE_MISTAKES = [
    ("SENDGRID_API_KEY", "your_key_here"), ("SENDGRID_API_KEY", "SG.xxxxxxxxxxxx"),
    ("SENDGRID_API_KEY", "two words"), ("AWS_ACCESS_KEY_ID", "AKIA0123456789ABCDEF"),
    ("AWS_SECRET_ACCESS_KEY", "your_secret_here"), ("AWS_REGION", "Frankfurt"),
    ("SES_ENABLED", "yes"), ("SENDGRID_BASE_URL", "http://api.sendgrid.com"),
    ("SES_ENDPOINT_URL", "ftp://x"), ("POSTMARK_API_KEY", "changeme"),
    ("POSTMARK_WEBHOOK_USERNAME", "postmark"), ("POSTMARK_WEBHOOK_PASSWORD_PREVIOUS", "f6" * 9),
    ("SENDGRID_WEBHOOK_PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----"),
    ("SES_SNS_TOPIC_ARNS", "my-topic"), ("SES_SNS_CERT_FILE", "/nowhere.pem"),
]  # fmt: skip


@pytest.mark.parametrize("name,value", LIVE_MISTAKES)
def test_each_mistake_of_live_mode_is_named(name: str, value: str) -> None:
    found = problems({**LIVE, name: value})
    pairs = {
        "AWS_ACCESS_KEY_ID": "AWS_SECRET_ACCESS_KEY",
        "POSTMARK_WEBHOOK_USERNAME": "POSTMARK_WEBHOOK_PASSWORD",
        "POSTMARK_WEBHOOK_PASSWORD_PREVIOUS": "POSTMARK_WEBHOOK_USERNAME_PREVIOUS",
    }
    assert list(found) == [pairs.get(name, name)]


def test_all_mistakes_are_reported_together_in_the_order_of_the_page() -> None:
    found = problems(
        {
            "MODE": "live", "POSTMARK_API_KEY": "your_key_here", "SES_TRANSPORT": "fax",
            "PORT": "x", "SENDGRID_DAILY_LIMIT": "many", "MAIL_FROM": "news",
        }
    )  # fmt: skip
    assert list(found) == [
        "PORT", "API_KEY", "SECRET_KEY", "ERASURE_KEY", "MAIL_FROM", "SENDGRID_DAILY_LIMIT",
        "SES_TRANSPORT", "POSTMARK_API_KEY",
    ]  # fmt: skip


def test_a_mistake_hides_none_of_another_kind_beside_it() -> None:
    wrong = {
        "MODE": "live", "PORT": "x", "DATABASE_URL": "mysql://x/y", "QUEUE_URL": "redis://x",
        "AWS_REGION": "mars", "AWS_ACCESS_KEY_ID": "AKIA" + "E5" * 8,
        "SES_SNS_CERT_FILE": "/nowhere.pem",
        "POSTMARK_PRIORITY": "x", "POSTMARK_WEBHOOK_USERNAME_PREVIOUS": "hook",
    }  # fmt: skip
    expected = {*wrong, "AWS_SECRET_ACCESS_KEY", "POSTMARK_WEBHOOK_PASSWORD_PREVIOUS"}
    expected -= {"MODE", "AWS_ACCESS_KEY_ID", "POSTMARK_WEBHOOK_USERNAME_PREVIOUS"}
    assert set(problems({**KEYS, **wrong})) == expected


def test_live_without_an_esp_says_which_keys_there_are() -> None:
    found = problems({**KEYS, "MODE": "live"})
    assert list(found) == ["MODE"]
    assert "POSTMARK_API_KEY" in found["MODE"]


def test_live_may_leave_credentials_to_boto3() -> None:
    found = load({**KEYS, "MODE": "live", "SES_ENABLED": "1"}, None)
    assert found.ses.configured
    assert found.ses.access_key_id is None


def test_a_lease_must_outlive_the_longest_request() -> None:
    found = problems({**KEYS, "SES_TIMEOUT_SECONDS": "56"})
    assert list(found) == ["LEASE_SECONDS"]
    assert "SES_TIMEOUT_SECONDS" in found["LEASE_SECONDS"]
    assert settings(SES_TIMEOUT_SECONDS="55").ses.timeout_seconds == 55


def test_an_sqlite_database_refuses_a_queue_on_a_server() -> None:
    assert list(problems({**KEYS, "QUEUE_URL": "postgresql://h/d"})) == ["QUEUE_URL"]
    assert settings(DATABASE_URL="postgresql://h/d", QUEUE_URL="sqlite:///q.db").queue_url


@pytest.mark.parametrize(
    "text",
    [
        "your_key_here", "YOUR-API-KEY", "changeme", "change_me", "xxx", "XXXX-XXXX", "<key>",
        "[your key]", "todo", "SG.xxxxxxxx", "placeholder", "put_your_key_here", "***", "...",
        "SG.your_key_here", "replace-me", "secret", "dummy-key",
    ],
)  # fmt: skip
def test_placeholders_are_recognised(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["SG.aB3_xx.9-Zq", "POSTMARK_API_TEST", "a1" * 16, "hereby1234"])
def test_keys_are_no_placeholders(text: str) -> None:
    assert not is_placeholder(text)


# --- .env ---------------------------------------------------------------------------------------


def dotenv(folder: Path, *lines: str) -> Path:
    path = folder / ".env"
    path.write_text("\n".join([*(f"{name}={value}" for name, value in KEYS.items()), *lines]))
    path.chmod(0o600)
    return path


def test_the_environment_wins_over_the_file_even_when_it_is_empty(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "PORT=6000", "HOST=::1", "MAIL_FROM_NAME='A # B'", "WORKER=off # no")
    found = load({"PORT": "7000", "HOST": ""}, path)
    assert found.service.port == 7000
    assert found.service.host == "127.0.0.1"
    assert found.mail.mail_from_name == "A # B"
    assert found.service.worker == "off"


def test_the_file_is_left_unread_on_request(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "PORT=6000")
    assert load({**KEYS, "EDS_NO_DOTENV": "1"}, path).service.port == 5000


def test_flasks_own_reading_is_taken_back(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "PORT=6000", "POSTMARK_API_KEY=g7g7g7g7g7")
    polluted = {"PORT": "6000", "POSTMARK_API_KEY": "g7g7g7g7g7", "EDS_NO_DOTENV": "1"}
    own = {name: f"own-{value}" for name, value in KEYS.items()}
    found = load({**polluted, **own}, path, after_flask=True)
    assert found.service.port == 5000
    assert found.ignored == ()


def test_what_flask_expanded_is_read_as_it_stands(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "API_KEY_READ=q1q1q1q1q1${HOME}q1")
    before = {"HOME": "/home/ana", "API_KEY_READ": "q1q1q1q1q1/home/anaq1"}
    with mock.patch.dict(os.environ, HOME="/home/ana"):
        found = load(before, path, after_flask=True)
    assert found.keys.api_key_read[0].secret.get_secret_value() == "q1q1q1q1q1${HOME}q1"


def test_nothing_in_the_file_is_expanded(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "API_KEY_READ=q1q1q1q1q1${HOME}q1")
    assert load({}, path).keys.api_key_read[0].secret.get_secret_value() == "q1q1q1q1q1${HOME}q1"


def test_a_broken_line_and_a_doubled_one_are_named(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "PORT=1", "PORT=2", "MAIL_FROM_NAME='open", "HOST")
    found = problems({}, path)
    assert "twice" in found["PORT"]
    assert ".env" in found


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xff\xfe\x00")
    assert ".env" in problems(dict(KEYS), path)


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    text = "\r\n".join(f"{name}={value}" for name, value in KEYS.items())
    path.write_text(f"\ufeff{text}\r\nPORT=6000\r\n", encoding="utf-8", newline="")
    assert load({}, path).service.port == 6000


def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    path = dotenv(tmp_path)
    path.chmod(0o644)
    assert any("chmod 600" in warning for warning in load({}, path).warnings)
    path.chmod(0o600)
    assert load({}, path).warnings == ()


def test_a_name_that_is_almost_right_is_a_warning(tmp_path: Path) -> None:
    path = dotenv(tmp_path, "DATABASE_URI=sqlite:///x.db", "EDITOR=vi", "LEGACY_JSON=")
    found = load(
        {"SENDGRID_DAILYLIMIT": "3", "SES_NOTHING_LIKE_IT": "1", "MAILX": "/var/mail"}, path
    )
    assert found.warnings == (
        "DATABASE_URI is not a setting and is ignored: did you mean DATABASE_URL?",
        "SENDGRID_DAILYLIMIT is not a setting and is ignored: did you mean SENDGRID_DAILY_LIMIT?",
        "SES_NOTHING_LIKE_IT is not a setting and is ignored",
    )


# --- modes --------------------------------------------------------------------------------------


def test_sandbox_ignores_keys_and_addresses_and_says_so() -> None:
    found = settings(
        SENDGRID_API_KEY="your_key_here", SENDGRID_BASE_URL="https://api.sendgrid.com",
        POSTMARK_API_KEY="h8" * 10, **AWS,
    )  # fmt: skip
    assert found.ignored == (
        "SENDGRID_API_KEY", "SENDGRID_BASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "POSTMARK_API_KEY",
    )  # fmt: skip
    assert not any(esp.configured for esp in found.esps.values())
    assert "h8h8" not in repr(found)


PUBLISHED = {
    "sendgrid": {"api_key": "SG.s.s", "webhook_public_key": "k"},
    "ses": {
        "access_key_id": "AKIA", "secret_access_key": "s", "region": "eu-west-1",
        "topic_arn": "arn", "certificate_pem": "pem",
        "smtp_host": "127.0.0.1", "smtp_port": 2525,
    },
    "postmark": {"server_token": "t", "webhook_username": "u", "webhook_password": "p"},
}  # fmt: skip


def test_the_simulators_keys_put_all_three_esps_in_place() -> None:
    url = "http://127.0.0.1:5001"
    found = settings(SES_PRIORITY="7").with_simulator(url, PUBLISHED)
    assert all(esp.configured and esp.base_url == url for esp in found.esps.values())
    assert (found.ses.region, found.ses.priority) == ("eu-west-1", 7)
    assert (found.ses.smtp_host, found.ses.smtp_port) == ("127.0.0.1", 2525)
    assert found.postmark.webhook_logins[0][0] == "u"
    assert found.not_ready == ()


def test_live_names_each_blocker_of_a_campaign() -> None:
    assert [blocker.name for blocker in live().not_ready] == [
        "PUBLIC_URL", "MAIL_FROM", "POSTAL_ADDRESS",
    ]  # fmt: skip
    plain = live(PUBLIC_URL="http://mail.example.com", MAIL_FROM="a@example.com")
    assert [blocker.name for blocker in plain.not_ready] == ["PUBLIC_URL", "POSTAL_ADDRESS"]
    local = live(PUBLIC_URL="https://localhost", MAIL_FROM="a@example.com", POSTAL_ADDRESS="x")
    assert [blocker.name for blocker in local.not_ready] == ["PUBLIC_URL"]
    fine = live(PUBLIC_URL="https://m.example.com", MAIL_FROM="a@example.com", POSTAL_ADDRESS="x")
    assert fine.not_ready == ()


def test_live_with_every_esp_on_loopback_is_a_rehearsal() -> None:
    found = live(SENDGRID_BASE_URL="http://127.0.0.1:5001")
    assert found.not_ready == ()
    assert found.mail.mail_from == "news@example.com"
    mixed = live(SENDGRID_BASE_URL="http://127.0.0.1:5001", POSTMARK_API_KEY="h8" * 10)
    assert mixed.not_ready


# --- secrets ------------------------------------------------------------------------------------


def test_no_secret_is_in_repr_report_or_error() -> None:
    secrets = {
        "API_KEY": "needle-api-0123456789", "API_KEY_READ": "l:needle-read-0123456789",
        "SECRET_KEY": "needle-sign-0123456789", "ERASURE_KEY": "needle-erase-0123456789",
        "SENDGRID_API_KEY": "needle-sendgrid", "AWS_ACCESS_KEY_ID": "needle-aws-id",
        "AWS_SECRET_ACCESS_KEY": "needle-aws-secret", "POSTMARK_API_KEY": "needle-postmark",
        "POSTMARK_WEBHOOK_USERNAME": "u", "POSTMARK_WEBHOOK_PASSWORD": "needle-webhook",
        "DATABASE_URL": "postgresql://me:needle-database@host/mail",
    }  # fmt: skip
    found = load({**secrets, "MODE": "live"}, None)
    shown = "\n".join([repr(found), str(found), str(report.lines(found)), repr(found.api_keys)])
    assert "needle" not in shown
    assert "postgresql://host/mail" in shown
    assert {re.sub(r".*:(.*)@.*|\w:(.*)", r"\1\2", value) for name, value in secrets.items()
            if name != "POSTMARK_WEBHOOK_USERNAME"} == found.secret_values  # fmt: skip
    bad = problems({**secrets, "MODE": "live", "PORT": "needle-port", "SES_WEIGHT": "needle"})
    assert "needle" not in str(bad)


def test_settings_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().service.port = 1  # type: ignore[misc]


# --- pages --------------------------------------------------------------------------------------


def test_the_example_and_the_page_are_what_the_table_says() -> None:
    advice = "run: python -m config.pages"
    assert pages.ENV_EXAMPLE.read_text(encoding="utf-8") == pages.env_example(), advice
    assert pages.SETTINGS_PAGE.read_text(encoding="utf-8") == pages.settings_page(), advice


def test_the_example_holds_the_owners_lines_and_only_lacks_keys(tmp_path: Path) -> None:
    text = pages.env_example()
    for line in ("SENDGRID_DAILY_LIMIT=1500", "SENDGRID_BATCH_SIZE=50", "SES_DAILY_LIMIT=1000",
                 "POSTMARK_DAILY_LIMIT=500", "SENDGRID_API_KEY=", "AWS_ACCESS_KEY_ID=",
                 "AWS_SECRET_ACCESS_KEY=", "POSTMARK_API_KEY="):  # fmt: skip
        assert f"\n{line}\n" in text
    path = tmp_path / ".env"
    path.write_text(text)
    path.chmod(0o600)
    assert list(problems({}, path)) == ["API_KEY", "SECRET_KEY", "ERASURE_KEY"]
    assert load(dict(KEYS), path) == load(dict(KEYS), None)


def test_the_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", pages.env_example(), flags=re.MULTILINE))
    path.chmod(0o600)
    assert load(dict(KEYS), path) == load(dict(KEYS), None)


def test_every_setting_has_one_sentence() -> None:
    rows = [row for section in SECTIONS for row in pages.rows(section)]
    assert len(rows) == len(KNOWN) == len({row.name for row in rows})
    assert all(row.sentence.strip() for row in rows)


def test_the_facts_of_each_esp_are_the_adapters_words() -> None:
    from services.esp import Capabilities

    for facts in ESP_FACTS.values():
        assert Capabilities(**facts.fields()).max_messages == facts.max_messages
