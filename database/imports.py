"""Putting a whole file of people into `subscribers`, chunk by chunk, and reporting on every row."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter
from typing import BinaryIO

import sqlalchemy as sa

from database.engine import Database
from database.lifecycle import further, moves_away
from database.merge import Verdict, merge, rehearse
from database.models import SubscriberStatus as S
from database.records import Origin
from utils import person
from utils.errors import Invalid
from utils.exports import PLAIN, Export, recognise
from utils.lines import Notes
from utils.person import BadField, Change
from utils.rows import FORMATS, BadFile, Row, rows

#: Rows that are sorted by address together: the index over addresses is then walked in order,
#: which halves the cost of a large import (docs/import.md).
_SORTED = 20_000
#: Rows of one transaction: others wait for it, so it stays under about 50 ms.
_WRITTEN = 2_000
MOST_ERRORS = 1_000
_FORGOTTEN = "asked to be forgotten; the address stays suppressed"


@dataclass(frozen=True)
class RowError:
    """What is wrong with one row."""

    row: int
    field: str
    message: str


@dataclass
class ImportReport:
    """received = added + updated + unchanged + skipped + rejected."""

    import_id: str
    received: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    more_errors: int = 0  #: beyond the first `MOST_ERRORS`

    def blame(self, row: int, name: str, message: str) -> None:
        """Keep an error, or only count it."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(RowError(row, name, message))
        else:
            self.more_errors += 1


class Importer:
    """One import."""

    def __init__(
        self, db: Database, origin: Origin, clock: Callable[[], float], *, file_name: str = ""
    ) -> None:
        """`origin` says by whom and from where; it gets the import's id here, and
        each chunk its moment from `clock`. `file_name` as its system called it, if known."""
        self._clock = clock
        self._db = db
        self._report = ImportReport(import_id=f"imp_{secrets.token_hex(6)}")
        self._origin = replace(origin, import_id=self._report.import_id)
        self._file_name = file_name
        #: Whoever is in a list of people out of reach is out of reach, known here or not.
        self._floor = origin.status if moves_away(S.ACTIVE, origin.status) else None

    def run(self, file: BinaryIO, form: str, *, dry_run: bool) -> ImportReport:
        """Read `file` to its end. Raises `Invalid` when it cannot be read at all."""
        if form not in FORMATS:
            raise Invalid.of("format", f"must be one of {', '.join(FORMATS)}")
        write = self._rehearse if dry_run else self._write
        notes = Notes()
        try:
            source = self._read(rows(file, form, notes), notes)
            while changes := list(islice(source, _SORTED)):
                # Stable: what the file says about one person stays in its order.
                changes.sort(key=attrgetter("address.canonical"))
                for start in range(0, len(changes), _WRITTEN):
                    self._count(changes[start : start + _WRITTEN], write)
                changes.clear()  # before the next are read: never two chunks at once
        except BadFile as error:
            raise Invalid.of("file", str(error)) from None
        self._report.warnings += notes.guesses
        self._report.errors.sort(key=attrgetter("row"))
        return self._report

    def _read(self, source: Iterator[Row], notes: Notes) -> Iterator[Change]:
        export: Export | None = None
        for row in source:
            self._report.received += 1
            if export is None and row.cells:
                export = recognise(notes.columns or row.cells, self._file_name)
                self._report.warnings += export.warnings
            try:
                if row.fault:
                    raise BadField("", row.fault)
                yield self._change(row, export or PLAIN)
            except BadField as error:
                self._report.rejected += 1
                self._report.blame(row.number, error.field, str(error))

    def _change(self, row: Row, export: Export) -> Change:
        cells, least = export.adapt(row.cells)
        change = person.read(row.number, cells)
        if least or self._floor:
            change.status = further(change.status, least, self._floor)
        return change

    def _count(
        self, changes: Sequence[Change], write: Callable[[Sequence[Change]], list[Verdict]]
    ) -> None:
        report = self._report
        verdicts = write(changes)
        report.added += verdicts.count(Verdict.ADDED)
        report.updated += verdicts.count(Verdict.UPDATED)
        report.unchanged += verdicts.count(Verdict.UNCHANGED)
        for change, verdict in zip(changes, verdicts, strict=True):
            if verdict is Verdict.ERASED:
                report.skipped += 1
                report.blame(change.row, "email", _FORGOTTEN)

    def _write(self, changes: Sequence[Change]) -> list[Verdict]:
        def work(connection: sa.Connection) -> list[Verdict]:
            return merge(connection, changes, replace(self._origin, at=self._clock()))

        return self._db.transact(work)

    def _rehearse(self, changes: Sequence[Change]) -> list[Verdict]:
        with self._db.read() as connection:
            return rehearse(connection, changes, self._origin)
