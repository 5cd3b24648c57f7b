"""Runs what app.py builds: the web under gunicorn, the worker, and the simulator as a child.

Knows processes, ports and signals; knows no route and no part.
"""

import errno
import http.client
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from boot.clients import Worker
from config.completion import reachable
from config.settings import Settings
from simulator import foreground
from work import Parts, Work

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
#: A request in flight may take this long after SIGTERM; work.py drains in 25 s meanwhile.
GRACEFUL_SECONDS = 28
SIMULATOR_SECONDS = 20
#: A child that dies at once is started this often.
AGAIN_SECONDS = 2.0

log = logging.getLogger(__name__)


class Engine(NamedTuple):
    """What the worker process serves and runs."""

    app: Flask
    work: Work
    parts: Parts
    close: Callable[[], None]


class CannotServe(Exception):
    """Something of the machine stands in the way; the text says what to do."""


# --- the simulator -------------------------------------------------------------------------------


def simulator_keys(url: str) -> dict[str, Any] | None:
    """What the simulator at `url` publishes; None while there is none. Never through a proxy."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", "/_keys")
        answer = connection.getresponse()
        keys: dict[str, Any] | None = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return keys


def wait_for_simulator(settings: Settings, seconds: float) -> Settings:
    """The settings with the simulator's keys, as soon as it answers."""
    end = time.monotonic() + seconds
    while (keys := simulator_keys(settings.simulator_url)) is None:
        if time.monotonic() > end:
            raise CannotServe(f"No simulator answers at {settings.simulator_url}.")
        time.sleep(0.1)
    return settings.with_simulator(settings.simulator_url, keys)


def at_running_simulator(settings: Settings) -> Settings:
    """The settings with the simulator's keys when one answers now; else no ESP is configured."""
    keys = simulator_keys(settings.simulator_url) if settings.is_sandbox else None
    return settings.with_simulator(settings.simulator_url, keys) if keys else settings


def serve_simulator(
    database: str, host: str, port: int, target: str | None, engagement: float | None,
    parent_pid: int | None,
) -> int:  # fmt: skip
    """The simulator in this process, in the foreground."""
    return foreground.serve(database, port, host, target, engagement, parent_pid)


@contextmanager
def simulator(settings: Settings) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """The settings with the ESPs in place, and what to call now and then: in sandbox the ESPs are
    the simulator's, which is started as a child unless one is named, and again when it dies."""
    must_be_free(settings.service.host, settings.service.port)
    if not settings.is_sandbox:
        yield settings, _nothing
        return
    if settings.service.simulator_url:
        yield wait_for_simulator(settings, SIMULATOR_SECONDS), _nothing
        return
    must_be_free("127.0.0.1", settings.service.port + 1, "the simulator takes PORT + 1")
    child = Child(simulator_command(settings))
    try:
        yield wait_for_simulator(settings, SIMULATOR_SECONDS), child.look_after
    finally:
        child.stop()


def _nothing() -> None:
    pass


class Child:
    """A program of ours that must run as long as we do."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._start()

    def _start(self) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: it outlives the last request in flight
        )  # fmt: skip

    def look_after(self) -> None:
        """Start it again when it is gone, but not faster than it can die."""
        if self._process.poll() is not None and time.monotonic() - self._began > AGAIN_SECONDS:
            log.error("the simulator ended by itself; it is started again with its log and keys")
            self._start()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def simulator_command(settings: Settings) -> list[str]:
    """How the child is started. Its log and keys lie beside the SQLite database."""
    database = settings.database_url.removeprefix("sqlite:///")
    folder = Path(database).parent if "://" not in database else Path("data")
    target = f"http://{reachable(settings.service.host)}:{settings.service.port}"
    return [
        sys.executable, "-m", "simulator",
        "--port", str(settings.service.port + 1),
        "--db", str(Path.cwd() / folder / "simulator.db"),
        "--webhook-target", target,
        "--parent-pid", str(os.getpid()),
    ]  # fmt: skip


def must_be_free(host: str, port: int, why: str = "set another PORT") -> None:
    """Say which port is taken, before half of the programs are up."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                words = f"Port {port} on {host} is taken by another program: {why}."
            else:
                words = f"HOST={host} with port {port} cannot be used ({error.strerror})."
            raise CannotServe(words) from None


