"""How the text of a setting becomes a value, or a sentence that says what it must be.

No message repeats the text itself: a secret pasted into the wrong line must not reach a log.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from email_validator import EmailNotValidError, validate_email
from pydantic import BeforeValidator, SecretStr

#: A key of a machine's making has at least 128 bits; 16 characters is the least that can hold them.
MIN_SECRET = 16
MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"

#: A drill's longest lease is an hour by the clock: 15 s of real time then.
FASTEST = 240

_PLACEHOLDER = re.compile(
    r"your[\W_].*|.*[\W_]here|.*change[\W_]?me.*|.*x{6,}.*|(x{3,}[\W_]?)+|<.*>|\[.*\]|\W*"
    r"|.*(placeholder|replace[\W_]?me|dummy|key[\W_]goes).*"
    r"|todo|tbd|none|null|secret|password|api[\W_]?key|key|test|example",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[A-Za-z0-9][\w.@-]{0,39}")
_ARN = re.compile(r"arn:aws(-[a-z-]+)?:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Labelled(NamedTuple):
    """One secret of several, with the name under which its use is recorded."""

    label: str
    secret: SecretStr


def split(text: str) -> list[str]:
    """The parts of a comma-separated value."""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_placeholder(text: str) -> bool:
    """Whether this is what a template or a page shows in place of a key. SendGrid's own prefix is
    no part of the judgement."""
    return bool(_PLACEHOLDER.fullmatch(text.removeprefix("SG.")))


def certificate(name: str) -> str | None:
    """The text of a PEM file that holds a certificate."""
    try:
        text = Path(name).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if "BEGIN CERTIFICATE" in text else None


def secret(text: str) -> SecretStr:
    """A key as an ESP hands it out: one word of printable ASCII, and no placeholder."""
    if is_placeholder(text):
        raise ValueError("holds a placeholder: put the real key there, or leave it empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of printable ASCII: copy the key again")
    return SecretStr(text)


def _strong(text: str) -> SecretStr:
    value = secret(text)
    if len(text) < MIN_SECRET:
        raise ValueError(f"must have at least {MIN_SECRET} characters; {MAKE_ONE}")
    return value


def _secret_or_none(text: str) -> SecretStr | None:
    return secret(text) if text else None


def _required(text: str) -> SecretStr:
    if not text:
        raise ValueError(f"is required: run ./setup.sh, or {MAKE_ONE}")
    return _strong(text)


def _secrets(text: str) -> tuple[SecretStr, ...]:
    if not text:
        raise ValueError(f"is required: run ./setup.sh, or {MAKE_ONE}")
    return tuple(_strong(part) for part in split(text))


def _labelled(text: str) -> tuple[Labelled, ...]:
    return tuple(_one_labelled(part) for part in split(text))


def _one_labelled(text: str) -> Labelled:
    label, colon, key = text.rpartition(":")
    if colon and not _LABEL.fullmatch(label):
        raise ValueError(
            "a label is up to 40 letters, digits or . _ - @, written label:secret; "
            "a secret holds no colon and no comma"
        )
    return Labelled(label, _strong(key))


def _labelled_required(text: str) -> tuple[Labelled, ...]:
    if not split(text):
        raise ValueError(f"is required: run ./setup.sh, or {MAKE_ONE}")
    return _labelled(text)


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Reads a whole number within bounds."""

    def read(text: Any) -> int:
        if not re.fullmatch(r"\d{1,15}", str(text)) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    """Reads a number within bounds."""

    def read(text: Any) -> float:
        plain = re.fullmatch(r"\d{1,12}(\.\d{1,6})?", str(text))
        if not plain or not low <= float(text) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(text)

    return read


class ClockSpeed(NamedTuple):
    """Time that runs so many times as fast from a moment on."""

    speed: float
    since: float  #: Unix seconds


