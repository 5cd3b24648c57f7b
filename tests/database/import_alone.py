"""One import in a process of its own: to be killed half-way, or to have its memory measured.

`python -m tests.database.import_alone URL FILE ROWS kill|measure [small]` prints counts and the
peak of its memory as JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

from database import imports
from database.engine import Database
from database.imports import Upload
from list_manager import ListManager

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".json": "json"}


def main(url: str, path: str, rows: str, what: str, *more: str) -> None:
    if "small" in more:
        imports._SORTED, imports._WRITTEN = 2_000, 500

    def progress(read: int) -> None:
        if what == "kill" and read >= int(rows) // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    db = Database(url)
    lists = ListManager(db, erasure_key="secret", clock=lambda: 1_800_000_000.0)
    with Path(path).open("rb") as file:
        report = lists.import_stream(
            file, format=FORMATS[Path(path).suffix], by="t", upload=Upload(progress=progress)
        )
    db.dispose()
    told = {**report.counts(), "import_id": report.import_id, "peak_bytes": peak()}
    print(json.dumps(told))


def peak() -> int:
    """The most memory this program had. Not `ru_maxrss`: that is the parent's own, if it had more
    when it forked (getrusage(2))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no VmHWM in /proc/self/status (proc(5))")


if __name__ == "__main__":
    main(*sys.argv[1:])
