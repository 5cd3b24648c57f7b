"""Segments: which rules there are, what may stand in them, and what a saved name means.

A rule is checked here once and kept as a plain tree; `database.segment_sql` turns it into SQL.
docs/segments.md says what each rule means.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from database.models import SubscriberStatus
from utils import times
from utils.errors import FieldError, Invalid

#: A checked rule: {"all": […]}, {"any": […]}, {"not": …} or {"field", "op", "value"}.
Tree = dict[str, Any]

DEEPEST = 10
MOST_NODES = 200
MOST_VALUES = 500
LONGEST_TEXT = 1_000
_LARGEST_NUMBER = 1e300
ATTRIBUTE = "attributes."

#: What kind of field each is; `attributes.<name>` is of the kind `attribute`.
FIELDS = {
    "email": "text",
    "name": "text",
    "status": "status",
    "tags": "tags",
    "engagement_score": "score",
    "created_at": "time",
    "opt_in_at": "time",
    "last_open_at": "time",
    "last_click_at": "time",
    "last_delivered_at": "time",
}
_ORDER = ("<", "<=", ">", ">=")
OPERATORS = {
    "text": ("=", "!=", "in", "not_in", "contains", "starts_with", "exists"),
    "status": ("=", "!=", "in", "not_in"),
    "tags": ("contains", "in", "not_in", "exists"),
    "score": (*_ORDER, "exists"),
    "time": (*_ORDER, "older_than", "newer_than", "exists"),
    "attribute": ("=", "!=", "in", "not_in", *_ORDER, "contains", "starts_with", "exists"),
}


class SegmentError(Invalid):
    """A rule that cannot be used; `path` names the node, like `all[1].value`."""

    def __init__(self, path: str, message: str) -> None:
        """`path` is empty for the rule as a whole."""
        super().__init__([FieldError(f"segment.{path}" if path else "segment", message)])
        self.path = path


def kind_of(field: str) -> str | None:
    """The kind of a field, or None when there is no such field."""
    if field.startswith(ATTRIBUTE) and len(field) > len(ATTRIBUTE):
        return "attribute"
    return FIELDS.get(field)


class SavedSegments:
    """The segments of config/segments.json by name."""

    def __init__(self, content: Mapping[str, Any] | None = None) -> None:
        """Checks every segment at once, so that a mistake shows at start and not at a launch."""
        content = content or {}
        _only(content, {"fields", "segments"}, "")
        self.fields = _declared(content.get("fields", []))
        rules = content.get("segments", {})
        if not isinstance(rules, Mapping):
            raise SegmentError("segments", "must be an object of rules by name")
        self.rules: Mapping[str, Any] = rules
        for name in rules:
            parse(name, self)


def parse(rule: Any, saved: SavedSegments | None = None) -> Tree:
    """The checked tree of `rule`, names replaced by what they mean; raises `SegmentError`."""
    return _Parser(saved.rules if saved else {}).node(rule, "", 1, ())


def read(text: str | None) -> Any:
    """What a query or a terminal says: a rule if it begins like one, else a name. Not checked."""
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise SegmentError("", "begins like a rule and is not JSON") from None


class _Parser:
    """One parse; counts nodes over everything that saved names unfold to."""

    def __init__(self, saved: Mapping[str, Any]) -> None:
        self._saved = saved
        self._nodes = 0

    def node(self, rule: Any, path: str, depth: int, within: tuple[str, ...]) -> Tree:
        """`within` are the saved segments that this node stands in."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise SegmentError(path, f"the rule has more than {MOST_NODES} nodes")
        if depth > DEEPEST:
            raise SegmentError(path, f"the rule is nested more than {DEEPEST} deep")
        if isinstance(rule, str):
            return self._named(rule, path, depth, within)
        if not isinstance(rule, Mapping):
            raise SegmentError(path, "must be an object, or the name of a segment or tag")
        for word in ("all", "any"):
            if word in rule:
                _only(rule, {word}, path)
                return {word: self._several(rule[word], _at(path, word), depth, within)}
        if "not" in rule:
            _only(rule, {"not"}, path)
            return {"not": self.node(rule["not"], _at(path, "not"), depth + 1, within)}
        return _leaf(rule, path)

    def _several(
        self, rules: Any, path: str, depth: int, within: tuple[str, ...]
    ) -> list[Tree]:  # fmt: skip
        if not isinstance(rules, list) or not rules:
            raise SegmentError(path, "must be a list of at least one rule")
        return [
            self.node(rule, f"{path}[{number}]", depth + 1, within)
            for number, rule in enumerate(rules)
        ]

    def _named(self, name: str, path: str, depth: int, within: tuple[str, ...]) -> Tree:
        if name not in self._saved:
            return {"field": "tags", "op": "contains", "value": _text(name, path)}
        if name in within:
            raise SegmentError(path, f"the segment {name!r} contains itself")
        return self.node(self._saved[name], path, depth, (*within, name))


