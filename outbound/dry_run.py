"""What would become of a campaign if it was sent now. Stores and sends nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from database import audience
from database.engine import Database
from outbound.checks import Examined, Examiner, time_problems
from outbound.draft import Draft
from outbound.forecast import ASKED, Forecaster, Outlook
from outbound.overview import read_records
from outbound.preview import Preview, Previewer
from services.esp_manager import EspManager
from utils.errors import FieldError, Invalid


@dataclass(frozen=True, slots=True)
class Lacking:
    """A variable that some of the audience lack, without excuse."""

    name: str
    count: int
    examples: Sequence[str]  #: addresses, up to three


@dataclass(frozen=True, slots=True)
class DryRun:
    """The answer."""

    audience: int
    problems: list[FieldError]  #: all that a launch would refuse
    warnings: list[str]
    missing: list[Lacking]
    outlook: Outlook
    sample: Preview | None  #: for the first of the audience; None: there is none, or no message


class DryRunner:
    """Tries campaigns."""

    def __init__(
        self, database: Database, examiner: Examiner, manager: EspManager, forecaster: Forecaster,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._db = database
        self._examiner = examiner
        self._manager = manager
        self._forecaster = forecaster
        self._clock = clock

    def run(self, draft: Draft) -> DryRun:
        """Look at everything that a launch looks at, and ahead."""
        now = self._clock()
        found = self._examiner.examine(draft)
        with self._db.read() as connection:
            people = self._examiner.people(found.row) if found.size else None
            some = audience.addresses(connection, people, ASKED) if found.size else []
            records = read_records(connection, self._manager.names, now)
        return DryRun(
            audience=found.size,
            problems=[
                *self._examiner.identity.blockers,
                *found.problems,
                *time_problems(draft.scheduled_at, now),
            ],
            warnings=found.warnings,
            missing=self._missing(found),
            outlook=self._forecaster.outlook(records, found.size, some, draft.esp, now),
            sample=self._sample(draft, found),
        )

    def _missing(self, found: Examined) -> list[Lacking]:
        """Also what `allow_missing` lets pass."""
        if found.compiled is None or not found.size:
            return []
        names = replace(found.compiled, allow_missing=False).required_variables()
        people = self._examiner.people(found.row)
        with self._db.read() as connection:
            counts = audience.missing_counts(connection, people, list(names))
        return [Lacking(name, count, examples) for name, (count, examples) in counts.items()]

    def _sample(self, draft: Draft, found: Examined) -> Preview | None:
        if found.compiled is None or not found.size:
            return None
        try:
            return Previewer(self._db, self._examiner).preview(draft)
        except Invalid:  # this person's message cannot be made; the others' may
            return None
