"""Templates in a process of their own that dies of what it must not use: two seconds of CPU for
each thing that is done with one, and 256 MB of memory. `python -m tests.mail.confined` answers each
line of JSON with one.

Each template gets a fork: what one bomb leaves behind, the next one does not meet.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from mail.compiled import preview, render_view
from mail.links import fill_link
from mail.liquid import TemplateError
from mail.people import Person, RenderError
from tests.mail.authoring import compiled, html_of, somebody, subject_of, text_of

SECONDS, BYTES = 2.0, 256 * 2**20
ROOT = Path(__file__).parents[2]
Answer = dict[str, Any]


class Confined:
    """Asks the process; a context manager."""

    def __enter__(self) -> Self:
        self._asked = subprocess.Popen(
            [sys.executable, "-m", "tests.mail.confined"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._asked.communicate(timeout=30)

    def __call__(self, parts: dict[str, str], values: Answer) -> Answer:
        """`outcome`: refused, failed, rendered or dead; with `problems`, `reason` or the parts.
        `seconds`: CPU by stage, as far as it came."""
        assert self._asked.stdin
        assert self._asked.stdout
        self._asked.stdin.write(json.dumps([parts, values]) + "\n")
        self._asked.stdin.flush()
        return dict(json.loads(self._asked.stdout.readline()))


class _Stages:
    """The CPU time of each stage; past the limit the process dies."""

    def __init__(self, told: int) -> None:
        self._told = told

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        os.write(self._told, f"{name}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        began = time.process_time()
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(self._told, f"{time.process_time() - began}\n".encode())


def made_of(parts: dict[str, str], values: Answer, stage: _Stages) -> Answer:
    """All that the product does with a template: compile, render, show, and follow its links."""
    person = Person("anna@example.org", "Anna Berg", values)
    try:
        with stage("compile"):
            _die_of(parts.pop("DIE", ""))
            campaign = compiled(**parts)  # type: ignore[arg-type]
        with stage("render"):
            message = campaign.render(somebody(values))
        with stage("click"):
            for target in campaign.links:
                fill_link(target, person)
        with stage("preview"):
            preview(campaign, person)
        with stage("view"):
            render_view(campaign, person)
    except TemplateError as error:
        return {"outcome": "refused", "problems": [p._asdict() for p in error.problems]}
    except RenderError as error:
        return {"outcome": "failed", "reason": error.reason}
    return {
        "outcome": "rendered", "subject": subject_of(campaign, message),
        "html": html_of(campaign, message), "text": text_of(campaign, message),
    }  # fmt: skip


def _die_of(what: str) -> None:
    """Whether the limits hold is a question, too."""
    while what == "time":
        pass
    if what == "memory":
        bytearray(2 * BYTES)


def _forked(line: str, writing: int) -> None:
    """In the fork: no more than its share."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    room = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    parts, values = json.loads(line)
    answer = json.dumps(made_of(parts, values, _Stages(writing)))
    os.write(writing, b"answer\n")
    with os.fdopen(writing, "w") as told:
        told.write(answer)


def _alone(line: str) -> str:
    """The answer of a fork, or at which stage it died and how."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        status = 1
        try:
            _forked(line, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as told:
        stages, _, answer = told.read().partition("answer\n")
    _, status = os.waitpid(child, 0)
    words = stages.split()
    found = json.loads(answer) if answer else {"outcome": "dead", "reason": f"status {status}"}
    seconds = dict(zip(words[::2], [*map(float, words[1::2]), None], strict=False))
    return json.dumps(found | {"seconds": seconds})


def main() -> None:
    """One answer for each line."""
    for line in sys.stdin:
        print(_alone(line), flush=True)


if __name__ == "__main__":
    main()
