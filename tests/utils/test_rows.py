"""Files as people really export them: every dialect and encoding, and dirt of every kind."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.rows import BadFile, Row, rows


def read(data: str | bytes, form: str = "csv") -> list[Row]:
    raw = data if isinstance(data, bytes) else data.encode()
    return list(rows(BytesIO(raw), form))


def cells(data: str | bytes, form: str = "csv") -> list[dict[str, Any]]:
    found = read(data, form)
    assert not [row for row in found if row.fault]
    return [row.cells for row in found]


def faults(data: str | bytes, form: str = "csv") -> list[int]:
    return [row.number for row in read(data, form) if row.fault]


ANN = {"email": "ann@example.com", "name": 'Ann, the "Great"', "Ort": "Zürich"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_dialect_and_encoding(delimiter: str, end: str, encoding: str) -> None:
    lines = [
        delimiter.join(["email", "name", "Ort"]),
        delimiter.join(["ann@example.com", '"Ann, the ""Great"""', "Zürich"]),
    ]
    for text in (end.join(lines), end.join(lines) + end):
        assert cells(text.encode(encoding)) == [ANN]


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_either_order(mark: str) -> None:
    assert cells(("\ufeffemail\nann@example.com").encode(mark)) == [{"email": "ann@example.com"}]


def test_excel_says_its_separator() -> None:
    assert cells("sep=;\r\nemail;a,b\r\nx@y.de;1") == [{"email": "x@y.de", "a,b": "1"}]


def test_one_column_is_a_list() -> None:
    assert cells("email\nx@y.de\n\n  \nz@y.de") == [{"email": "x@y.de"}, {"email": "z@y.de"}]


def test_empty_cells_and_short_rows_say_nothing() -> None:
    text = "email,a,b,\n x@y.de , ,2,ignored\nz@y.de\n,,,\n"
    assert cells(text) == [{"email": "x@y.de", "b": "2"}, {"email": "z@y.de"}]


def test_a_cell_may_hold_lines() -> None:
    found = read('email,note\nx@y.de,"one\r\ntwo, ""three"""\nz@y.de,\n')
    assert [row.number for row in found] == [2, 4]
    assert found[0].cells["note"] == 'one\r\ntwo, "three"'


def test_formulas_are_texts() -> None:
    assert cells("email,a\nx@y.de,=1+1\nz@y.de,@SUM(A1)") == [
        {"email": "x@y.de", "a": "=1+1"}, {"email": "z@y.de", "a": "@SUM(A1)"},
    ]  # fmt: skip


def test_a_row_with_too_many_cells_is_refused() -> None:
    text = "email,a\nx@y.de,1,\nx@y.de,1,2\nz@y.de,3"
    assert faults(text) == [3]
    assert len(read(text)) == 3


@pytest.mark.parametrize(
    "quote",
    [
        'b@y.de,"never closed',
        'b@y.de,"never closed, ""',
        '"b@y.de,',
    ],
)
@pytest.mark.parametrize("rest", [0, 1, 5, 99, 250])
def test_a_quote_that_nobody_closed_costs_one_row(quote: str, rest: int) -> None:
    text = "\n".join(["email,a", "a@y.de,1", quote, *(f"p{n}@y.de,1" for n in range(rest))])
    found = read(text)
    assert [row.number for row in found] == list(range(2, rest + 4))
    if rest or quote.startswith('"'):
        good = [row.cells.get("email") for row in found if not row.fault]
        assert good[1:][:rest] == [f"p{n}@y.de" for n in range(rest)][-rest or rest :]


def test_a_line_without_end_is_refused_and_not_held() -> None:
    long = b"a@y.de," + b"x" * 3_000_000
    found = read(b"email,a\n" + long + b"\nb@y.de,1\n" + long)
    assert [bool(row.fault) for row in found] == [True, False, True]
    assert found[1] == Row(3, {"email": "b@y.de", "a": "1"})


def test_bytes_that_are_no_utf8_spoil_their_row_only() -> None:
    data = "email,n\na@y.de,é\n".encode() + b"b@y.de,\xff\nc@y.de,\xc3\xa9\n"
    assert [row.cells["n"] for row in read(data)] == ["é", "\udcff", "é"]


def test_nul_bytes_reach_the_check_of_fields() -> None:
    assert read(b"email,n\na@y.de,x\0y\n")[0].cells["n"] == "x\0y"


@pytest.mark.parametrize(
    "data,word",
    [
        (b"", "empty"),
        (b"\n\n  \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"email,Email\nx@y.de,z@y.de", "twice"),
        (b"email,a,A \nx@y.de,1,2", "twice"),
        (b'email,"name\n' + b"x\n" * 500, "first row"),
    ],
)
def test_a_file_without_a_usable_first_row_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(BadFile, match=word):
        read(data)


# JSON


def test_json_lines() -> None:
    text = '\n{"email":"a@y.de","n":null,"é":1}\r\n\n[1]\nno\n{"email":"b@y.de"}'
    found = read(text, "jsonl")
    assert [(row.number, bool(row.fault)) for row in found] == [
        (2, False), (4, True), (5, True), (6, False),
    ]  # fmt: skip
    assert found[0].cells == {"email": "a@y.de", "n": None, "é": 1}
    assert faults(b'{"a":"\xff"}', "jsonl") == [1]
    assert faults("[" * 100_000, "jsonl") == [1]
    assert faults(b'{"a":"' + b"x" * 2_000_000 + b'"}', "jsonl") == [1]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_json_list_longer_than_any_buffer(indent: int | None, encoding: str) -> None:
    people = [{"email": f"p{n}@y.de", "n": n, "text": "é]},{" * (n % 50)} for n in range(3000)]
    data = json.dumps(people, indent=indent, ensure_ascii=False).encode(encoding)
    assert cells(data, "json") == people


def test_a_broken_json_list_ends_where_it_breaks() -> None:
    found = read('[{"email":"a@y.de"}, 5, {"email":"b@y.de"}, {"email" oops', "json")
    assert [bool(row.fault) for row in found] == [False, True, False, True]
    assert read("[]", "json") == []
    assert faults("[" * 100_000, "json") == [1]
    assert faults("[{}", "json") == [2]
    for text in ("", "{}", '"x"', "null"):
        with pytest.raises(BadFile):
            read(text, "json")


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["csv", "jsonl", "json"]))
def test_no_bytes_break_the_reader(data: bytes, form: str) -> None:
    for start in (b"", b"email,a\n", b"\xff\xfe", b"["):
        try:
            found = read(start + data, form)
        except BadFile:
            continue
        assert all(row.cells or row.fault or form != "csv" for row in found)


texts = st.text(st.sampled_from("ab,;|\t\"' \n\ré€=+"), max_size=8)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=20),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_what_a_spreadsheet_writes_is_read_back(
    table: list[tuple[str, str]], delimiter: str, encoding: str
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [delimiter.join(map(quoted, row)) for row in [("email", "x"), *table]]
    expected = [
        {name: cell.strip() for name, cell in zip(("email", "x"), row, strict=True) if cell.strip()}
        for row in table
    ]
    found = cells("\r\n".join(lines).encode(encoding))
    assert found == [row for row in expected if row]
