"""Our own export of people, which our own import reads back: nobody nearer, nothing lost.

Knows columns and cells; whose they are, it is told.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from utils.exports import shown
from utils.times import rfc3339

#: Columns of the import (utils/person.py) that hold all that is a person's own. What we have seen
#: them do (history, engagement, bounces) is not theirs, and not in it.
COLUMNS = (
    "email", "name", "status", "tags", "topic_opt_outs", "attributes",
    "created_at", "opt_in_at", "opt_in_ip",
)  # fmt: skip
_TIMES = frozenset({"created_at", "opt_in_at"})
_WORDS = frozenset({"tags", "topic_opt_outs"})
#: What would make an import read something else than these words between commas.
_CUTTING = frozenset(',;|"')

Person = Mapping[str, Any]


def as_csv(people: Iterable[Person], *, header: bool) -> str:
    """Lines of CSV; no cell runs as a formula in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # CRLF, as RFC 4180 has it
    if header:
        writer.writerow(COLUMNS)
    writer.writerows([shown(_cell(name, person[name])) for name in COLUMNS] for person in people)
    return buffer.getvalue()


def as_jsonl(people: Iterable[Person], *, header: bool) -> str:  # noqa: ARG001  (it has none)
    """One JSON object a line."""
    return "".join(orjson.dumps(_values(person)).decode() + "\n" for person in people)


#: How an export is written, by the word of the API.
FORMATS: Mapping[str, Callable[..., str]] = {"csv": as_csv, "jsonl": as_jsonl}


def pieces(pages: Iterable[Sequence[Person]], form: str) -> Iterator[str]:
    """The export in one of `FORMATS`, a page at a time."""
    write = FORMATS[form]
    yield write([], header=True)
    for page in pages:
        yield write(page, header=False)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _TIMES:
        return rfc3339(value)
    if name in _WORDS:
        return _joined(list(value))
    return orjson.dumps(value).decode() if name == "attributes" else str(value)


def _joined(words: list[str]) -> str:
    """Words between commas, or a JSON list where that would be read as something else."""
    plain = all(_CUTTING.isdisjoint(word) and not word.startswith("[") for word in words)
    return ",".join(words) if plain else orjson.dumps(words).decode()


def _values(person: Person) -> dict[str, Any]:
    values = {name: person[name] for name in COLUMNS}
    for name in _TIMES:
        values[name] = None if values[name] is None else rfc3339(values[name])
    for name in _WORDS:
        values[name] = list(values[name])
    return values
