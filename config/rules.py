"""Which settings do not go together, and which are for features that are still to come."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from config.environment import Problem
from config.esp_sections import EspSection, Postmark, Sendgrid, Ses
from config.sections import Keys, Mail, Section, Sending, Service, variables
from config.urls import is_loopback, is_sqlite, sqlite_file
from config.values import certificate, is_placeholder

Parts = Mapping[type[Section], Section | None]

#: Keys and addresses of ESPs: the simulator has its own.
SANDBOX_IGNORES = (
    "SENDGRID_API_KEY", "SENDGRID_BASE_URL", "SENDGRID_WEBHOOK_PUBLIC_KEY",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "SES_ENABLED", "SES_ENDPOINT_URL",
    "SES_SMTP_HOST", "SES_SMTP_PORT", "SES_SMTP_STARTTLS",
    "SES_SNS_TOPIC_ARNS", "SES_SNS_CERT_FILE", "SES_SNS_ENDPOINT_URL",
    "POSTMARK_API_KEY", "POSTMARK_BASE_URL",
    "POSTMARK_WEBHOOK_USERNAME", "POSTMARK_WEBHOOK_PASSWORD",
    "POSTMARK_WEBHOOK_USERNAME_PREVIOUS", "POSTMARK_WEBHOOK_PASSWORD_PREVIOUS",
)  # fmt: skip

#: Settings of features that are still to come, with the one value that needs none of them.
NOT_AVAILABLE = {
    "SENDGRID_WARMUP_START": "",
    "SES_WARMUP_START": "",
    "POSTMARK_WARMUP_START": "",
    "INBOUND_SECRET": "",
    "DNS_RESOLVERS": "",
}

#: Over this, a request may outlive the lease of its batch.
_LEASE_MARGIN = 5
_QUEUES = ("sqlite", "postgresql")


_DEFAULTS = variables(Sendgrid) | variables(Ses) | variables(Postmark)


def for_mode(values: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What counts in this mode, and the names of what does not."""
    if values.get("MODE", "sandbox").lower() != "sandbox":
        return dict(values), ()
    counts = {name: value for name, value in values.items() if name not in SANDBOX_IGNORES}
    told = [name for name in SANDBOX_IGNORES if name in values]
    return counts, tuple(name for name in told if values[name] != _DEFAULTS[name])


def not_available(values: Mapping[str, str]) -> list[Problem]:
    """What is set and would need something that is not built."""
    return [
        Problem(name, "is not available yet: leave it empty")
        for name, harmless in NOT_AVAILABLE.items()
        if name in values and values[name].lower() != harmless
    ]


def between(parts: Parts, values: Mapping[str, str]) -> list[Problem]:
    """Mistakes that show only when settings are seen together. Most are asked of the variables, so
    that another mistake beside them hides none; a section that could not be read is left out."""
    alone = [
        *_databases(values), *_live_needs_an_esp(values), *_aws_pair(values),
        *_certificate(values), *_webhook_pairs(values), *_smtp(values), *_drill(values),
    ]  # fmt: skip
    return [*alone, *(problem for part in parts.values() for problem in _of_section(part, parts))]


def _of_section(part: Section | None, parts: Parts) -> Iterable[Problem]:
    match part:
        case Service():
            return _simulator_port(part)
        case Keys():
            return _shared_secrets(part)
        case Sending():
            return _leases(part, parts)
        case _:
            return ()


def _databases(values: Mapping[str, str]) -> list[Problem]:
    database, queue = values.get("DATABASE_URL", ""), values.get("QUEUE_URL", "")
    problems = [*_database_url(database)]
    scheme = queue.partition(":")[0].partition("+")[0]
    if queue and (scheme not in _QUEUES or (scheme == "sqlite" and not sqlite_file(queue))):
        words = "must be sqlite:///file or postgresql://… (redis is not available yet)"
        problems.append(Problem("QUEUE_URL", words))
    elif queue and scheme != "sqlite" and is_sqlite(database):
        problems.append(
            Problem("QUEUE_URL", "an SQLite database goes with a queue in a file: leave it empty, "
                    "or set DATABASE_URL to PostgreSQL")
        )  # fmt: skip
    return problems


def _database_url(url: str) -> Iterable[Problem]:
    try:
        parts = urlsplit(url)
        scheme = parts.scheme if parts.port != 0 else "unreadable"
    except ValueError:  # also of a port that is no number
        scheme = "unreadable"
    if scheme == "sqlite" and not sqlite_file(url):
        yield Problem("DATABASE_URL", "must name a file, like sqlite:///data/email.db")
    elif url and scheme not in {"sqlite", "postgresql", "postgresql+psycopg"}:
        yield Problem(
            "DATABASE_URL", "must begin with sqlite:/// or postgresql:// (psycopg is the driver)"
        )


def _live_needs_an_esp(values: Mapping[str, str]) -> Iterable[Problem]:
    """A bad key is reported as a bad key alone."""
    keys = (Sendgrid.variable_of_key, Ses.variable_of_key, Postmark.variable_of_key)
    if values.get("MODE", "").lower() == "live" and not any(key in values for key in keys):
        if values.get("SES_ENABLED") == "1":
            return
        yield Problem("MODE", f"live needs at least one ESP: set {', '.join(keys)}")


