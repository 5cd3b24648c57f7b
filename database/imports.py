"""Putting a whole file of people into `subscribers`, chunk by chunk, and reporting on every row."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter
from typing import Any, BinaryIO

import sqlalchemy as sa

from database import import_log
from database.engine import Database, DatabaseUnavailable
from database.import_log import RowError
from database.lifecycle import further, moves_away
from database.merge import Verdict, merge, rehearse
from database.models import SubscriberStatus as S
from database.records import Origin
from utils import person
from utils.entry import Signs
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
#: Errors in the report itself; all of them are in the import's log.
MOST_ERRORS = 1_000
_FORGOTTEN = "asked to be forgotten; the address stays suppressed"
COUNTS = ("received", "added", "updated", "unchanged", "skipped", "rejected")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of people, as its sender describes it."""

    name: str = ""  #: as its system called it, if known
    digest: str = ""  #: of the bytes, for files that are not to be read twice
    #: Told of every row that is wrong, also of those that a report has no room for.
    blame: Callable[[RowError], None] | None = None
    #: Told how many rows were read, now and then.
    progress: Callable[[int], None] | None = None


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

    def counts(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in COUNTS}


class Importer:
    """One import."""

    def __init__(
        self, db: Database, origin: Origin, clock: Callable[[], float], upload: Upload,
        refused: Collection[str] = (),
    ) -> None:  # fmt: skip
        """`origin` says by whom and from where; it gets the import's id here, and
        each chunk its moment from `clock`. `refused` are kinds of signs that are no warning."""
        self._clock = clock
        self._db = db
        self._upload = upload
        self._report = ImportReport(import_id=import_log.new_id(origin.at))
        self._origin = replace(origin, import_id=self._report.import_id)
        #: Whoever is in a list of people out of reach is out of reach, known here or not.
        self._floor = origin.status if moves_away(S.ACTIVE, origin.status) else None
        self._signs = Signs(refused)
        self._dry_run = False
        self._started = False
        self._unwritten: list[RowError] = []  #: errors that the log does not have yet
        self._blamed = 0

    def run(self, file: BinaryIO, form: str, *, dry_run: bool) -> ImportReport:
        """Read `file` to its end. Raises `Invalid` when it cannot be read at all."""
        if form not in FORMATS:
            raise Invalid.of("format", f"must be one of {', '.join(FORMATS)}")
        notes = Notes()
        return self.take(rows(file, form, notes), notes, dry_run=dry_run)

    def take(self, source: Iterator[Row], notes: Notes, *, dry_run: bool) -> ImportReport:
        """The same with rows that were read already."""
        self._dry_run = dry_run
        try:
            self._take(self._read(source, notes))
        except BadFile as error:
            raise Invalid.of("file", str(error)) from None
        except BaseException:
            if self._started:  # as far as it got, it is on disk
                with suppress(DatabaseUnavailable):
                    self._log(status="interrupted")
            raise
        self._report.warnings += [*notes.guesses, *self._signs.warnings()]
        self._report.errors.sort(key=attrgetter("row"))
        if not dry_run:
            self._log(status="finished", warnings=self._report.warnings)
        return self._report

    def _take(self, source: Iterator[Change]) -> None:
        write = self._rehearse if self._dry_run else self._write
        while changes := list(islice(source, _SORTED)):
            # Stable: what the file says about one person stays in its order.
            changes.sort(key=attrgetter("address.canonical"))
            for start in range(0, len(changes), _WRITTEN):
                self._count(changes[start : start + _WRITTEN], write)
            changes.clear()  # before the next are read: never two chunks at once
            if not self._dry_run:
                self._log()

    def _read(self, source: Iterator[Row], notes: Notes) -> Iterator[Change]:
        export: Export | None = None
        for row in source:
            self._report.received += 1
            if self._upload.progress and self._report.received % _WRITTEN == 0:
                self._upload.progress(self._report.received)
            if export is None and row.cells:
                export = recognise(notes.columns or row.cells, self._upload.name)
                self._report.warnings += export.warnings
            try:
                if row.fault:
                    raise BadField("", row.fault)
                yield self._change(row, export or PLAIN)
            except BadField as error:
                self._report.rejected += 1
                self._blame(RowError(row.number, error.field, str(error)))

    def _change(self, row: Row, export: Export) -> Change:
        cells, least = export.adapt(row.cells)
        change = person.read(row.number, cells)
        if least or self._floor:
            change.status = further(change.status, least, self._floor)
        self._signs.check(change)
        return change

    def _count(
        self, changes: Sequence[Change], write: Callable[[Sequence[Change]], list[Verdict]]
    ) -> None:
        verdicts = write(changes)
        for name, number in self._counted(verdicts).items():
            setattr(self._report, name, number)
        for change, verdict in zip(changes, verdicts, strict=True):
            if verdict is Verdict.ERASED:
                self._blame(RowError(change.row, "email", _FORGOTTEN))

    def _counted(self, verdicts: Sequence[Verdict]) -> dict[str, int]:
        """The counts of the report with those of one more transaction."""
        found = Counter(_COUNTED[verdict] for verdict in verdicts)
        return {name: number + found[name] for name, number in self._report.counts().items()}

    def _write(self, changes: Sequence[Change]) -> list[Verdict]:
        def work(connection: sa.Connection) -> list[Verdict]:
            now = self._clock()
            if not self._started:
                self._start(connection, now)
            verdicts = merge(connection, changes, replace(self._origin, at=now))
            if set(verdicts) != {Verdict.UNCHANGED}:  # else nothing is written at all
                news = self._counted(verdicts)
                import_log.save(connection, self._report.import_id, news, now)
            return verdicts

        verdicts = self._db.transact(work)
        self._started = True
        return verdicts

    def _rehearse(self, changes: Sequence[Change]) -> list[Verdict]:
        with self._db.read() as connection:
            return rehearse(connection, changes, self._origin)

    def _blame(self, error: RowError) -> None:
        self._blamed += 1
        if len(self._report.errors) < MOST_ERRORS:
            self._report.errors.append(error)
        else:
            self._report.more_errors += 1
        if self._upload.blame:
            self._upload.blame(error)
        if self._dry_run:
            return
        self._unwritten.append(error)
        if len(self._unwritten) >= _SORTED:  # a file of nothing but errors
            self._log()

    def _start(self, connection: sa.Connection, now: float) -> None:
        about = {
            "status": "running", "by": self._origin.by, "source": self._origin.source,
            "file_name": self._upload.name, "digest": self._upload.digest,
            "tags": list(self._origin.tags), "started_at": now, "finished_at": None,
            "warnings": self._report.warnings, "undone": None,
        }  # fmt: skip
        import_log.start(connection, self._report.import_id, about | self._report.counts(), now)

    def _log(self, **news: Any) -> None:
        """Bring the log up to date, errors included."""
        errors = self._unwritten

        def work(connection: sa.Connection) -> None:
            now = self._clock()
            if not self._started:
                self._start(connection, now)
            first = self._blamed - len(errors)
            import_log.add_errors(connection, self._report.import_id, first, errors, now)
            over = {"finished_at": now} if news.get("status") == "finished" else {}
            news_now = {**self._report.counts(), **news, **over}
            import_log.save(connection, self._report.import_id, news_now, now)

        self._db.transact(work)
        self._started = True
        self._unwritten = []


_COUNTED = {
    Verdict.ADDED: "added",
    Verdict.UPDATED: "updated",
    Verdict.UNCHANGED: "unchanged",
    Verdict.ERASED: "skipped",
}