def _leaf(rule: Mapping[str, Any], path: str) -> Tree:
    if "field" not in rule:
        raise SegmentError(path, "must have one of all, any, not, field")
    _only(rule, {"field", "op", "value"}, path)
    field = _text(rule["field"], _at(path, "field"))
    kind = kind_of(field)
    if kind is None:
        words = f"there is no such field; there are {', '.join(FIELDS)}, attributes.<name>"
        raise SegmentError(_at(path, "field"), words)
    op = rule.get("op")
    if not isinstance(op, str) or op not in OPERATORS[kind]:
        words = f"must be one of {' '.join(OPERATORS[kind])} for {field[:100]}"
        raise SegmentError(_at(path, "op"), words)
    return {"field": field, "op": op, "value": _value(rule, kind, op, _at(path, "value"))}


def _value(rule: Mapping[str, Any], kind: str, op: str, path: str) -> Any:
    if op == "exists":
        value = rule.get("value", True)
        if not isinstance(value, bool):
            raise SegmentError(path, "must be true or false, or not given")
        return value
    if "value" not in rule:
        raise SegmentError(path, "is missing")
    value = rule["value"]
    if op in {"in", "not_in"}:
        if not isinstance(value, list) or not 0 < len(value) <= MOST_VALUES:
            raise SegmentError(path, f"must be a list of 1 to {MOST_VALUES} values")
        check = _CHECKS[kind]
        return [check(item, f"{path}[{number}]") for number, item in enumerate(value)]
    if op in {"older_than", "newer_than"}:
        return _duration(value, path)
    if op in {"contains", "starts_with"}:
        return _text(value, path)
    return _CHECKS[kind](value, path)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise SegmentError(path, "must be a text")
    if not 0 < len(value) <= LONGEST_TEXT:
        raise SegmentError(path, f"must have 1 to {LONGEST_TEXT} characters")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise SegmentError(path, "has a character that no text in the database has")
    return value


def _number(value: Any, path: str) -> float:
    if not _is_number(value):
        raise SegmentError(path, "must be a number")
    if not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER or not math.isfinite(float(value)):
        raise SegmentError(path, "is too large")
    return value


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(value: Any, path: str) -> str | float | bool:
    if isinstance(value, bool):
        return value
    if _is_number(value):
        return _number(value, path)
    if isinstance(value, str):
        return "" if value == "" else _text(value, path)
    raise SegmentError(path, "must be a text, a number, true or false (for absent: exists)")


def _status(value: Any, path: str) -> str:
    if not isinstance(value, str) or value not in set(SubscriberStatus):
        raise SegmentError(path, f"must be one of {', '.join(SubscriberStatus)}")
    return value


def _moment(value: Any, path: str) -> str:
    try:
        times.moment(_text(value, path))
    except ValueError:
        raise SegmentError(path, "must be a date and time like 2026-01-31T12:00:00Z") from None
    return str(value)


def _duration(value: Any, path: str) -> str:
    try:
        times.duration(_text(value, path))
    except ValueError as error:
        raise SegmentError(path, f"must be {error}") from None
    return str(value)


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "text": _text,
    "status": _status,
    "tags": _text,
    "score": _number,
    "time": _moment,
    "attribute": _scalar,
}


def _declared(fields: Any) -> dict[str, str]:
    """Indexed attributes: their type (`text` or `number`) by field."""
    if not isinstance(fields, list):
        raise SegmentError("fields", "must be a list")
    found = {}
    for number, entry in enumerate(fields):
        path = f"fields[{number}]"
        given = {"field": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping):
            raise SegmentError(path, "must be a field, or an object with field and type")
        _only(given, {"field", "type"}, path)
        field, form = given.get("field"), given.get("type", "text")
        if not isinstance(field, str) or kind_of(field) != "attribute":
            raise SegmentError(path, "must be attributes.<name>; the other fields need no index")
        if form not in {"text", "number"}:
            raise SegmentError(path, "type must be text or number")
        found[field] = form
    return found


def _only(rule: Mapping[str, Any], known: set[str], path: str) -> None:
    for name in rule:
        if name not in known:
            words = "is not known here" if len(known) > 2 else "does not belong here"
            raise SegmentError(_at(path, str(name)[:100]), words)


def _at(path: str, word: str) -> str:
    return f"{path}.{word}" if path else word