def _drill(values: Mapping[str, str]) -> Iterable[Problem]:
    """Limits per day and per second, and every record's time, would be wrong for real ESPs."""
    if values.get("MODE", "").lower() == "live" and "DRILL_CLOCK" in values:
        yield Problem("DRILL_CLOCK", "is for a drill in the sandbox only: leave it empty in live")


def _simulator_port(service: Service) -> Iterable[Problem]:
    if service.mode == "sandbox" and not service.simulator_url and service.port == 65535:
        yield Problem("PORT", "leaves no next port for the simulator: take a lower one")


def _shared_secrets(keys: Keys) -> list[Problem]:
    """One secret, one meaning: a key with two scopes would silently have the wider one."""
    groups = {
        "API_KEY": [key.secret for key in keys.api_key],
        "API_KEY_SEND": [key.secret for key in keys.api_key_send],
        "API_KEY_READ": [key.secret for key in keys.api_key_read],
        "SECRET_KEY": list(keys.secret_key),
        "ERASURE_KEY": [keys.erasure_key],
    }
    first: dict[str, str] = {}
    problems = []
    for name, secrets in groups.items():
        for secret in secrets:
            owner = first.setdefault(secret.get_secret_value(), name)
            if owner != name:
                problems.append(Problem(name, f"holds a secret of {owner}: make another one"))
    return [*problems, *_shared_labels(keys)]


def _shared_labels(keys: Keys) -> Iterable[Problem]:
    """Acts are recorded by label: two holders of one label could not be told apart."""
    labels: set[str] = set()
    for name in ("api_key", "api_key_send", "api_key_read"):
        for key in getattr(keys, name):
            if key.label and key.label in labels:
                yield Problem(name.upper(), f"the label {key.label} is taken: give another one")
            labels.add(key.label)


def _leases(sending: Sending, parts: Parts) -> list[Problem]:
    service = parts.get(Service)
    fast = service.drill_clock if isinstance(service, Service) else None
    speed = fast.speed if fast else 1.0  # leases go by the clock, requests do not
    return [
        Problem(
            "LEASE_SECONDS",
            f"must exceed {type(esp).__name__.upper()}_TIMEOUT_SECONDS by {_LEASE_MARGIN}"
            f"{' on the clock of the drill' if fast else ''}: "
            f"at least {(esp.timeout_seconds + _LEASE_MARGIN) * speed:g}",
        )
        for esp in parts.values()
        if isinstance(esp, EspSection)
        and sending.lease_seconds < (esp.timeout_seconds + _LEASE_MARGIN) * speed
    ]


def _aws_pair(values: Mapping[str, str]) -> Iterable[Problem]:
    halves = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    yield from _halves(values, *halves)


#: docs.aws.amazon.com/ses/latest/dg/smtp-connect.html
_STARTTLS_PORTS, _TLS_PORTS = ("25", "587", "2587"), ("465", "2465")


def _smtp(values: Mapping[str, str]) -> Iterable[Problem]:
    if values.get("SES_TRANSPORT", "").lower() != "smtp":
        return
    if "AWS_ACCESS_KEY_ID" not in values and values.get("SES_ENABLED") == "1":
        words = "smtp needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: SES takes no role's keys"
        yield Problem("SES_TRANSPORT", words)
    port, starttls = values.get("SES_SMTP_PORT", "587"), values.get("SES_SMTP_STARTTLS", "1")
    if (port in _TLS_PORTS and starttls == "1") or (port in _STARTTLS_PORTS and starttls == "0"):
        words = f"must be {1 - int(starttls)} with port {port}, or take another SES_SMTP_PORT"
        yield Problem("SES_SMTP_STARTTLS", words)


def _certificate(values: Mapping[str, str]) -> Iterable[Problem]:
    file = values.get("SES_SNS_CERT_FILE")
    if file and certificate(file) is None:
        yield Problem("SES_SNS_CERT_FILE", "must be a readable PEM file with a certificate")


def _webhook_pairs(values: Mapping[str, str]) -> Iterable[Problem]:
    for end in ("", "_PREVIOUS"):
        name = "POSTMARK_WEBHOOK"
        yield from _halves(values, f"{name}_USERNAME{end}", f"{name}_PASSWORD{end}")


def _halves(values: Mapping[str, str], one: str, other: str) -> Iterable[Problem]:
    """A placeholder is no half; it is told as what it is."""
    if (one in values) != (other in values):
        missing, there = (other, one) if one in values else (one, other)
        if is_placeholder(values[there]):
            return
        yield Problem(missing, "is missing beside its other half")


def blockers(service: Service, mail: Mail) -> Iterable[Problem]:
    """Why no campaign may go to real people yet."""
    url = service.public_url or ""
    if is_loopback(url):
        yield Problem("PUBLIC_URL", "is an address that only this machine can reach")
    elif not url.startswith("https:"):
        yield Problem("PUBLIC_URL", "must be https: unsubscribe links need it (RFC 8058)")
    if not mail.mail_from:
        yield Problem("MAIL_FROM", "is not set")
    if not mail.postal_address:
        yield Problem("POSTAL_ADDRESS", "is not set: the law wants it in every campaign")
