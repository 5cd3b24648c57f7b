"""The rows of a file that somebody exported somewhere: CSV of any dialect, JSON Lines, JSON.

Yields each row with its place in the file, and what is wrong with it instead of stopping. Knows
nothing of people. Memory does not grow with the file.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, NamedTuple

import orjson

from utils.lines import LONGEST_LINE, Notes, blocks, lines

FORMATS = ("csv", "jsonl", "json")
_ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
}  # fmt: skip
_DELIMITERS = ",;\t|"
#: How far a row may go on inside a quoted cell. A quote that nobody closed would swallow the
#: rest of the file: behind these limits the row alone is refused and reading goes on after it.
_MOST_LINES = 100
_LARGEST_ROW = 262_144
_LARGEST_OBJECT = 1_048_576
#: Where a JSON list begins: at once, or inside what APIs wrap around it (listmonk's answers to
#: GET /api/subscribers begin with {"data":{"results":[).
_OPENING = re.compile(
    r'(?:\{\s*"subscribers"\s*:\s*|\{\s*"data"\s*:\s*(?:\{\s*"results"\s*:\s*)?)?\['
)
_LONGEST_OPENING = 1_000

csv.field_size_limit(LONGEST_LINE)


class BadFile(ValueError):
    """The file as a whole cannot be read; the text says why."""


class Row(NamedTuple):
    """A row by the names of its columns, without its empty cells."""

    number: int  #: the line it begins at (CSV, JSON Lines), or its place in a JSON list
    cells: dict[str, Any]
    fault: str = ""  #: why it could not be read


def format_of(name: str) -> str | None:
    """One of `FORMATS`, by the end of a file's name."""
    return _ENDINGS.get(PurePath(name).suffix.lower())


def rows(file: BinaryIO, form: str, notes: Notes | None = None) -> Iterator[Row]:
    """Rows of `file`, which is in one of `FORMATS`; raises `BadFile`. `notes` gets the columns and
    what had to be guessed."""
    notes = notes or Notes()
    if form == "csv":
        return _csv(lines(file, None, notes), notes)
    if form == "jsonl":
        return _json_lines(lines(file, "utf-8", notes))
    return _json(blocks(file, notes))


class _Feed:
    """Lines for the csv module, which remembers what the current row has taken."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 1  #: of the line that the current row begins at
        self.ended = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if len(self.taken) > 1 and (
            len(self.taken) > _MOST_LINES or sum(map(len, self.taken)) > _LARGEST_ROW
        ):
            raise csv.Error("too long")
        if self._again:
            line = self._again.popleft()
        else:
            try:
                line = next(self._source)
            except StopIteration:
                self.ended = True
                raise
        self.taken.append(line)
        return line

    def next_row(self) -> None:
        self.number += len(self.taken)
        self.taken.clear()

    def give_back(self) -> None:
        """The last line was only looked at."""
        self._again.appendleft(self.taken.pop())

    def back_up(self) -> None:
        """Keep only the row's first line: what it swallowed is read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _csv(source: Iterator[str], notes: Notes) -> Iterator[Row]:
    feed = _Feed(source)
    delimiter = _delimiter(feed)
    reader = csv.reader(feed, delimiter=delimiter, skipinitialspace=delimiter != "\t")
    header: list[str] | None = None
    for number, cells, fault in _records(feed, reader, delimiter):
        if header is None:
            if fault:
                raise BadFile(f"the first row, which names the columns, {fault}")
            header = _header(cells)
            notes.columns = tuple(header)
            continue
        if fault or len(cells) > len(header):
            extra = [cell for cell in cells[len(header) :] if cell.strip()]
            if fault or extra:
                words = f"has {len(cells)} cells, and the first row names {len(header)} columns"
                yield Row(number, {}, fault or words)
                continue
        found = {
            name: text
            for name, cell in zip(header, cells, strict=False)
            if (text := cell.strip()) and name
        }
        if found:
            yield Row(number, found)


def _records(
    feed: _Feed, reader: Iterator[list[str]], delimiter: str
) -> Iterator[tuple[int, list[str], str]]:
    while True:
        feed.next_row()
        fault = ""
        try:
            cells = next(reader)
            if len(feed.taken) > 1 and feed.ended and _is_open(feed.taken, delimiter):
                fault = _UNCLOSED
        except StopIteration:
            return
        except csv.Error:
            cells, fault = [], _UNCLOSED if len(feed.taken) > 1 else "cannot be read as CSV"
        if fault:
            feed.back_up()
        elif not cells:
            continue
        elif len(feed.taken[0]) >= _LARGEST_ROW:
            fault = f"is longer than {_LARGEST_ROW:,} characters"
        yield feed.number, cells, fault


_UNCLOSED = f"has a quote that is not closed within {_MOST_LINES} lines"


def _is_open(taken: list[str], delimiter: str) -> bool:
    """Whether the file ends inside a quoted cell."""
    strict = csv.reader(taken, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        deque(strict, maxlen=0)
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _delimiter(feed: _Feed) -> str:
    """What parts the first line into most cells; `sep=;` (Excel) says it itself."""
    for line in feed:
        if line.isspace():
            continue
        first = line.strip("\r\n")
        if first[:4].lower() == "sep=" and len(first) == 5:
            return first[4]
        feed.give_back()
        return max(_DELIMITERS, key=lambda mark: _cells(first, mark))
    raise BadFile("the file is empty")


def _cells(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), []))


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    seen: set[str] = set()
    for name in filter(None, (name.casefold() for name in names)):
        if name in seen:
            raise BadFile(f"the first row names the column {name[:100]!r} twice")
        seen.add(name)
    return names


def _json_lines(source: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(source, start=1):
        if line.isspace():
            continue
        if len(line) >= LONGEST_LINE:
            yield Row(number, {}, f"is longer than {LONGEST_LINE:,} characters")
            continue
        try:
            found = orjson.loads(line)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            yield Row(number, {}, "is not valid JSON")
            continue
        yield _object(number, found)


def _json(pieces: Iterator[str]) -> Iterator[Row]:
    """The objects of one JSON list, decoded one by one from a sliding piece of the text."""
    decoder = json.JSONDecoder()
    text, number = _opened(pieces), 0
    while True:
        text = text.lstrip(" \t\r\n,") if number else text.lstrip()
        if text.startswith("]"):
            return
        found, end, complete = None, 0, False
        try:
            found, end = decoder.raw_decode(text)
            # A number may go on in the next piece.
            complete = end < len(text) or isinstance(found, dict | list)
        except (json.JSONDecodeError, RecursionError):
            pass
        if not complete:
            more = next(pieces, "") if len(text) < _LARGEST_OBJECT else ""
            if not more:
                number += 1
                yield Row(number, {}, "is not valid JSON; nothing after it was read")
                return
            text += more
            continue
        number += 1
        yield _object(number, found)
        text = text[end:]


def _opened(pieces: Iterator[str]) -> str:
    """What follows the opening bracket."""
    text = ""
    for piece in pieces:
        text = (text + piece).lstrip()
        opening = _OPENING.match(text)
        if opening:
            return text[opening.end() :]
        if text and (text[0] != "{" or len(text) > _LONGEST_OPENING):
            break
    raise BadFile("the file is not a JSON list of objects")


def _object(number: int, found: Any) -> Row:
    if not isinstance(found, dict):
        return Row(number, {}, "is not a JSON object")
    return Row(number, found)