# --- the web -------------------------------------------------------------------------------------


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log through ours; its access log stays off, since it shows whole paths."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers to utils/logs.py."""
        self.cfg = cfg
        self.error_log.handlers[:] = []
        self.error_log.propagate = True
        self.error_log.setLevel("WARNING")


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Ctrl-C ends as gracefully as SIGTERM; a second one hurries. Looks after other children."""

    def handle_int(self) -> None:
        """SIGINT."""
        self.handle_term()

    def murder_workers(self) -> None:
        """About once a second."""
        super().murder_workers()
        self.app.look_after()


class Web(BaseApplication):  # type: ignore[misc]
    """One worker process with threads; with the work engine inside, when `parts` are given."""

    def __init__(
        self, settings: Settings, make: Callable[[], Engine],
        ready: Callable[[], None], look_after: Callable[[], None] = _nothing,
    ) -> None:  # fmt: skip
        """`make` builds everything in the worker process, after the fork; `look_after` is called
        now and then in the first process."""
        self.mode = settings.mode
        self.look_after = look_after
        self._settings = settings
        self._make = make
        self._ready = ready
        self._engine: Engine | None = None
        # A signal handler may take no lock that the code under it holds; this queue takes none.
        self._ending: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopper = threading.Thread(
            target=self._drain_when_told, name="stop-work", daemon=True
        )
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's options."""
        service = self._settings.service
        host = f"[{service.host}]" if ":" in service.host else service.host
        options = {
            "bind": [f"{host}:{service.port}"],
            "worker_class": Worker,
            "workers": 1,
            "threads": THREADS,
            "timeout": 60,
            "graceful_timeout": GRACEFUL_SECONDS,
            "control_socket_disable": True,
            "logger_class": _Log,
            "accesslog": None,
            "forwarded_allow_ips": "",  # web/frame.py decides whom to believe
            "post_worker_init": self._begin,
            "worker_exit": self._end,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in the worker process."""
        self._engine = self._make()
        return self._engine.app

    def run(self) -> None:
        """Serve until a signal."""
        _Arbiter(self).run()

    def _begin(self, worker: Any) -> None:
        """The engine runs from the first request on, and stops with the first SIGTERM."""
        if self._settings.service.worker == "embedded" and self._engine is not None:
            self._engine.work.start(self._engine.parts)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the arbiter turns Ctrl-C into SIGTERM
        self._stopper.start()
        leave = worker.handle_exit

        def stop(number: int, frame: Any) -> None:
            self._ending.put(None)
            leave(number, frame)

        signal.signal(signal.SIGTERM, stop)
        if worker.age == 1:
            self._ready()

    def _drain_when_told(self) -> None:
        """Drain while the web ends its requests."""
        self._ending.get()
        if self._engine is not None:
            self._engine.work.stop()

    def _end(self, _server: Any, _worker: Any) -> None:
        self._ending.put(None)
        if self._stopper.is_alive():
            self._stopper.join()
        if self._engine is not None:
            self._engine.close()


# --- the worker alone ----------------------------------------------------------------------------


def run_worker(work: Work, parts: Parts, ready: Callable[[], None]) -> None:
    """Run the engine until SIGTERM or SIGINT; requests in flight end first."""
    # Not an Event: its `set` in a handler takes the lock that the `wait` below it may hold.
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in foreground.ENDING:
        signal.signal(number, lambda *_: ended.put(None))
    work.start(parts)
    ready()
    while True:
        # Again and again: a signal between the last look and the wait would not end the wait.
        with suppress(queue.Empty):
            ended.get(timeout=1)
            break
    foreground.hear_no_more()
    work.stop()
