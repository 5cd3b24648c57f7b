"""Segments: the SQL of both databases finds whom a slow reading of the rule finds."""

import operator
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database import audience, models
from database.engine import Database
from database.segment_sql import condition
from database.segments import DEEPEST, MOST_NODES, SavedSegments, SegmentError, Tree, parse
from utils import addresses, times
from utils.score import score

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    models.metadata.create_all(database.engine)
    yield database
    database.dispose()


# People who have every kind of value in every kind of field

ODD_NAME = 'a "b".\\c$[0]é'
VALUES: list[Any] = [
    "pro", "Pro", "", "5", "5.0", "-5", "05", "5e3", " 5", "5.", ".5", "1.2.3", "12345678901234567",
    "true", "TRUE", "False", "null", "é", "É", "100%", "a_b", "$.x", '"', "'", "\\", "line\nbreak",
    '["pro"]', "{}", "🎉", "zz", 0, 5, -5, 5.5, 1e18, 2**53 + 1, 10**15, True, False,
    ["pro", "x"], [], [5, "5"], {"pro": 1}, {}, [["pro"]], [None, True],
]  # fmt: skip
KEYS = ["plan", "points", "a b", "0", "größe", ODD_NAME, "a.b"]
TAGS = ["beta", "news letter", 'quo"te', "größe", "0", "a.b", "$"]
NAMES = ["", "Ann", "ann", "Zoë", "O'Brien", "a%b", "李"]
TIMES = [None, 0.0, NOW - 200 * DAY, NOW - 90 * DAY, NOW - 3600, NOW, NOW + DAY]
ENGAGEMENT = [None, NOW / (28 * DAY), NOW / (28 * DAY) + 3, NOW / (28 * DAY) - 9, 0.0]


def people() -> list[dict[str, Any]]:
    """Every value under every key, and every other field in turn."""
    found = []
    for number in range(len(VALUES) + 3):
        value = VALUES[number] if number < len(VALUES) else None
        attributes = {KEYS[number % len(KEYS)]: value, KEYS[(number + 3) % len(KEYS)]: value}
        attributes |= {"plan": value} if number % 2 else {}
        found.append(
            {
                "address": f"p{number}.x@{'gmail.com' if number % 3 else 'example.com'}",
                "email": f"P{number}.x@example.com",
                "name": NAMES[number % len(NAMES)],
                "status": list(models.SubscriberStatus)[number % 6],
                "status_at": NOW,
                "tags": dict.fromkeys(TAGS[: number % 4] + TAGS[number % 7 : number % 7 + 1], NOW)
                if number % 5
                else {},
                "attributes": attributes if number != len(VALUES) + 1 else {},
                "engagement": ENGAGEMENT[number % len(ENGAGEMENT)],
                "last_open_at": TIMES[number % len(TIMES)],
                "opt_in_at": TIMES[(number * 3 + 1) % len(TIMES)],
                "created_at": TIMES[1 + number % 6],
                "updated_at": NOW,
            }
        )
    return found


PEOPLE = people()


@pytest.fixture
def populated(db: Database) -> Database:
    with db.write() as connection:
        connection.execute(models.subscribers.insert(), PEOPLE)
    return db


def found(db: Database, tree: Tree) -> set[str]:
    rule = condition(tree, now=NOW, sqlite=db.is_sqlite)
    with db.read() as connection:
        query = models.subscribers.select().where(rule)
        return {row.address for row in connection.execute(query)}


def expected(tree: Tree) -> set[str]:
    return {person["address"] for person in PEOPLE if holds(tree, person)}


# The slow reading


def holds(tree: Tree, person: dict[str, Any]) -> bool:
    if "all" in tree:
        return all(holds(rule, person) for rule in tree["all"])
    if "any" in tree:
        return any(holds(rule, person) for rule in tree["any"])
    if "not" in tree:
        return not holds(tree["not"], person)
    field, op, value = tree["field"], tree["op"], tree["value"]
    if op in {"!=", "not_in"}:
        return not leaf_holds(field, {"!=": "=", "not_in": "in"}[op], value, person)
    return leaf_holds(field, op, value, person)


