"""How the state of a policy becomes JSON for one database row, and comes back."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Self, cast


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, Any], ...]:
    """Name, default and reader of every field."""
    blank = kind()
    found = [(one.name, getattr(blank, one.name)) for one in fields(kind)]
    return tuple((name, default, _reader(default)) for name, default in found)


def _reader(default: Any) -> Any:
    if isinstance(default, Stored):
        return type(default).from_json
    return _tuples if isinstance(default, tuple) else None


def _tuples(value: Any) -> Any:
    return tuple([_tuples(one) if type(one) is list else one for one in value])


class Stored:
    """A frozen dataclass of numbers, words, (nested) tuples of them and other `Stored`; every field
    has a default, so a row that an older or newer version wrote can still be read."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object without what is as at first: rows stay small, and most of it is. Much
        quicker than `dataclasses.asdict`, which copies deeply."""
        written: dict[str, Any] = {}
        for name, default, reader in _fields(cast("Any", type(self))):
            value = getattr(self, name)
            if value is not default and value != default:
                written[name] = value.to_json() if reader and reader is not _tuples else value
        return written

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The state in a row; fields that this version does not know are dropped."""
        return cls(**Stored.read(cls, value))

    @staticmethod
    def read(kind: Any, value: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of `kind` that are in a row."""
        return {
            name: reader(value[name]) if reader else value[name]
            for name, _, reader in _fields(kind)
            if name in value
        }
