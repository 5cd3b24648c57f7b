"""The only reader of the environment: one frozen `Settings`, or every mistake at once by name.

Knows what each setting means for the others; what one value must look like is config/values.py.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from config import completion, rules
from config.domains import DOMAIN_SETUP, from_domains
from config.environment import Environment, Problem, near_misses, read, without_dotenv
from config.esp_sections import EspSection, Postmark, Sendgrid, Ses
from config.sections import Keys, Mail, Section, Sending, Service, variables
from config.urls import is_loopback

S = TypeVar("S", bound=Section)

SECTIONS: tuple[type[Section], ...] = (Service, Keys, Mail, Sendgrid, Ses, Postmark, Sending)
KNOWN = frozenset(name for section in SECTIONS for name in variables(section))
EX_CONFIG = 78  # sysexits.h


class SettingsError(Exception):
    """What is wrong, all of it; the program that meets it exits with EX_CONFIG."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """No problem holds a value, only names and sentences."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ApiKey(BaseModel):
    """One key of the API: what it may do, and under which label its acts are recorded."""

    model_config = ConfigDict(frozen=True)
    label: str
    scope: str  #: full, send or read
    secret: SecretStr


class Settings(BaseModel):
    """Everything that was set, checked, with the defaults filled in. Never changes."""

    model_config = ConfigDict(frozen=True)
    service: Service
    keys: Keys
    mail: Mail
    sending: Sending
    sendgrid: Sendgrid
    ses: Ses
    postmark: Postmark
    #: Domains from which mail may be sent.
    from_domains: frozenset[str]
    #: Variables that are set and have no effect in sandbox.
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: How a shell command line names the first full key without showing it.
    key_in_shell: str = "$API_KEY"

    @property
    def mode(self) -> str:
        """`sandbox` or `live`."""
        return self.service.mode

    @property
    def is_sandbox(self) -> bool:
        """Whether a simulator stands in for the ESPs."""
        return self.service.mode == "sandbox"

    @property
    def public_url(self) -> str:
        """Without a final slash."""
        return self.service.public_url or ""

    @property
    def database_url(self) -> str:
        """May hold a password: not for logs."""
        return self.service.database_url.get_secret_value()

    @property
    def queue_url(self) -> str:
        """May hold a password: not for logs."""
        return self.service.queue_url.get_secret_value()

    @property
    def simulator_url(self) -> str:
        """Where the simulator listens, or would."""
        return self.service.simulator_url or f"http://127.0.0.1:{self.service.port + 1}"

    @property
    def local_address(self) -> str:
        """Host and port at which this machine reaches the service."""
        return f"{completion.reachable(self.service.host)}:{self.service.port}"

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The first signs, all verify."""
        return tuple(key.get_secret_value() for key in self.keys.secret_key)

    @property
    def erasure_key(self) -> str:
        """Hashes erased addresses."""
        return self.keys.erasure_key.get_secret_value()

    @property
    def api_keys(self) -> tuple[ApiKey, ...]:
        """All keys of all scopes; one without a label is named after its variable."""
        groups = (
            ("full", "api_key", self.keys.api_key),
            ("send", "api_key_send", self.keys.api_key_send),
            ("read", "api_key_read", self.keys.api_key_read),
        )
        return tuple(
            ApiKey(label=key.label or name + (f"_{n}" if n > 1 else ""), scope=scope,
                   secret=key.secret)
            for scope, name, keys in groups
            for n, key in enumerate(keys, 1)
        )  # fmt: skip

    @property
    def esps(self) -> dict[str, EspSection]:
        """By name."""
        return {"sendgrid": self.sendgrid, "ses": self.ses, "postmark": self.postmark}

    @property
    def on_loopback(self) -> bool:
        """Whether every ESP that mail may go to is on this machine."""
        used = [esp for esp in self.esps.values() if esp.configured]
        return self.is_sandbox or all(is_loopback(esp.reached_at) for esp in used)

    @property
    def unheard(self) -> dict[str, str]:
        """The ESPs in use whose events cannot be believed, and what to do about it."""
        return {
            name: f"nothing of what {esp.title} does with your mail is heard (deliveries, bounces, "
            f"complaints): set {esp.unheard} and its webhook"
            for name, esp in self.esps.items()
            if esp.configured and esp.unheard
        }

    @property
    def not_ready(self) -> tuple[Problem, ...]:
        """Why a campaign may not go to real people yet; empty when it may, or when none would."""
        return () if self.on_loopback else tuple(rules.blockers(self.service, self.mail))

    @property
    def secret_values(self) -> frozenset[str]:
        """Every configured secret, for redaction."""
        sections = [getattr(self, name) for name in type(self).model_fields]
        return frozenset(
            value for part in sections if isinstance(part, Section) for value in _secrets(part)
        )

    def with_simulator(self, url: str, keys: Mapping[str, Any]) -> "Settings":
        """The same settings with all three ESPs at the simulator, by the keys it publishes."""
        return self.model_copy(update=completion.simulated(self.esps, url, keys))


def load(
    env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env"), *,
    after_flask: bool = False,
) -> Settings:  # fmt: skip
    """Read, check, complete. Raises SettingsError with every problem. `after_flask`: its command
    line has put `.env` into the environment, expanded, whatever EDS_NO_DOTENV says."""
    given = os.environ if env is None else env
    if after_flask and dotenv is not None and not given.get("FLASK_SKIP_DOTENV"):
        given = without_dotenv(given, dotenv)
    found = read(given, dotenv)
    problems = list(found.problems)
    values, ignored = rules.for_mode(found.values)
    parts = {section: _section(section, values, problems) for section in SECTIONS}
    domains = _domains(problems)
    problems += rules.not_available(values)
    problems += rules.between(parts, values)
    if problems:
        raise SettingsError(_once(problems))
    return _completed(parts, domains, ignored, found)


def _section(section: type[S], values: Mapping[str, str], problems: list[Problem]) -> S | None:
    names = variables(section)
    try:
        return section.model_validate({name: values[name] for name in names if name in values})
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            message = item["msg"].removeprefix("Value error, ")
            problems.append(Problem(_variable(section, str(item["loc"][0])), message))
        return None


def _variable(section: type[Section], place: str) -> str:
    """pydantic names a field that was left to its default by its own name."""
    field = section.model_fields.get(place)
    return str(field.alias) if field else place


def _domains(problems: list[Problem]) -> frozenset[str]:
    try:
        return from_domains(DOMAIN_SETUP)
    except ValueError as error:
        problems.append(Problem(f"config/{DOMAIN_SETUP.name}", str(error)))
        return frozenset()


def _completed(
    parts: Mapping[type[Section], Section | None],
    domains: frozenset[str],
    ignored: tuple[str, ...],
    found: Environment,
) -> Settings:
    by_name = {type(part).__name__.lower(): part for part in parts.values() if part is not None}
    service, mail = _only(Service, parts), _only(Mail, parts)
    esps = [part for part in parts.values() if isinstance(part, EspSection)]
    finished: dict[str, Any] = by_name | completion.completed(service, mail, esps)
    sender = finished["mail"].mail_from
    own = {sender.rpartition("@")[2]} if sender else set()
    return Settings(
        **finished,
        from_domains=domains | own,
        ignored=ignored,
        warnings=(*found.warnings, *near_misses(found, KNOWN)),
        key_in_shell=found.key_in_shell,
    )


def _only(section: type[S], parts: Mapping[type[Section], Section | None]) -> S:
    part = parts[section]
    if not isinstance(part, section):
        raise TypeError(f"{section.__name__} was not read")
    return part


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the page, each once."""
    order = {name: number for number, name in enumerate(_page_order())}
    return sorted(dict.fromkeys(problems), key=lambda problem: order.get(problem.name, -1))


def _page_order() -> list[str]:
    return [name for section in SECTIONS for name in variables(section)]


def _secrets(part: Section) -> Iterable[str]:
    for _, value in part:
        items = value if isinstance(value, tuple) else (value,)
        for item in items:
            secret = getattr(item, "secret", item)
            if isinstance(secret, SecretStr) and secret.get_secret_value():
                yield from completion.redacted_parts(secret.get_secret_value())