def leaf_holds(field: str, op: str, value: Any, person: dict[str, Any]) -> bool:
    if op == "in":
        one = "contains" if field == "tags" else "="
        return any(leaf_holds(field, one, item, person) for item in value)
    if field == "tags":
        return bool(person["tags"]) is value if op == "exists" else value in person["tags"]
    if field == "engagement_score":
        if op == "exists":
            return (person["engagement"] is not None) is value
        return compared(op, score(person["engagement"], NOW), value)
    if field.endswith("_at"):
        return time_holds(op, person.get(field), value)
    if field.startswith("attributes."):
        return attribute_holds(op, person["attributes"].get(field[11:]), value)
    if field == "email":
        return text_holds(op, person["address"], lowered(value))
    return text_holds(op, person[field], value)


def lowered(value: Any) -> Any:
    try:
        return addresses.canonical(value)
    except (addresses.BadAddress, AttributeError):
        return value.lower() if isinstance(value, str) else value


def time_holds(op: str, at: float | None, value: Any) -> bool:
    if op == "exists":
        return (at is not None) is value
    if at is None:
        return False
    if op == "older_than":
        return at < NOW - times.duration(value)
    if op == "newer_than":
        return at >= NOW - times.duration(value)
    return compared(op, at, times.moment(value))


def attribute_holds(op: str, stored: Any, value: Any) -> bool:
    if op == "exists":
        return (stored is not None) is value
    if op == "contains" and isinstance(stored, list):
        return any(isinstance(item, str) and item == value for item in stored)
    if isinstance(value, bool):
        spelled = isinstance(stored, str) and stored in {
            str(value), str(value).lower(), str(value).upper(),
        }  # fmt: skip
        return op == "=" and (stored is value or spelled)
    if isinstance(value, int | float):
        number = as_number(stored)
        return number is not None and compared(op, number, float(value))
    return isinstance(stored, str) and text_holds(op, stored, value)


