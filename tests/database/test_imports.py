"""A whole file of people: what each row became, twice the same, in flat memory."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database import models
from database.engine import Database
from database.imports import MOST_ERRORS, ImportReport
from database.lifecycle import SUBSCRIBER_RANK
from database.models import SubscriberStatus
from database.subscribers import Filter
from list_manager import ListManager
from utils.errors import Invalid
from utils.person import STATUSES

NOW = 1_800_000_000.0
S = SubscriberStatus


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    models.metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def lists(db: Database) -> ListManager:
    return ListManager(db, erasure_key="secret", clock=lambda: NOW)


@pytest.fixture
def sqlite_lists(sqlite_url: str) -> Iterator[ListManager]:
    """For what is decided before any database is asked."""
    database = Database(sqlite_url)
    models.metadata.create_all(database.engine)
    yield ListManager(database, erasure_key="secret", clock=lambda: NOW)
    database.dispose()


def put(lists: ListManager, data: str | bytes, form: str = "csv", **more: Any) -> ImportReport:
    raw = data if isinstance(data, bytes) else data.encode()
    report = lists.import_stream(BytesIO(raw), format=form, by="tester", **more)
    parts = (report.added, report.updated, report.unchanged, report.skipped, report.rejected)
    assert report.received == sum(parts)
    return report


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.rejected


FULL = (
    "Email,First Name,last_name,STATUS,Tags,attributes,created_at,opt_in_at,opt_in_ip,Plan\n"
    'ANN@example.com,Ann,Lee,subscribed,"a,b","{""n"": 5, ""x"": null}",'
    "2020-01-02,2020-01-02T03:04:05+01:00,10.0.0.1,pro\n"
)


def test_columns_have_their_meaning(lists: ListManager) -> None:
    report = put(lists, FULL, tags=("c",), source="old system")
    person = lists.get("ann@example.com")
    assert counts(report) == (1, 0, 0, 0)
    assert person.name == "Ann Lee"
    assert person.attributes == {"first_name": "Ann", "last_name": "Lee", "n": 5, "Plan": "pro"}
    assert set(person.tags) == {"a", "b", "c"}
    assert person.created_at == 1577923200.0
    assert person.opt_in_at == 1577930645.0
    assert person.opt_in_ip == "10.0.0.1"
    assert person.import_id == report.import_id
    assert person.history == [
        {"at": NOW, "what": "added", "by": "tester", "source": "old system",
         "import": report.import_id, "status": "active"}
    ]  # fmt: skip


def test_a_second_run_changes_nothing(lists: ListManager, db: Database) -> None:
    lines = '{"email":"bob@example.com","n":1.0,"t":true,"l":[1,"a",{"z":1,"a":2}],"big":1e18}'
    assert counts(put(lists, FULL, tags=("c",))) == (1, 0, 0, 0)
    assert counts(put(lists, lines, "jsonl")) == (1, 0, 0, 0)
    before = lists.page(Filter()).items
    assert counts(put(lists, FULL, tags=("c",))) == (0, 0, 1, 0)
    assert counts(put(lists, lines, "jsonl")) == (0, 0, 1, 0)
    assert lists.page(Filter()).items == before


def test_an_empty_cell_keeps_and_null_clears(lists: ListManager) -> None:
    put(lists, FULL)
    assert counts(put(lists, "email,name,plan,Plan2\nann@example.com,,,\n")) == (0, 0, 1, 0)
    put(lists, '{"email":"ann@example.com","name":null,"Plan":null,"tags":null}', "jsonl")
    person = lists.get("ann@example.com")
    assert (person.name, person.tags) == ("", {})
    assert person.attributes == {"first_name": "Ann", "last_name": "Lee", "n": 5}
    put(lists, '{"email":"ann@example.com","attributes":null,"k":""}', "jsonl")
    assert lists.get("ann@example.com").attributes == {"k": ""}


def test_true_is_not_one(lists: ListManager) -> None:
    put(lists, '{"email":"a@example.com","n":1}', "jsonl")
    assert counts(put(lists, '{"email":"a@example.com","n":true}', "jsonl")) == (0, 1, 0, 0)
    assert lists.get("a@example.com").attributes["n"] is True


def test_the_last_of_a_persons_rows_wins(lists: ListManager) -> None:
    text = "email,plan,tags\nA@example.com,1,x\nb@example.com,1,\na@Example.com.,2,y\n"
    assert counts(put(lists, text + '"""a""@example.com",2,\n')) == (2, 1, 1, 0)
    person = lists.get("a@example.com")
    assert (person.email, person.attributes) == ("A@example.com", {"plan": "2"})
    assert set(person.tags) == {"x", "y"}


