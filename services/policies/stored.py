"""How the state of a policy becomes JSON for one database row, and comes back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: Any) -> tuple[str, ...]:
    if kind not in _NAMES:
        _NAMES[kind] = tuple(field.name for field in fields(kind))
    return _NAMES[kind]


class Stored:
    """A frozen dataclass of numbers, words, tuples of them and other `Stored`; every field has a
    default, so a row that an older or newer version wrote can still be read."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object. Much quicker than `dataclasses.asdict`, which copies deeply."""
        written: dict[str, Any] = {}
        for name in _names(type(self)):
            value = getattr(self, name)
            written[name] = value.to_json() if isinstance(value, Stored) else value
        return written

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The state in a row; fields that this version does not know are dropped."""
        blank = cls()
        return cls(**{
            name: _read(getattr(blank, name), value[name])
            for name in _names(cls)
            if name in value
        })  # fmt: skip


def _read(blank: Any, value: Any) -> Any:
    if isinstance(blank, Stored):
        return type(blank).from_json(value)
    return tuple(value) if isinstance(blank, tuple) else value