def as_number(stored: Any) -> float | None:
    if isinstance(stored, bool) or stored is None:
        return None
    if isinstance(stored, int | float):
        return float(stored)
    plain = isinstance(stored, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", stored)
    return float(stored) if plain and len(stored) <= 16 else None


def text_holds(op: str, stored: str, value: Any) -> bool:
    if op == "exists":
        return bool(stored) is value
    if op == "contains":
        return value in stored
    if op == "starts_with":
        return stored.startswith(value)
    return compared(op, stored, value)


def compared(op: str, left: Any, right: Any) -> bool:
    names = {"=": "eq", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
    return bool(getattr(operator, names[op])(left, right))


# Rules

scalars = st.one_of(
    st.sampled_from([value for value in VALUES if not isinstance(value, list | dict)]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
    st.integers(-10, 10),
    st.floats(-10, 10, width=16),
)
words = st.sampled_from([v for v in VALUES if isinstance(v, str) and v]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=2
)
order = st.sampled_from(["<", "<=", ">", ">="])
exists = st.fixed_dictionaries({"op": st.just("exists"), "value": st.booleans()})


def rule(fields: st.SearchStrategy[str], *kinds: st.SearchStrategy[Any]) -> Any:
    return st.builds(lambda field, rest: {"field": field, **rest}, fields, st.one_of(*kinds))


def form(ops: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries({"op": ops, "value": values})


equal, parts, several = (
    st.sampled_from(["=", "!="]),
    st.sampled_from(["contains", "starts_with"]),
    st.sampled_from(["in", "not_in"]),
)
names = st.sampled_from([name for name in NAMES if name])
mails = st.sampled_from(["p1.x@gmail.com", "P2.X@GMAIL.COM", "gmail", "p", "nobody@x.de"])
leaves = st.one_of(
    rule(
        st.sampled_from([f"attributes.{key}" for key in [*KEYS, "nobody"]]),
        form(equal | order, scalars),
        form(parts, words),
        form(several, st.lists(scalars, min_size=1, max_size=4)),
        exists,
    ),
    rule(st.just("tags"), form(st.just("contains"), st.sampled_from([*TAGS, "none"])), exists,
         form(several, st.lists(st.sampled_from(TAGS), min_size=1))),
    rule(st.just("name"), form(equal, names), form(parts, names | words), exists,
         form(several, st.lists(names, min_size=1))),
    rule(st.just("email"), form(equal | parts, mails), exists,
         form(several, st.lists(mails, min_size=1))),
    rule(st.just("status"), form(equal, st.sampled_from(list(models.SubscriberStatus)))),
    rule(st.just("engagement_score"), form(order, st.sampled_from([-1, 0, 1, 16.5, 60, 100, 200])),
         exists),
    rule(
        st.sampled_from(["created_at", "opt_in_at", "last_open_at", "last_click_at"]),
        form(st.sampled_from(["older_than", "newer_than"]), st.sampled_from(["90d", "12h", "1w"])),
        form(order, st.sampled_from(["2027-01-15T08:00:00Z", "2026-10-17", "1970-01-01"])),
        exists,
    ),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda rules: {"all": rules}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda rules: {"any": rules}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"not": one}, inner),
    ),
    max_leaves=6,
)


def test_sql_finds_whom_the_rule_means(populated: Database, long: bool) -> None:
    @settings(
        max_examples=3000 if long else 250,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(trees)
    def agree(rule: Any) -> None:
        tree = parse(rule)
        assert found(populated, tree) == expected(tree)

    agree()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("op", ["=", "!=", "<", ">=", "contains"])
def test_every_value_is_compared_with_every_value(populated: Database, key: str, op: str) -> None:
    for value in VALUES:
        if isinstance(value, list | dict) or (
            op == "contains" and (not isinstance(value, str) or not value)
        ):
            continue
        tree = parse({"field": f"attributes.{key}", "op": op, "value": value})
        assert found(populated, tree) == expected(tree), (key, op, value)


def test_a_name_is_a_saved_segment_or_else_a_tag() -> None:
    saved = SavedSegments(
        {"fields": ["attributes.plan"], "segments": {"pros": {"all": ["beta", "vip"]}, "vip": "x"}}
    )
    tag = {"field": "tags", "op": "contains"}
    assert parse("beta", saved) == {**tag, "value": "beta"}
    assert parse("pros", saved) == {"all": [{**tag, "value": "beta"}, {**tag, "value": "x"}]}


def test_a_checked_tree_is_its_own_tree() -> None:
    tree = parse({"any": ["beta", {"not": {"field": "name", "op": "exists"}}]})
    assert parse(tree) == tree


LEAF = {"field": "name", "op": "=", "value": "x"}


def nested(depth: int) -> Any:
    return LEAF if depth == 1 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    "rule,path",
    [
        (None, ""),
        (5, ""),
        (True, ""),
        ([], ""),
        ({}, ""),
        ("", ""),
        ("x" * 1001, ""),
        ("a\0b", ""),
        ("\ud800", ""),
        ({"all": []}, "all"),
        ({"all": {}}, "all"),
        ({"any": [LEAF, {"all": "x"}]}, "any[1].all"),
        ({"all": [LEAF], "any": [LEAF]}, "any"),
        ({"not": [LEAF]}, "not"),
        ({"not": None}, "not"),
        ({**LEAF, "sql": "1=1"}, "sql"),
        ({**LEAF, "field": "password"}, "field"),
        ({**LEAF, "field": "attributes."}, "field"),
        ({**LEAF, "field": ["name"]}, "field"),
        ({**LEAF, "field": "name; DROP TABLE subscribers"}, "field"),
        ({**LEAF, "op": "LIKE"}, "op"),
        ({**LEAF, "op": "<"}, "op"),
        ({**LEAF, "op": ["="]}, "op"),
        ({"field": "name", "op": "="}, "value"),
        ({**LEAF, "value": None}, "value"),
        ({**LEAF, "value": {}}, "value"),
        ({**LEAF, "value": "\0"}, "value"),
        ({**LEAF, "op": "in", "value": []}, "value"),
        ({**LEAF, "op": "in", "value": "x"}, "value"),
        ({**LEAF, "op": "in", "value": ["x", 5]}, "value[1]"),
        ({**LEAF, "op": "in", "value": ["x"] * 501}, "value"),
        ({**LEAF, "op": "exists", "value": "yes"}, "value"),
        ({"field": "attributes.x", "op": "=", "value": 10**400}, "value"),
        ({"field": "attributes.x", "op": "=", "value": float("nan")}, "value"),
        ({"field": "attributes.x", "op": "=", "value": float("inf")}, "value"),
        ({"field": "attributes.x", "op": "contains", "value": 5}, "value"),
        ({"field": "engagement_score", "op": ">=", "value": "40"}, "value"),
        ({"field": "engagement_score", "op": ">=", "value": True}, "value"),
        ({"field": "engagement_score", "op": "=", "value": 4}, "op"),
        ({"field": "last_open_at", "op": "older_than", "value": 90}, "value"),
        ({"field": "last_open_at", "op": "older_than", "value": "90"}, "value"),
        ({"field": "last_open_at", "op": "older_than", "value": "-9d"}, "value"),
        ({"field": "last_open_at", "op": "older_than", "value": "9" * 50 + "d"}, "value"),
        ({"field": "last_open_at", "op": "<", "value": "yesterday"}, "value"),
        ({"field": "status", "op": "=", "value": "dead"}, "value"),
        ({"field": "tags", "op": "=", "value": "beta"}, "op"),
        (nested(DEEPEST + 1), "not." * (DEEPEST - 1) + "not"),
        ({"all": [LEAF] * MOST_NODES}, f"all[{MOST_NODES - 1}]"),
    ],
)
def test_a_malformed_rule_names_its_node(rule: Any, path: str) -> None:
    with pytest.raises(SegmentError) as refused:
        parse(rule)
    assert refused.value.path == path
    assert refused.value.errors[0].field == (f"segment.{path}" if path else "segment")
    assert refused.value.errors[0].message


def test_the_deepest_and_largest_rules_are_answered(populated: Database) -> None:
    for rule in (nested(DEEPEST), {"any": [LEAF] * (MOST_NODES - 1)}):
        tree = parse(rule)
        assert found(populated, tree) == expected(tree)


def test_a_rule_deeper_than_the_stack_is_refused() -> None:
    rule: Any = LEAF
    for _ in range(100_000):
        rule = {"not": rule}
    with pytest.raises(SegmentError):
        parse(rule)
    while "not" in rule:  # taken apart step by step: its own destructor would recurse
        rule = rule["not"]


@pytest.mark.parametrize(
    "content,path",
    [
        ({"segments": {"a": "b", "b": {"not": "a"}}}, "not"),
        ({"segments": {"a": {"all": ["a"]}}}, "all[0]"),
        ({"segments": {"a": {"all": ["b", "b"]}, **{
            letter: {"all": [chr(ord(letter) + 1)] * 2} for letter in "bcdefgh"}}}, None),
        ({"segments": []}, "segments"),
        ({"segment": {}}, "segment"),
        ({"fields": ["name"]}, "fields[0]"),
        ({"fields": [{"field": "attributes.x", "type": "date"}]}, "fields[0]"),
        ({"fields": "attributes.x"}, "fields"),
    ],
)  # fmt: skip
def test_saved_segments_are_checked_together(content: Any, path: str | None) -> None:
    with pytest.raises(SegmentError) as refused:
        SavedSegments(content)
    assert path is None or refused.value.path == path


# The audience


def test_a_count_has_active_people_only(populated: Database) -> None:
    active = {person["address"] for person in PEOPLE if person["status"] == "active"}
    tree = parse({"field": "email", "op": "contains", "value": "GMAIL"})
    rule = condition(tree, now=NOW, sqlite=populated.is_sqlite)
    with populated.read() as connection:
        assert audience.count(connection, None) == len(active)
        assert audience.count(connection, rule) == len(active & expected(tree))


def test_missing_variables_are_counted_over_the_audience(db: Database) -> None:
    attributes: list[Any] = [
        {"plan": "x", "first_name": "A"}, {"plan": None}, {}, {"plan": ""}, {"first_name": None},
    ]  # fmt: skip
    row = {"status": "active", "status_at": 0, "created_at": 0, "updated_at": 0}
    with db.write() as connection:
        for number, kept in enumerate(attributes):
            mail = f"p{number}@example.com"
            connection.execute(
                models.subscribers.insert(),
                [{**row, "address": mail, "email": mail, "attributes": kept,
                  "name": "Ann" if number == 1 else ""}],
            )  # fmt: skip
        connection.execute(
            models.subscribers.insert(),
            [{**row, "status": "unsubscribed", "address": "u@e.com", "email": "u@e.com"}],
        )
    with db.read() as connection:
        lacking = audience.missing_counts(
            connection, None, ["plan", "name", "first_name", ODD_NAME]
        )
        nobody = audience.missing_counts(connection, None, [])
    mails = [f"p{number}@example.com" for number in range(5)]
    assert lacking == {
        "plan": (3, [mails[1], mails[2], mails[4]]),
        "name": (4, [mails[0], mails[2], mails[3]]),
        "first_name": (3, [mails[2], mails[3], mails[4]]),
        ODD_NAME: (5, mails[:3]),
    }
    assert nobody == {}


def test_a_topic_opt_out_is_found(db: Database) -> None:
    row = {"status": "active", "status_at": 0, "created_at": 0, "updated_at": 0}
    with db.write() as connection:
        for number, topics in enumerate([{}, {"news": 1.0}, {"other": 1.0}]):
            mail = f"p{number}@e.com"
            values = {**row, "address": mail, "email": mail, "topic_opt_outs": topics}
            connection.execute(models.subscribers.insert(), [values])
    with db.read() as connection:
        rule = audience.not_opted_out("news", sqlite=db.is_sqlite)
        assert audience.count(connection, rule) == 2


@pytest.mark.parametrize("kind,value", [("text", "pro"), ("number", 5)])
def test_a_declared_field_is_found_by_its_index(populated: Database, kind: str, value: Any) -> None:
    fields = SavedSegments({"fields": [{"field": "attributes.plan", "type": kind}]}).fields
    audience.ensure_field_indexes(populated, fields)
    audience.ensure_field_indexes(populated, fields)
    tree = parse({"field": "attributes.plan", "op": "=", "value": value})
    rule = audience.reachable(condition(tree, now=NOW, sqlite=populated.is_sqlite))
    with populated.read() as connection:
        plan = explained(connection, models.subscribers.select().where(rule))
    assert "ix_subscribers_field_" in plan
    assert found(populated, tree) == expected(tree)
    audience.ensure_field_indexes(populated, {})
    populated.dispose()  # an EXPLAIN that SQLite has prepared does not notice new schemas
    with populated.read() as connection:
        plan = explained(connection, models.subscribers.select().where(rule))
    assert "ix_subscribers_field_" not in plan


def explained(connection: Any, query: Any) -> str:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan TO off")
        connection.exec_driver_sql("SET LOCAL enable_indexscan TO on")
    text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    plan = connection.exec_driver_sql(f"{explain} {text}")
    return "\n".join(str(row) for row in plan)
