"""What is exported is imported as it was: nobody nearer, nothing lost, nothing run as a formula."""

import csv
import json
import tracemalloc
from io import BytesIO, StringIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database.models import SubscriberStatus as S
from database.segments import SegmentError
from database.subscribers import Filter
from list_manager import ListManager
from tests.database.import_desk import Desk
from tests.database.test_imports import counts, put
from utils.exports import DANGEROUS
from utils.own_export import COLUMNS, FORMATS

RULE = {"field": "attributes.plan", "op": "=", "value": "pro"}
HOSTILE = "=cmd|x!A1,+1,-1,@SUM(1),;|\"'\t\r\nÄ漢😀 [{}]"


def exported(lists: ListManager, form: str, **more: Any) -> str:
    return "".join(lists.export(format=form, **more))


def told(lists: ListManager) -> list[tuple[Any, ...]]:
    """All that an export holds, of everybody."""
    found = []
    after = 0
    while True:
        page = lists.page(Filter(), after=after, limit=100)
        found += [
            (
                p.address, p.email, p.name, p.status, set(p.tags), set(p.topic_opt_outs),
                p.attributes, round(p.created_at, 3), p.opt_in_at, p.opt_in_ip,
            )
            for p in page.items
        ]  # fmt: skip
        if page.next_cursor is None:
            return sorted(found, key=lambda one: str(one[0]))
        after = page.next_cursor


texts = st.text(st.sampled_from(HOSTILE), max_size=12)
words = st.lists(texts.map(str.strip).filter(lambda w: w and w.isprintable()), max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("k"), inner),
    max_leaves=4,
)
keys = st.text(st.sampled_from("=+-@'ab{[Ä"), min_size=1, max_size=5)
people = st.lists(
    st.fixed_dictionaries(
        {
            "local": st.text(st.sampled_from("=+-'ab{|"), min_size=1, max_size=6),
            "name": texts,
            "status": st.sampled_from([s for s in S if s is not S.ERASED]),
            "tags": words,
            "topic_opt_outs": words,
            "attributes": st.dictionaries(keys, values.filter(lambda v: v is not None), max_size=3),
            "opt_in_at": st.none() | st.integers(0, 2_000_000_000),
        }
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_what_is_exported_is_imported_as_it_was(
    lists: ListManager, sqlite_lists: ListManager, form: str
) -> None:
    turn = iter(range(10_000))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(people)
    def round_trip(found: list[dict[str, Any]]) -> None:
        rows = [
            {**one, "email": f"{one.pop('local')}@d{next(turn)}.example.com"}
            for one in map(dict, found)
        ]
        report = put(lists, "\n".join(map(json.dumps, rows)), "jsonl")
        assert report.rejected == 0, report.errors
        text = exported(lists, form)
        if form == "csv":
            for row in csv.reader(StringIO(text, newline="")):
                assert not any(cell.startswith(DANGEROUS[:-1]) for cell in row)
        again = put(lists, text, form)
        assert counts(again) == (0, 0, again.received, 0), again.errors
        assert put(sqlite_lists, text, form).rejected == 0
        assert told(sqlite_lists) == told(lists)

    round_trip()


def test_an_export_read_later_brings_nobody_back(lists: ListManager) -> None:
    put(lists, "email,tags\na@example.com,news\nb@example.com,\n")
    text = exported(lists, "csv")
    lists.unsubscribe("a@example.com", reason="x", by="t")
    put(lists, "email,topic_opt_outs\nb@example.com,news\n")
    assert counts(put(lists, text)) == (0, 0, 2, 0)
    assert lists.get("a@example.com").status is S.UNSUBSCRIBED
    assert set(lists.get("b@example.com").topic_opt_outs) == {"news"}


def test_a_segment_or_a_status_is_exported(desk: Desk) -> None:
    rows = "a@y.de,pro,\nb@y.de,free,\nc@y.de,pro,unsubscribed\n"
    put(desk.lists, f"email,plan,status\n{rows}")
    desk.lists.erase("b@y.de", by="t")

    def emails(**more: Any) -> list[str]:
        text = exported(desk.lists, "jsonl", **more)
        return [json.loads(line)["email"] for line in text.splitlines()]

    assert emails() == ["a@y.de", "c@y.de"]
    assert emails(segment=RULE) == ["a@y.de", "c@y.de"]
    assert emails(segment=RULE, status=S.ACTIVE) == ["a@y.de"]
    assert emails(segment="nobody's tag") == []
    with pytest.raises(SegmentError):
        desk.lists.export(format="csv", segment={"field": "x"})
    assert exported(desk.lists, "csv", segment="none") == ",".join(COLUMNS) + "\r\n"


def test_memory_does_not_grow_with_the_list(lists: ListManager) -> None:
    def peak(size: int) -> int:
        text = "email,plan\n" + "".join(f"p{n}@example.com,{'x' * 300}\n" for n in range(size))
        lists.import_stream(BytesIO(text.encode()), format="csv", by="t")
        tracemalloc.start()
        length = sum(map(len, lists.export(format="csv")))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert length > size * 300
        return highest

    small = peak(2_000)
    assert peak(12_000) < small * 1.15 + 500_000
