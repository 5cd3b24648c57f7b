"""A segment's checked tree as a condition over `subscribers`, equal on SQLite and PostgreSQL.

Values are bound; only an attribute's name may stand in the text, as a quoted literal, because an
index over an expression is not found for a bound one.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from database.models import subscribers
from database.segments import ATTRIBUTE, Tree, kind_of
from database.subscribers import key_in
from utils import addresses, score, times

Condition = sa.ColumnElement[bool]
_c = subscribers.c
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
#: Names that may stand in a JSON path between quotes: SQLite compares them with the raw text.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_ .:@/+-]{1,100}")


def condition(tree: Tree, *, now: float, sqlite: bool) -> Condition:
    """True for the people in the segment; false or NULL for the others."""
    if "all" in tree:
        return sa.and_(*(condition(rule, now=now, sqlite=sqlite) for rule in tree["all"]))
    if "any" in tree:
        return sa.or_(*(condition(rule, now=now, sqlite=sqlite) for rule in tree["any"]))
    if "not" in tree:
        return _not(condition(tree["not"], now=now, sqlite=sqlite))
    return _leaf(tree["field"], tree["op"], tree["value"], now, sqlite)


def _not(inner: Condition) -> Condition:
    """Whoever is not surely inside is outside: an absent value must not make a person vanish from
    a rule and from its opposite."""
    return sa.not_(sa.func.coalesce(inner, sa.false()))


def _leaf(field: str, op: str, value: Any, now: float, sqlite: bool) -> Condition:
    negated = {"!=": "=", "not_in": "in"}.get(op)
    if negated:
        return _not(_leaf(field, negated, value, now, sqlite))
    if op == "exists" and value is False:
        return _not(_leaf(field, op, True, now, sqlite))
    kind = kind_of(field)
    if kind == "attribute":
        return _attribute(Attribute(field.removeprefix(ATTRIBUTE), sqlite=sqlite), op, value)
    if kind == "tags":
        return _tags(op, value, sqlite)
    if kind == "score":
        return _score(op, value, now)
    if kind == "time":
        return _time(_c[field], op, value, now)
    if field == "email":
        value = [_lowered(item) for item in value] if op == "in" else _lowered(value)
        return _text(_c.address, op, value, sqlite)
    return _text(_c[field], op, value, sqlite)


def _lowered(value: Any) -> Any:
    """What an address looks like as stored; a part of one is only put in lower case."""
    try:
        return addresses.canonical(value)
    except (addresses.BadAddress, AttributeError):
        return value.lower() if isinstance(value, str) else value


def _text(column: sa.ColumnElement[Any], op: str, value: Any, sqlite: bool) -> Condition:
    """A rule about a text that is there."""
    if op == "exists":
        return column != ""
    if op == "in":
        return column.in_(value)
    if op == "contains":
        find = sa.func.instr if sqlite else sa.func.strpos
        return _bool(find(column, value) > 0)
    if op == "starts_with":
        return _bool(sa.func.substr(column, 1, len(value)) == value)
    if op == "=":
        return _bool(column == value)
    # Code points decide, not the database's language.
    ordered = column if sqlite else sa.collate(column, "C")
    return _bool(_COMPARE[op](ordered, value))


def _tags(op: str, value: Any, sqlite: bool) -> Condition:
    if op == "exists":
        return sa.cast(_c.tags, sa.Text) != "{}"
    wanted = value if op == "in" else [value]
    return sa.or_(*(key_in(_c.tags, tag, sqlite=sqlite) for tag in wanted))


def _score(op: str, value: float, now: float) -> Condition:
    """The score never appears in SQL: what it is compared with becomes a bound on `engagement`."""
    if op == "exists":
        return _c.engagement.is_not(None)
    if op in {"<", "<="}:
        return _not(_score({"<": ">=", "<=": ">"}[op], value, now))
    if value < 0 or (value == 0 and op == ">="):
        return sa.true()
    if value == 0:
        return _c.engagement.is_not(None)
    if value >= score.FULL:
        return sa.false()
    return _bool(_COMPARE[op](_c.engagement, score.engagement_at(value, now)))


def _time(column: sa.ColumnElement[Any], op: str, value: Any, now: float) -> Condition:
    if op == "exists":
        return column.is_not(None)
    if op == "older_than":
        return column < now - times.duration(value)
    if op == "newer_than":
        return column >= now - times.duration(value)
    return _bool(_COMPARE[op](column, times.moment(value)))


def _attribute(attribute: "Attribute", op: str, value: Any) -> Condition:
    if op == "exists":
        return attribute.exists
    if op == "in":
        return _one_of(attribute, value)
    if op == "contains":
        part = sa.and_(attribute.is_text, _text(attribute.text, op, value, attribute.sqlite))
        return sa.or_(part, attribute.lists(value))
    if isinstance(value, bool):
        if op != "=":
            return sa.false()
        return attribute.is_true if value else attribute.is_false
    if isinstance(value, int | float):
        return _bool(_COMPARE[op](attribute.number, sa.literal(float(value), sa.Double)))
    return sa.and_(attribute.is_text, _text(attribute.text, op, value, attribute.sqlite))


def _one_of(attribute: "Attribute", values: list[Any]) -> Condition:
    texts = [value for value in values if isinstance(value, str)]
    rules = [_attribute(attribute, "=", value) for value in values if not isinstance(value, str)]
    if texts:
        rules.append(sa.and_(attribute.is_text, attribute.text.in_(texts)))
    return sa.or_(*rules)


class Attribute:
    """One attribute of a person, as each JSON type that it may have."""

    def __init__(self, name: str, *, sqlite: bool) -> None:
        """Every comparison asks for the type first, so that nothing is cast that cannot be."""
        self.sqlite = sqlite
        if not sqlite:
            key = sa.literal(name, sa.Text, literal_execute=True)
            self._json = sa.type_coerce(_c.attributes, JSONB).op("->", return_type=JSONB())(key)
            self.text: sa.ColumnElement[str] = _c.attributes.op("->>", return_type=sa.Text())(key)
            self._type: sa.ColumnElement[str] = sa.func.jsonb_typeof(self._json, type_=sa.Text())
        elif _PLAIN_NAME.fullmatch(name):
            path = sa.literal(f'$."{name}"', sa.Text, literal_execute=True)
            self.text = sa.func.json_extract(_c.attributes, path, type_=sa.Text())
            self._type = sa.func.json_type(_c.attributes, path, type_=sa.Text())
        else:
            each = sa.func.json_each(_c.attributes).table_valued("key", "value", "type")
            mine = each.c.key == name
            self.text = (
                sa.select(sa.type_coerce(each.c.value, sa.Text)).where(mine).scalar_subquery()
            )
            self._type = (
                sa.select(sa.type_coerce(each.c.type, sa.Text)).where(mine).scalar_subquery()
            )

    @property
    def exists(self) -> Condition:
        """Present and not null."""
        return self.text.is_not(None)

    @property
    def is_text(self) -> Condition:
        return self._type == _constant("text" if self.sqlite else "string")

    @property
    def is_true(self) -> Condition:
        """`true`, or a text that a spreadsheet made of it."""
        return self._is("true")

    @property
    def is_false(self) -> Condition:
        return self._is("false")

    @property
    def number(self) -> sa.ColumnElement[float]:
        """A number, or a text that is a plain decimal one, as a list from a CSV file has it."""
        cast = sa.cast(self.text, sa.Double)
        is_number: Condition
        if self.sqlite:
            is_number = self._type.in_([_constant("integer"), _constant("real")])
        else:
            is_number = self._type == _constant("number")
        return sa.case(
            (is_number, cast), (sa.and_(self.is_text, self._is_decimal()), cast), else_=sa.null()
        )

    def lists(self, value: str) -> Condition:
        """Whether it is a list with that text in it."""
        if not self.sqlite:
            found = self._json.op("?", return_type=sa.Boolean())(value)
            return sa.and_(self._type == _constant("array"), found)
        array = sa.case((self._type == _constant("array"), self.text), else_=_constant("[]"))
        each = sa.func.json_each(array).table_valued("value", "type")
        return sa.exists(
            sa.select(sa.literal(1))
            .select_from(each)
            .where(each.c.type == _constant("text"), each.c.value == value)
        )

    def _is(self, word: str) -> Condition:
        written = self.text.in_([word, word.upper(), word.capitalize()])
        if self.sqlite:
            return sa.or_(self._type == _constant(word), sa.and_(self.is_text, written))
        boolean = sa.and_(self._type == _constant("boolean"), self.text == word)
        return sa.or_(boolean, sa.and_(self.is_text, written))

    def _is_decimal(self) -> Condition:
        """-?digits[.digits], at most 16 letters: what every database reads as the same number."""
        short = sa.func.length(self.text) <= sa.literal_column("16")
        if not self.sqlite:
            pattern = _constant(r"^-?[0-9]+(\.[0-9]+)?$")
            return sa.and_(short, self.text.op("~", return_type=sa.Boolean())(pattern))
        minus = sa.func.substr(self.text, sa.literal_column("1"), sa.literal_column("1"))
        digits = sa.func.substr(
            self.text, sa.case((minus == _constant("-"), sa.literal_column("2")),
                               else_=sa.literal_column("1")),
        )  # fmt: skip
        return sa.and_(
            short,
            _glob(digits, "[0-9]*"),
            _glob(digits, "*[0-9]"),
            sa.not_(_glob(digits, "*[^0-9.]*")),
            sa.not_(_glob(digits, "*.*.*")),
        )


def _glob(text: sa.ColumnElement[Any], pattern: str) -> Condition:
    return text.op("GLOB", return_type=sa.Boolean())(_constant(pattern))


def _constant(text: str) -> sa.ColumnElement[str]:
    """One of our own words, in the text of the statement: an index needs it there."""
    return sa.literal_column("'" + text.replace("'", "''") + "'", sa.Text)


def _bool(expression: Any) -> Condition:
    return sa.type_coerce(expression, sa.Boolean)
