"""Each ESP's own maxima and our defaults for it, as data with their sources. Decides nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class EspFacts:
    """The fields of `services.esp.Capabilities`; app.py hands them to the adapter."""

    max_messages: int
    max_bytes: int
    max_slot_bytes: int | None
    default_batch_size: int
    default_rate: float | None
    default_priority: int
    default_daily_limit: int

    def fields(self) -> dict[str, Any]:
        """Name by name, to build the words that services/ knows."""
        return asdict(self)


MEGABYTE = 1_000_000

ESP_FACTS: Mapping[str, EspFacts] = MappingProxyType(
    {
        # 1,000 personalizations and 30 MB a request; substitutions of one personalization together
        # 10,000 bytes: docs.sendgrid.com/api-reference/mail-send/limitations. The adapter
        # keeps a margin. A request each second of 20 messages is our courtesy.
        "sendgrid": EspFacts(
            max_messages=1000,
            max_bytes=30 * MEGABYTE,
            max_slot_bytes=10_000,
            default_batch_size=50,
            default_rate=20,
            default_priority=1,
            default_daily_limit=1500,
        ),
        # SendBulkEmail: 50 entries, replacement data 262,144 characters an entry, in botocore's
        # sesv2 service-2.json. The rate is the account's own, asked with GetAccount.
        "ses": EspFacts(
            max_messages=50,
            max_bytes=1 * MEGABYTE,
            max_slot_bytes=262_144,
            default_batch_size=50,
            default_rate=None,
            default_priority=2,
            default_daily_limit=1000,
        ),
        # 500 messages and 50 MB a request: postmarkapp.com/developer/api/email-api ("batch").
        # Messages go rendered, so there are no slots.
        "postmark": EspFacts(
            max_messages=500,
            max_bytes=50 * MEGABYTE,
            max_slot_bytes=None,
            default_batch_size=500,
            default_rate=20,
            default_priority=3,
            default_daily_limit=500,
        ),
    }
)

#: SES over SMTP: one message a transaction, 40 MB of it ("Service quotas in Amazon SES": SESv2 API
#: and SMTP). It is the same account with the same rate.
SES_SMTP_FACTS = replace(
    ESP_FACTS["ses"],
    max_messages=1, max_bytes=40 * MEGABYTE, max_slot_bytes=None, default_batch_size=1,
)  # fmt: skip
