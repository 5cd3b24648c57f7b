"""Settings of each ESP: variable, default and one sentence each."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, SecretStr

from config.esp_config import ESP_FACTS, SES_SMTP_FACTS, EspFacts
from config.sections import Section, setting
from config.urls import EspUrl
from config.values import (
    DailyLimit,
    Line,
    Name,
    OptionalHost,
    OwnDailyLimit,
    PublicKeys,
    Rate,
    Region,
    Secret,
    TopicArns,
    number,
    one_of,
    whole,
)


def _limit(prefix: str, facts: EspFacts) -> Any:
    return setting(
        f"{prefix}_DAILY_LIMIT", facts.default_daily_limit,
        "Messages a UTC day: a number, `none`, or `esp` (the ESP's own figure, where it tells "
        "one); 0 = gets nothing. The smaller of this and the ESP's known figure holds.",
    )  # fmt: skip


def _batch(prefix: str, facts: EspFacts) -> Any:
    return setting(
        f"{prefix}_BATCH_SIZE", facts.default_batch_size,
        f"Messages a request, at most {facts.max_messages} and at most one second's rate.",
    )  # fmt: skip


def _rate(prefix: str, facts: EspFacts) -> Any:
    default = f"{facts.default_rate:g}" if facts.default_rate else "what the account allows"
    return setting(
        f"{prefix}_RATE_PER_SECOND", "",
        f"Messages a second: a number, or `none`. Empty: {default}; at a loopback address none.",
    )  # fmt: skip


def _priority(prefix: str, facts: EspFacts) -> Any:
    return setting(
        f"{prefix}_PRIORITY", facts.default_priority,
        "1 is asked first; equal numbers share the mail by weight.",
    )  # fmt: skip


def _weight(prefix: str) -> Any:
    return setting(f"{prefix}_WEIGHT", 1, "Its share among ESPs of equal priority.")


def _timeout(prefix: str) -> Any:
    return setting(f"{prefix}_TIMEOUT_SECONDS", 30, "The total deadline of one request.")


def _warmup(prefix: str) -> Any:
    return setting(f"{prefix}_WARMUP_START", "", "The day on which a new account's warm-up began.")


Whole = Annotated[int, BeforeValidator(whole(1, 100_000))]
Share = Annotated[float, BeforeValidator(number(0, 1000))]
Seconds = Annotated[float, BeforeValidator(number(1, 600))]


class EspSection(Section):
    """What is set for every ESP."""

    name: ClassVar[str]
    variable_of_key: ClassVar[str]  #: the setting that switches this ESP on
    daily_limit: DailyLimit  #: None = no limit
    batch_size: Whole
    #: None = no limit of ours: none was wanted, or (`rate_from_esp`) the ESP is asked for it.
    rate_per_second: Rate
    priority: Whole
    weight: Share
    timeout_seconds: Seconds
    warmup_start: Name
    base_url: EspUrl  #: None = the ESP's own
    rate_from_esp: bool = False
    #: Messages a second until an ESP that is asked has told its own.
    rate_until_told: ClassVar[float | None] = None

    @property
    def facts(self) -> EspFacts:
        """The ESP's own maxima."""
        return ESP_FACTS[self.name]

    @property
    def reached_at(self) -> str | None:
        """The address that mail is handed to; None = the ESP's own."""
        return self.base_url

    @property
    def configured(self) -> bool:
        """Whether there is a key to send with."""
        raise NotImplementedError

    @property
    def unheard(self) -> str | None:
        """The empty setting for want of which no event of this ESP is believed; None = all set."""
        raise NotImplementedError


class Sendgrid(EspSection):
    """SendGrid's account."""

    title, name, variable_of_key = "SendGrid", "sendgrid", "SENDGRID_API_KEY"
    api_key: Secret = setting("SENDGRID_API_KEY", "", "Needs the scope mail.send.")
    daily_limit: DailyLimit = _limit("SENDGRID", ESP_FACTS["sendgrid"])
    batch_size: Whole = _batch("SENDGRID", ESP_FACTS["sendgrid"])
    rate_per_second: Rate = _rate("SENDGRID", ESP_FACTS["sendgrid"])
    priority: Whole = _priority("SENDGRID", ESP_FACTS["sendgrid"])
    weight: Share = _weight("SENDGRID")
    timeout_seconds: Seconds = _timeout("SENDGRID")
    warmup_start: Name = _warmup("SENDGRID")
    base_url: EspUrl = setting(
        "SENDGRID_BASE_URL",
        "",
        "Empty: https://api.sendgrid.com (EU: https://api.eu.sendgrid.com).",
    )
    webhook_public_keys: PublicKeys = setting(
        "SENDGRID_WEBHOOK_PUBLIC_KEY", "", "Verification keys of the signed event webhook; "
        "several are separated by commas.",
    )  # fmt: skip

    @property
    def configured(self) -> bool:
        """Whether there is a key to send with."""
        return self.api_key is not None

    @property
    def unheard(self) -> str | None:
        """The empty setting for want of which no event is believed."""
        return None if self.webhook_public_keys else "SENDGRID_WEBHOOK_PUBLIC_KEY"