def test_an_import_only_moves_people_away(lists: ListManager) -> None:
    words = sorted({*STATUSES.values(), ""})
    pairs = [(stored, said) for stored in S if stored is not S.ERASED for said in words]
    rows = [(f"p{number}@example.com", *pair) for number, pair in enumerate(pairs)]
    put(lists, "email,status\n" + "".join(f"{email},{stored}\n" for email, stored, _ in rows))
    said_now = "".join(f"{email.upper()},{said}\n" for email, _, said in rows)
    put(lists, "email,status\n" + said_now, status=S.ACTIVE)
    for email, stored, said in rows:
        further = said and SUBSCRIBER_RANK[S(said)] > SUBSCRIBER_RANK[stored]
        person = lists.get(email)
        assert person.status == (said if further else stored), (stored, said)
        assert len(person.history) == (2 if further else 1)


def test_new_people_get_the_imports_status(lists: ListManager) -> None:
    put(lists, "email,status\na@example.com,\nb@example.com,active\n", status=S.PENDING)
    assert lists.get("a@example.com").status is S.PENDING
    assert lists.get("b@example.com").status is S.ACTIVE


def test_every_status_word_is_one_of_ours() -> None:
    assert set(STATUSES.values()) == set(S) - {S.ERASED}


@pytest.mark.parametrize(
    "header,cell,field",
    [
        ("email", "nobody", "email"),
        ("Email", "jörg@example.com", "Email"),
        ("name", "x" * 501, "name"),
        ("name", "a\0b", "name"),
        ("plan", "a\0b", "plan"),
        ("plan", "x" * 100_000, "plan"),
        ("status", "dead", "status"),
        ("status", "erased", "status"),
        ("tags", '"[1,2]"', "tags"),
        ("tags", '"{}"', None),
        ("tags", "x" * 101, "tags"),
        ("attributes", "nonsense", "attributes"),
        ("attributes", '"[1]"', "attributes"),
        ("attributes", '"{""a"":1e999}"', "attributes"),
        ("attributes", '"' + '{""a"":' * 9 + "1" + "}" * 9 + '"', "attributes"),
        ("created_at", "yesterday", "created_at"),
        ("opt_in_at", "2020-13-01", "opt_in_at"),
        ("opt_in_at", "0001-01-01T00:00:00+14:00", "opt_in_at"),
        ("opt_in_ip", "300.1.1.1", "opt_in_ip"),
    ],
)
def test_a_bad_field_is_named_and_costs_one_row(
    sqlite_lists: ListManager, header: str, cell: str, field: str | None
) -> None:
    if header.lower() == "email":
        text = f"{header}\n{cell}\ngood@example.com\n"
    else:
        text = f"email,{header}\nbad@example.com,{cell}\ngood@example.com,\n"
    report = put(sqlite_lists, text)
    assert report.rejected == (1 if field else 0)
    assert [(error.row, error.field) for error in report.errors] == ([(2, field)] if field else [])
    assert "x" * 200 not in str(report.errors)
    assert sqlite_lists.get("good@example.com").status is S.ACTIVE


@pytest.mark.parametrize(
    "line,field",
    [
        ("[]", ""),
        ("{}", "email"),
        ('{"email":null}', "email"),
        ('{"email":5}', "email"),
        ('{"email":["a@example.com"]}', "email"),
        ('{"email":"a@example.com","name":5}', "name"),
        ('{"email":"a@example.com","tags":"a"}', None),
        ('{"email":"a@example.com","tags":[5]}', "tags"),
        ('{"email":"a@example.com","tags":{"a":1}}', "tags"),
        ('{"email":"a@example.com","attributes":[]}', "attributes"),
        ('{"email":"a@example.com","":1}', ""),
        ('{"email":"a@example.com","a\\u0000b":1}', "a\0b"),
        ('{"email":"a@example.com","x":"a\\u0000b"}', "x"),
        ('{"email":"a@example.com","x":"\\ud800"}', ""),
        ('{"email":"a@example.com","x":{"y":["a\\u0000"]}}', "x"),
        ('{"email":"a@example.com","x":123456789012345678901234567890}', "x"),
        ('{"email":"a@example.com","created_at":1600000000}', None),
        ('{"email":"a@example.com","created_at":1e300}', "created_at"),
        ('{"email":"a@example.com","created_at":true}', "created_at"),
    ],
)
def test_json_values_are_checked(sqlite_lists: ListManager, line: str, field: str | None) -> None:
    for form, text in (("jsonl", line), ("json", f"[{line}]")):
        if form == "json" and ("ud800" in line or "1234567890123" in line):
            continue  # Python's own decoder reads these; the field is refused for it instead
        report = put(sqlite_lists, text, form)
        assert report.rejected == (0 if field is None else 1)
        assert [error.field for error in report.errors] == ([] if field is None else [field])


