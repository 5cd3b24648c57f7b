"""Runs a simulator in the foreground until a signal or until the process that it serves is gone."""

import os
import queue
import signal
import sys
from contextlib import suppress
from pathlib import Path

from simulator.server import start

LOOK_SECONDS = 0.5
#: The signals that ask a program to end.
ENDING = (signal.SIGTERM, signal.SIGINT)


def serve(
    db: str | Path, port: int = 0, host: str = "127.0.0.1", webhook_target: str | None = None,
    engagement: float | None = None, parent_pid: int | None = None,
) -> int:  # fmt: skip
    """Serve; 0 after SIGTERM, SIGINT or the end of `parent_pid`."""
    # A signal handler may take no lock that the code under it holds; this queue takes none.
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in ENDING:
        signal.signal(number, lambda *_: ended.put(None))
    with start(db, port, host, webhook_target, engagement) as running:
        # A reader that went away is no reason to stop serving.
        with suppress(OSError):
            sys.stdout.write(f"simulator ready on {running.url}\n")
            sys.stdout.flush()
        while parent_pid is None or _alive(parent_pid):
            with suppress(queue.Empty):
                ended.get(timeout=LOOK_SECONDS)
                break
        hear_no_more()
    return 0


def hear_no_more() -> None:
    """From here on the program ends by itself. A handler would not do: Python takes handlers away
    while it exits, and the next signal would end the process in the middle of that."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _alive(pid: int) -> bool:
    """Whether a process runs; on Linux one that is dead and not yet collected counts as gone."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except OSError:
        # Not ours to signal, or a system without /proc: the process is there.
        return True
    return status.rpartition(")")[2].split()[0] not in "ZX"