class Ses(EspSection):
    """Amazon SES' account."""

    title, name, variable_of_key = "Amazon SES", "ses", "AWS_ACCESS_KEY_ID"
    #: MaxSendRate of an account that has just left SES' sandbox, as the pages on GetAccount show.
    rate_until_told: ClassVar[float | None] = 14.0
    access_key_id: Secret = setting("AWS_ACCESS_KEY_ID", "", "An IAM key that may send with SES.")
    secret_access_key: Secret = setting("AWS_SECRET_ACCESS_KEY", "", "Its secret.")
    region: Region = setting("AWS_REGION", "us-east-1", "The region of the SES account.")
    enabled: Annotated[str, BeforeValidator(one_of("auto", "1"))] = setting(
        "SES_ENABLED", "auto", "`auto`: when the two keys are set; 1: with boto3's own credential "
        "chain (profile, role).",
    )  # fmt: skip
    daily_limit: DailyLimit = _limit("SES", ESP_FACTS["ses"])
    batch_size: Whole = _batch("SES", ESP_FACTS["ses"])
    rate_per_second: Rate = _rate("SES", ESP_FACTS["ses"])
    priority: Whole = _priority("SES", ESP_FACTS["ses"])
    weight: Share = _weight("SES")
    timeout_seconds: Seconds = _timeout("SES")
    warmup_start: Name = _warmup("SES")
    base_url: EspUrl = setting("SES_ENDPOINT_URL", "", "Empty: the region's own.")
    transport: Annotated[str, BeforeValidator(one_of("api", "smtp"))] = setting(
        "SES_TRANSPORT", "api", "`api`, or `smtp`: one message a request, over several kept "
        "connections. SMTP needs the two keys: its password is derived from them."
    )  # fmt: skip
    smtp_host: OptionalHost = setting(
        "SES_SMTP_HOST", "", "Empty: the region's own, like email-smtp.us-east-1.amazonaws.com."
    )
    smtp_port: Annotated[int, BeforeValidator(whole(1, 65535))] = setting(
        "SES_SMTP_PORT", 587, "25, 587 and 2587 speak STARTTLS; 465 and 2465 TLS."
    )
    smtp_starttls: Annotated[str, BeforeValidator(one_of("0", "1"))] = setting(
        "SES_SMTP_STARTTLS", 1, "1: STARTTLS, without which nothing is sent, but to this machine; "
        "0: TLS from the first byte."
    )  # fmt: skip
    configuration_set: Name = setting(
        "SES_CONFIGURATION_SET", "", "The configuration set that publishes events to SNS."
    )
    topic_arns: TopicArns = setting(
        "SES_SNS_TOPIC_ARNS", "", "SNS topics whose events are believed, separated by commas."
    )
    cert_file: Line = setting(
        "SES_SNS_CERT_FILE",
        "",
        "A PEM file with SNS' signing certificate. Empty: fetched from AWS.",
    )
    sns_endpoint_url: EspUrl = setting(
        "SES_SNS_ENDPOINT_URL", "", "Where subscriptions are confirmed. Empty: the region's own."
    )
    certificate_pem: str | None = None  #: what stands in `cert_file`

    @property
    def facts(self) -> EspFacts:
        """The maxima of the transport."""
        return SES_SMTP_FACTS if self.transport == "smtp" else super().facts

    @property
    def reached_at(self) -> str | None:
        """The address that mail is handed to; None = the ESP's own."""
        if self.transport != "smtp":
            return self.base_url
        host = self.smtp_host or "email-smtp"
        return f"smtp://[{host}]" if ":" in host else f"smtp://{host}"

    @property
    def configured(self) -> bool:
        """Whether there is a key, or boto3 is to find one."""
        keys = self.access_key_id is not None and self.secret_access_key is not None
        return keys or self.enabled == "1"

    @property
    def unheard(self) -> str | None:
        """The empty setting for want of which no event is believed."""
        return None if self.topic_arns else "SES_SNS_TOPIC_ARNS"


class Postmark(EspSection):
    """Postmark's server."""

    title, name, variable_of_key = "Postmark", "postmark", "POSTMARK_API_KEY"
    api_key: Secret = setting("POSTMARK_API_KEY", "", "The server API token.")
    daily_limit: OwnDailyLimit = _limit("POSTMARK", ESP_FACTS["postmark"])
    batch_size: Whole = _batch("POSTMARK", ESP_FACTS["postmark"])
    rate_per_second: Rate = _rate("POSTMARK", ESP_FACTS["postmark"])
    priority: Whole = _priority("POSTMARK", ESP_FACTS["postmark"])
    weight: Share = _weight("POSTMARK")
    timeout_seconds: Seconds = _timeout("POSTMARK")
    warmup_start: Name = _warmup("POSTMARK")
    base_url: EspUrl = setting("POSTMARK_BASE_URL", "", "Empty: https://api.postmarkapp.com.")
    message_stream: Name = setting(
        "POSTMARK_MESSAGE_STREAM", "broadcast", "The message stream of campaigns."
    )
    transactional_stream: Name = setting(
        "POSTMARK_TRANSACTIONAL_STREAM", "outbound", "The message stream of single mails."
    )
    webhook_username: Line = setting(
        "POSTMARK_WEBHOOK_USERNAME", "", "The log-in that Postmark's webhooks carry."
    )
    webhook_password: Secret = setting("POSTMARK_WEBHOOK_PASSWORD", "", "Its password.")
    webhook_username_previous: Line = setting(
        "POSTMARK_WEBHOOK_USERNAME_PREVIOUS", "", "The log-in before a change, still believed."
    )
    webhook_password_previous: Secret = setting(
        "POSTMARK_WEBHOOK_PASSWORD_PREVIOUS", "", "Its password."
    )

    @property
    def configured(self) -> bool:
        """Whether there is a key to send with."""
        return self.api_key is not None

    @property
    def webhook_logins(self) -> tuple[tuple[str, SecretStr], ...]:
        """(name, password) of everyone who is believed."""
        pairs = (
            (self.webhook_username, self.webhook_password),
            (self.webhook_username_previous, self.webhook_password_previous),
        )
        return tuple((name, word) for name, word in pairs if name and word)

    @property
    def unheard(self) -> str | None:
        """The empty setting for want of which no event is believed."""
        return None if self.webhook_logins else "POSTMARK_WEBHOOK_USERNAME"
