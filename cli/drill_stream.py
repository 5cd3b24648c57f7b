"""The steady stream of a drill: people of many domains, and one small campaign after another to
them. Each person gets one mail."""

import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from cli.drill_day import DOMAINS
from cli.stage import Stage, StageError

#: Real seconds from one campaign to the next, and the most messages a second that so many campaigns
#: may carry: a campaign costs more than its messages.
WAVE_SECONDS = 0.2
BUSY = 80.0
#: The list grows as the day goes on: the people of so many campaigns are imported at a time.
WAVES_AT_ONCE = 50
HTML = (
    "<p>Hello {{ first_name | default: 'reader' }}</p>"
    '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'
)


class Waves(NamedTuple):
    """The campaigns of a day."""

    every: float  #: real seconds from one to the next
    sizes: list[int]


def waves(rate: float, seconds: float) -> Waves:
    """So many messages a second, evenly over so many real seconds."""
    every = WAVE_SECONDS * max(1.0, rate / BUSY)
    count, messages = max(1, round(seconds / every)), round(rate * seconds)
    return Waves(every, [messages * (n + 1) // count - messages * n // count for n in range(count)])


def people(sizes: list[int], seed: int) -> list[list[str]]:
    """Rows of a CSV list, by campaign: everybody is tagged with the one that they are for."""
    dice = random.Random(f"drill {seed}")  # noqa: S311 (no secret)
    names, weights = list(DOMAINS), list(DOMAINS.values())
    numbers = itertools.count()
    return [
        [
            f"reader{number}@{domain},Reader {number},{tag(wave)}"
            for domain, number in zip(dice.choices(names, weights, k=size), numbers, strict=False)
        ]
        for wave, size in enumerate(sizes)
    ]


def tag(wave: int) -> str:
    """Who is meant by a campaign."""
    return f"wave-{wave:04}"


@dataclass
class Stream:
    """Sends the campaigns at their times, in a thread of its own."""

    stage: Stage
    rows: list[list[str]]  #: of people, by campaign
    every: float  #: real seconds from one campaign to the next
    problem: str = ""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin now."""
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what was sent stays so."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        for wave, rows in enumerate(self.rows):
            pause = began + wave * self.every - time.monotonic()
            if self._stopping.wait(max(0.0, pause)):
                return
            try:
                if wave % WAVES_AT_ONCE == 0:
                    self._import(self.rows[wave : wave + WAVES_AT_ONCE])
                if rows:
                    self._launch(wave, len(rows))
            except (StageError, OSError) as error:
                self.problem = str(error) or type(error).__name__
                return

    def _import(self, some: list[list[str]]) -> None:
        """The people of the next campaigns."""
        lines = [row for rows in some for row in rows]
        answer = self.stage.call(
            "POST", "/subscribers/import?source=drill",
            "\n".join(("email,first_name,tags", *lines)).encode(), Content_Type="text/csv",
        )  # fmt: skip
        if answer.status != 200 or answer.body["added"] != len(lines):
            raise StageError(f"the import answered {answer.status}: {answer.body}")

    def _launch(self, wave: int, size: int) -> None:
        body = {
            "name": f"Drill {tag(wave)}", "subject": "Hello {{ first_name | default: 'reader' }}",
            "html": HTML, "segment": tag(wave), "track_opens": False, "track_clicks": False,
        }  # fmt: skip
        answer = self.stage.call("POST", "/send-campaign", body, Idempotency_Key=tag(wave))
        if answer.status != 202 or answer.body["audience"] != size:
            raise StageError(f"/send-campaign answered {answer.status}: {answer.body}")
