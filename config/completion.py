"""Fills in what depends on other settings: addresses, files, samples, rates, simulated keys."""

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from config.esp_sections import EspSection, Ses
from config.sections import Mail, Section, Service
from config.urls import is_loopback, is_sqlite, sqlite_file
from config.values import certificate

E = TypeVar("E", bound=EspSection)

SAMPLE_FROM = "news@example.com"
SAMPLE_POSTAL_ADDRESS = "Example Ltd, 1 Sample Street, 12345 Sampletown"
#: A shorter text would also be found where it is no secret.
_SHORTEST_SECRET = 8


def completed(service: Service, mail: Mail, esps: Sequence[EspSection]) -> dict[str, Section]:
    """The sections with every default that depends on another setting, by their names."""
    sandbox = service.mode == "sandbox"
    rehearsal = sandbox or all(is_loopback(esp.reached_at) for esp in esps if esp.configured)
    return {
        "service": _service(service),
        "mail": _mail(mail) if rehearsal else mail,
        **{esp.name: _esp(esp, sandbox=sandbox) for esp in esps},
    }


def _service(service: Service) -> Service:
    default = "data/sandbox.db" if service.mode == "sandbox" else "data/email.db"
    database = service.database_url.get_secret_value() or f"sqlite:///{default}"
    queue = service.queue_url.get_secret_value() or _queue_beside(database)
    url = service.public_url or f"http://{reachable(service.host)}:{service.port}"
    return service.model_copy(
        update={
            "public_url": url,
            "database_url": SecretStr(database),
            "queue_url": SecretStr(queue),
        }
    )


def reachable(host: str) -> str:
    """The host part of an address at which this machine reaches itself."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{address}]" if address.version == 6 else str(address)


def _queue_beside(database: str) -> str:
    if not is_sqlite(database):
        return database
    return f"sqlite:///{PurePosixPath(sqlite_file(database)).with_name('queue.db')}"


def _mail(mail: Mail) -> Mail:
    """A rehearsal needs no sender of its own."""
    return mail.model_copy(
        update={
            "mail_from": mail.mail_from or SAMPLE_FROM,
            "postal_address": mail.postal_address or SAMPLE_POSTAL_ADDRESS,
        }
    )


def _esp(esp: E, *, sandbox: bool) -> E:
    """Rate, then batch: a batch is at most one second's rate and at most the ESP's maximum."""
    loopback = sandbox or is_loopback(esp.reached_at)
    left_empty = esp.rate_per_second is None
    rate = esp.rate_per_second or (float("inf") if loopback else esp.facts.default_rate)
    finite = rate if rate is not None and rate != float("inf") else None
    batch = min(esp.batch_size, esp.facts.max_messages, max(1, int(finite or esp.batch_size)))
    update: dict[str, Any] = {
        "rate_per_second": finite,
        "rate_from_esp": left_empty and rate is None,
        "batch_size": batch,
    }
    if isinstance(esp, Ses) and esp.cert_file:
        update["certificate_pem"] = certificate(esp.cert_file)
    return esp.model_copy(update=update)


def simulated(
    esps: Mapping[str, EspSection], url: str, keys: Mapping[str, Mapping[str, str]]
) -> dict[str, EspSection]:
    """The ESPs' sections with the keys that the simulator publishes."""
    sendgrid, ses, postmark = keys["sendgrid"], keys["ses"], keys["postmark"]
    changes: dict[str, dict[str, Any]] = {
        "sendgrid": {
            "api_key": SecretStr(sendgrid["api_key"]),
            "webhook_public_keys": (sendgrid["webhook_public_key"],),
        },
        "ses": {
            "access_key_id": SecretStr(ses["access_key_id"]),
            "secret_access_key": SecretStr(ses["secret_access_key"]),
            "region": ses["region"],
            "topic_arns": (ses["topic_arn"],),
            "certificate_pem": ses["certificate_pem"],
            "sns_endpoint_url": url,
            "smtp_host": ses["smtp_host"],
            "smtp_port": ses["smtp_port"],
            "smtp_starttls": "1",
        },
        "postmark": {
            "api_key": SecretStr(postmark["server_token"]),
            "webhook_username": postmark["webhook_username"],
            "webhook_password": SecretStr(postmark["webhook_password"]),
        },
    }
    return {
        name: esp.model_copy(update={"base_url": url, **changes[name]})
        for name, esp in esps.items()
    }


def redacted_parts(secret: str) -> Sequence[str]:
    """What of a secret setting must never be shown: of an address, only its password."""
    if "://" in secret:
        raw = urlsplit(secret).password or ""
        parts = {raw, unquote(raw)}
    else:
        parts = {secret}
    return tuple(part for part in parts if len(part) >= _SHORTEST_SECRET)
