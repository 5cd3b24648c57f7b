"""Settings of the house: variable, default and one sentence each.

With those of the ESPs (config/esp_sections.py) they are the single source of `.env.example` and
docs/settings.md (config/pages.py).
"""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from config.urls import LoopbackUrl, PublicUrl
from config.values import (
    ClockSpeed,
    Host,
    Hosts,
    Kinds,
    LabelledSecrets,
    Line,
    MailAddress,
    Networks,
    Postal,
    RequiredLabelledSecrets,
    RequiredSecret,
    RequiredSecrets,
    Secret,
    clock_speed,
    one_of,
    whole,
)


def setting(variable: str, default: object, sentence: str) -> Any:
    """One row of the table."""
    return Field("" if default is None else str(default), alias=variable, description=sentence)


class Section(BaseModel):
    """A group of settings. Errors of pydantic never repeat what was given."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )
    title: ClassVar[str]


class Service(Section):
    """Where the service listens and keeps its things."""

    title = "Service"
    mode: Annotated[str, BeforeValidator(one_of("sandbox", "live"))] = setting(
        "MODE", "sandbox", "`sandbox`: a simulator stands in for all three ESPs and nothing leaves "
        "this machine; `live`: mail is sent, and at least one ESP must be configured.",
    )  # fmt: skip
    host: Host = setting(
        "HOST", "127.0.0.1", "The address to listen on; 0.0.0.0 for every interface."
    )
    port: Annotated[int, BeforeValidator(whole(1, 65535))] = setting(
        "PORT", 5000, "The port to listen on; the simulator takes the next one."
    )
    public_url: PublicUrl = setting(
        "PUBLIC_URL", "", "How recipients and ESPs reach this service: stands in every link of a "
        "mail. Empty: http://HOST:PORT.",
    )  # fmt: skip
    trusted_proxies: Networks = setting(
        "TRUSTED_PROXIES", "127.0.0.1,::1", "X-Forwarded-For, -Proto and -Host are believed from "
        "these addresses or networks only.",
    )  # fmt: skip
    database_url: Annotated[SecretStr, BeforeValidator(SecretStr)] = setting(
        "DATABASE_URL", "", "sqlite:///file or postgresql://log-in@host/name. Empty: "
        "data/sandbox.db in sandbox, data/email.db in live.",
    )  # fmt: skip
    queue_url: Annotated[SecretStr, BeforeValidator(SecretStr)] = setting(
        "QUEUE_URL", "", "Where the work engine keeps its hints. Empty: queue.db beside the SQLite "
        "file, else the same PostgreSQL.",
    )  # fmt: skip
    worker: Annotated[str, BeforeValidator(one_of("embedded", "off"))] = setting(
        "WORKER", "embedded", "`embedded`: the web process also works; `off`: `./setup.sh worker` "
        "does, elsewhere.",
    )  # fmt: skip
    simulator_url: LoopbackUrl = setting(
        "SIMULATOR_URL", "", "A simulator that already runs. Empty: one is started on PORT + 1."
    )
    log_format: Annotated[str, BeforeValidator(one_of("console", "json"))] = setting(
        "LOG_FORMAT", "console", "`console` for people, `json` for machines; one event a line."
    )
    max_request_mb: Annotated[int, BeforeValidator(whole(1, 1000))] = setting(
        "MAX_REQUEST_MB", 32, "The largest request body in megabytes; imports are streamed and "
        "have no such limit.",
    )  # fmt: skip
    drill_clock: Annotated[ClockSpeed | None, BeforeValidator(clock_speed)] = setting(
        "DRILL_CLOCK", "", "Leave it empty: `simulator drill` sets it for its own processes. "
        "SPEED@UNIX_SECONDS lets the house's time run so many times as fast from that moment on; "
        "refused in live.",
    )  # fmt: skip


class Keys(Section):
    """Who may ask, and what proves that a link is ours."""

    title = "Keys"
    api_key: RequiredLabelledSecrets = setting(
        "API_KEY", "", "May do everything. Several are separated by commas, each optionally as "
        "label:secret; the label is recorded with what its holder does. setup.sh makes one.",
    )  # fmt: skip
    api_key_send: LabelledSecrets = setting(
        "API_KEY_SEND", "", "May only send single mails (/send-email) and read sends; same form."
    )
    api_key_read: LabelledSecrets = setting(
        "API_KEY_READ", "", "May only read (GET); same form as API_KEY."
    )
    secret_key: RequiredSecrets = setting(
        "SECRET_KEY", "", "Signs links and sessions. Several, separated by commas: the first "
        "signs, all verify, so put a new one in front. setup.sh makes one.",
    )  # fmt: skip
    erasure_key: RequiredSecret = setting(
        "ERASURE_KEY", "", "Hashes the addresses of erased people, so that they stay suppressed. "
        "Never change it. setup.sh makes one.",
    )  # fmt: skip


class Mail(Section):
    """Who the mail is from."""

    title = "Mail"
    mail_from: MailAddress = setting(
        "MAIL_FROM", "", "The sender's address when a campaign names none. Empty in sandbox: "
        "news@example.com.",
    )  # fmt: skip
    mail_from_name: Line = setting("MAIL_FROM_NAME", "", "The sender's name beside it.")
    mail_reply_to: MailAddress = setting("MAIL_REPLY_TO", "", "Where answers go.")
    postal_address: Postal = setting(
        "POSTAL_ADDRESS", "", "Your postal address; the law wants it in every campaign. \\n "
        "begins a new line. Empty in sandbox: a sample.",
    )  # fmt: skip
    unsubscribe_mailto: MailAddress = setting(
        "UNSUBSCRIBE_MAILTO", "", "A mailbox that takes unsubscribe requests; a second way in "
        "List-Unsubscribe, beside the link.",
    )  # fmt: skip
    refuse_addresses: Kinds = setting(
        "REFUSE_ADDRESSES", "", "Kinds of addresses that nobody new comes in with, between commas: "
        "`typo` (gmial.com), `disposable` (throw-away mailboxes), `role` (info@). Those that are "
        "not named are warned of by an import.",
    )  # fmt: skip


class Sending(Section):
    """How sending behaves, whatever the ESP."""

    title = "Sending"
    transactional_reserve_percent: Annotated[int, BeforeValidator(whole(0, 100))] = setting(
        "TRANSACTIONAL_RESERVE_PERCENT", 10, "The share of limits and rates that campaigns never "
        "take.",
    )  # fmt: skip
    lease_seconds: Annotated[int, BeforeValidator(whole(6, 3600))] = setting(
        "LEASE_SECONDS", 60, "How long a worker may hold a batch; must exceed every "
        "TIMEOUT_SECONDS by 5.",
    )  # fmt: skip
    in_doubt_wait_seconds: Annotated[int, BeforeValidator(whole(1, 604800))] = setting(
        "IN_DOUBT_WAIT_SECONDS", 900, "How long a send must be in doubt before an ESP's \"not "
        "found\" counts.",
    )  # fmt: skip
    schedule_grace_seconds: Annotated[int, BeforeValidator(whole(0, 604800))] = setting(
        "SCHEDULE_GRACE_SECONDS", 3600, "A scheduled campaign later than this is paused, not sent."
    )
    on_suspension: Annotated[str, BeforeValidator(one_of("pause", "failover"))] = setting(
        "ON_SUSPENSION", "pause", "What campaigns do when an ESP suspends the account: `pause` "
        "until a person decides, or `failover` to the other ESPs.",
    )  # fmt: skip
    dns_resolvers: Hosts = setting(
        "DNS_RESOLVERS", "", "IP addresses of resolvers for DNS checks. Empty: the host's own."
    )
    inbound_secret: Secret = setting(
        "INBOUND_SECRET", "", "Stands in the address to which ESPs forward replies."
    )


def variables(section: type[Section]) -> dict[str, str]:
    """Variable -> default, in the order of the page."""
    return {
        str(field.alias): str(field.default)
        for field in section.model_fields.values()
        if field.alias
    }