@pytest.mark.parametrize(
    "data,form",
    [("", "csv"), ("a,a\n1,2", "csv"), ("{}", "json"), ("email\nx@y.de", "xml")],
)
def test_a_file_that_is_none_is_refused(sqlite_lists: ListManager, data: str, form: str) -> None:
    with pytest.raises(Invalid):
        put(sqlite_lists, data, form)
    assert sqlite_lists.stats()["total"] == 0


def test_a_file_without_addresses_is_refused(lists: ListManager) -> None:
    report = put(lists, "name,plan\nAnn,pro\n")
    assert [(error.row, error.field) for error in report.errors] == [(2, "email")]


def test_a_file_of_bad_rows_is_read_to_its_end(lists: ListManager) -> None:
    report = put(lists, "email\n" + "x\n" * 50_000 + "ann@example.com\n")
    assert counts(report) == (1, 0, 0, 50_000)


def test_errors_are_capped_and_counted(lists: ListManager) -> None:
    report = put(lists, "email\n" + "x\n" * (MOST_ERRORS + 7))
    assert (len(report.errors), report.more_errors) == (MOST_ERRORS, 7)
    assert report.rejected == MOST_ERRORS + 7


def test_a_dry_run_says_the_same_and_writes_nothing(lists: ListManager) -> None:
    put(lists, "email\nold@example.com\n")
    text = "email,plan\nold@example.com,x\nnew@example.com,x\nNEW@example.com,x\nbad,x\n"
    dry = put(lists, text, dry_run=True)
    assert lists.stats()["total"] == 1
    assert counts(dry) == counts(put(lists, text)) == (1, 1, 1, 1)


def test_after_a_crash_the_rest_is_imported(lists: ListManager) -> None:
    text = "email\n" + "".join(f"p{n}@example.com\n" for n in range(45_000))

    class Torn(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > len(text) * 2 // 3:
                raise ConnectionResetError
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        lists.import_stream(Torn(text.encode()), format="csv", by="t")
    there = lists.stats()["total"]
    assert there == 20_000
    report = put(lists, text)
    assert (report.added, report.unchanged) == (45_000 - there, there)


class Endless(RawIOBase):
    """A generated file of `size` rows that never exists as a whole."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._lines = self._generate(size)
        self._rest = b""

    def _generate(self, size: int) -> Iterator[bytes]:
        chance = random.Random(7)
        yield b"email,name,plan,points\n"
        for number in range(size):
            yield f"u{chance.random()}@example{number % 300}.com,N {number},pro,{number}\n".encode()

    def read(self, size: int = -1, /) -> bytes:
        parts = [self._rest]
        length = len(self._rest)
        for line in self._lines:
            parts.append(line)
            length += len(line)
            if length >= size:
                break
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]


def test_memory_does_not_grow_with_the_file(
    lists: ListManager, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not long:
        monkeypatch.setattr("database.imports._SORTED", 2_000)

    def peak(size: int) -> int:
        tracemalloc.start()
        report = lists.import_stream(Endless(size), format="csv", by="t")  # type: ignore[arg-type]
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.received == size
        return highest

    peak(1000)
    small, large = peak(25_000 if long else 3_000), peak(300_000 if long else 12_000)
    assert large < small * 1.15 + 1_000_000


# Any rows, in any order: nobody comes back

opt_outs = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["", *sorted(set(STATUSES.values()))]),
        st.sampled_from(["csv", "jsonl"]),
    ),
    max_size=12,
)  # fmt: skip


def test_no_order_of_imports_brings_anybody_nearer(lists: ListManager) -> None:
    turn = iter(range(10_000))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(opt_outs)
    def never_nearer(steps: list[tuple[int, str, str]]) -> None:
        prefix = f"t{next(turn)}"
        furthest: dict[str, int] = {}
        for who, said, form in steps:
            email = f"{prefix}p{who}@example.com"
            if form == "csv":
                put(lists, f"email,status\n{email.upper()},{said}\n")
            else:
                put(lists, json.dumps({"email": email, "status": said or None}), form)
            rank = SUBSCRIBER_RANK[S(said)] if said else 0
            furthest[email] = max(furthest.get(email, 0), rank)
            assert SUBSCRIBER_RANK[lists.get(email).status] == furthest[email]

    never_nearer()
