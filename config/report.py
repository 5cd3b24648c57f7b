"""Which settings are in force, in words for a person; no secret is among them."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.sections import Section
from config.settings import SECTIONS, Settings


class Line(NamedTuple):
    """One setting and its value as it may be shown."""

    name: str
    value: str


def lines(settings: Settings) -> list[Line]:
    """Every setting in the order of the page."""
    parts = {type(part): part for _, part in settings if isinstance(part, Section)}
    return [line for section in SECTIONS for line in _of(parts[section])]


def _of(part: Section) -> Iterator[Line]:
    for name, field in type(part).model_fields.items():
        if field.alias:
            yield Line(str(field.alias), shown(getattr(part, name)))


def shown(value: Any) -> str:
    """A value as it may be shown: of a secret only that it is there, of an address no log-in."""
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, SecretStr):
        return _secret(value.get_secret_value())
    if isinstance(value, tuple) and not isinstance(value[0], str):
        return f"{len(value)} set"
    return ", ".join(value) if isinstance(value, tuple) else str(value).replace("\n", "\\n")


def _secret(text: str) -> str:
    if not text:
        return ""
    if "://" not in text:
        return "set"
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