def clock_speed(text: Any) -> ClockSpeed | None:
    """Reads SPEED@UNIX_SECONDS; empty = real time."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)@(\d{9,11}(?:\.\d{1,6})?)", str(text))
    if not found or not 1 <= float(found[1]) <= FASTEST:
        raise ValueError(f"must be SPEED@UNIX_SECONDS, with a speed from 1 to {FASTEST}")
    return ClockSpeed(float(found[1]), float(found[2]))


def one_of(*words: str) -> Callable[[Any], str]:
    """Reads one of a few words, in any case."""

    def read(text: Any) -> str:
        if str(text).lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return str(text).lower()

    return read


_ADDRESS_KINDS = ("typo", "disposable", "role")


def _kinds(text: str) -> tuple[str, ...]:
    """Kinds of addresses, between commas."""
    kinds = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not set(kinds) <= set(_ADDRESS_KINDS):
        raise ValueError(f"must be some of {', '.join(_ADDRESS_KINDS)}, between commas")
    return kinds


def _limit(text: str) -> int | None:
    """None = no limit of ours; where the ESP tells a figure, that holds."""
    if text.lower() in ("none", "esp"):
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(
            "must be a whole number of messages a day, 0 for no mail at all, `esp` or `none`"
        )
    return int(text)


def _own_limit(text: str) -> int | None:
    if text.lower() == "esp":
        raise ValueError("cannot be `esp`, which tells no figure: give a number, or none")
    return _limit(text)


def _rate(text: str) -> float | None:
    """None = the default; infinity = no limit."""
    if not text:
        return None
    if text.lower() == "none":
        return float("inf")
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text) or float(text) <= 0:
        raise ValueError("must be a number of messages a second above 0, or none")
    return float(text)


def _address(text: str) -> str | None:
    if not text:
        return None
    try:
        checked = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("must be one e-mail address, like news@example.com") from None
    if checked.ascii_email is None:
        raise ValueError("must have an ASCII part before the @: ESPs refuse others")
    return f"{checked.ascii_local_part}@{checked.ascii_domain}"


def _line(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("must be one line")
    return text


def _postal(text: str) -> str:
    """Lines of an address may be written with \\n."""
    return "\n".join(_line(part.strip()) for part in text.replace("\\n", "\n").splitlines())


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part, strict=False)) for part in split(text))
    except ValueError:
        raise ValueError("must be IP addresses or networks, separated by commas") from None


def _addresses_of_hosts(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_address(part)) for part in split(text))
    except ValueError:
        raise ValueError("must be IP addresses, separated by commas") from None


def _arns(text: str) -> tuple[str, ...]:
    if not all(_ARN.fullmatch(part) for part in split(text)):
        raise ValueError("must be SNS topics like arn:aws:sns:us-east-1:123456789012:ses-events")
    return tuple(split(text))


def _public_keys(text: str) -> tuple[str, ...]:
    return tuple(_public_key(part) for part in split(text))


def _public_key(text: str) -> str:
    """Base64 of a DER SubjectPublicKeyInfo: SendGrid shows it without PEM lines."""
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        der = b""
    if len(der) < 64 or der[0] != 0x30:  # 0x30: an ASN.1 sequence
        raise ValueError("must be the verification key as SendGrid shows it: base64 on one line")
    return text


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
            return text
    raise ValueError("must be an IP address or a host name, without http:// and port")


def _host_or_none(text: str) -> str:
    return _host(text) if text else ""


def _name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise ValueError("must be up to 64 letters, digits, - or _")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", text):
        raise ValueError("must be an AWS region like us-east-1")
    return text


Secret = Annotated[SecretStr | None, BeforeValidator(_secret_or_none)]
RequiredSecret = Annotated[SecretStr, BeforeValidator(_required)]
RequiredSecrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_secrets)]
LabelledSecrets = Annotated[tuple[Labelled, ...], BeforeValidator(_labelled)]
RequiredLabelledSecrets = Annotated[tuple[Labelled, ...], BeforeValidator(_labelled_required)]
DailyLimit = Annotated[int | None, BeforeValidator(_limit)]
#: The same for an ESP that cannot be asked.
OwnDailyLimit = Annotated[int | None, BeforeValidator(_own_limit)]
Rate = Annotated[float | None, BeforeValidator(_rate)]
MailAddress = Annotated[str | None, BeforeValidator(_address)]
Line = Annotated[str, BeforeValidator(_line)]
Postal = Annotated[str, BeforeValidator(_postal)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_networks)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_addresses_of_hosts)]
TopicArns = Annotated[tuple[str, ...], BeforeValidator(_arns)]
PublicKeys = Annotated[tuple[str, ...], BeforeValidator(_public_keys)]
Kinds = Annotated[tuple[str, ...], BeforeValidator(_kinds)]
Host = Annotated[str, BeforeValidator(_host)]
OptionalHost = Annotated[str, BeforeValidator(_host_or_none)]
Name = Annotated[str, BeforeValidator(_name)]
Region = Annotated[str, BeforeValidator(_region)]
