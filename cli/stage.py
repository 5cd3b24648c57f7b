"""A stage of its own for demo, test_system.py and tests: simulator, service and worker as real
processes on loopback, with a folder, keys, ports and a database of their own.

Talks to them over HTTP only, as anybody would; knows nothing of what is inside.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 40.0
#: The host's settings never reach a stage: no key, no address, no database of somebody else.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_")


class StageError(Exception):
    """Something on the stage did not start, stop or answer; the text says what and why."""


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: Any  #: parsed when it is JSON, else text
    headers: Mapping[str, str]


@dataclass
class Actor:
    """One running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """kill -9 of the program and everything it started, the way power goes away."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, wait, and say how it went."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            words = f"{self.name} did not stop in {STOP_SECONDS:.0f} s:\n{self._stacks()}"
            self.kill()
            raise StageError(words) from None

    def _stacks(self) -> str:
        """Where every thread stands: PYTHONFAULTHANDLER writes them to the log on SIGABRT."""
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        return self.last_words(150)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Stage:
    """Where everything of one performance lives."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    actors: dict[str, Actor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        web, simulator = free_ports(2)
        self.url = f"http://127.0.0.1:{web}"
        self.simulator_url = f"http://127.0.0.1:{simulator}"
        self.api_key = secrets.token_urlsafe(24)
        self.environment = {
            name: value for name, value in os.environ.items() if name.startswith(_KEPT)
        } | {
            "EDS_NO_DOTENV": "1", "FLASK_SKIP_DOTENV": "1",
            "MODE": "sandbox", "HOST": "127.0.0.1", "PORT": str(web),
            "SIMULATOR_URL": self.simulator_url, "WORKER": "off",
            "DATABASE_URL": f"sqlite:///{self.folder}/demo.db",
            "API_KEY": f"demo:{self.api_key}", "SECRET_KEY": secrets.token_urlsafe(32),
            "ERASURE_KEY": secrets.token_urlsafe(32), "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1",
        } | self.settings  # fmt: skip

    # --- programs ------------------------------------------------------------------------------

    def start_simulator(self, *options: str) -> Actor:
        """The three ESPs. Its log, keys and mailbox outlive it."""
        port = self.simulator_url.rpartition(":")[2]
        actor = self._start(
            "simulator", "-m", "simulator", "--port", port, "--db", f"{self.folder}/simulator.db",
            "--webhook-target", self.url, *options,
        )  # fmt: skip
        self._until(actor, lambda: self.simulator("GET", "/_health").status == 200)
        return actor

    def start_web(self) -> Actor:
        """The service. Answers once the database is there."""
        actor = self._start("web", "app.py")
        self._until(actor, lambda: self.call("GET", "/health").status == 200)
        return actor

    def start_worker(self, name: str = "worker") -> Actor:
        """A worker beside the service; several have several names."""
        return self._start(name, "-m", "flask", "--app", "app", "worker")

    def start(self, *, simulator: tuple[str, ...] = ()) -> None:
        """Everything, in order."""
        self.start_simulator(*simulator)
        self.start_web()
        if self.environment["WORKER"] == "off":
            self.start_worker()

    def close(self) -> None:
        """Everything ends, whatever state it is in."""
        for actor in reversed(list(self.actors.values())):
            if actor.process.poll() is None:
                with contextlib.suppress(StageError):
                    actor.stop()
            actor.kill()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command of the CLI, on this stage's settings."""
        return subprocess.run(  # noqa: PLW1510 (the caller looks at the code)
            [sys.executable, "-m", "flask", "--app", "app", *command],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def _start(self, name: str, *arguments: str) -> Actor:
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.actors[name] = Actor(name, process, log)
        return self.actors[name]

    def _until(self, actor: Actor, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if actor.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(0.05)
        raise StageError(f"{actor.name} did not start:\n{actor.last_words()}")

    # --- HTTP ----------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Any = None, *, timeout: float = 60, **headers: str
    ) -> Answer:
        """The service's API, with the stage's key."""
        return request(
            method, self.url + path, body, timeout=timeout,
            headers={"Authorization": f"Bearer {self.api_key}"} | _spelled(headers),
        )  # fmt: skip

    def simulator(self, method: str, path: str, body: Any = None) -> Answer:
        """The simulator's control API."""
        return request(method, self.simulator_url + path, body)

    def fault(self, esp: str, kind: str, **options: Any) -> None:
        """Break an ESP."""
        answer = self.simulator("POST", "/_faults", {"esp": esp, "kind": kind, **options})
        if answer.status != 201:
            raise StageError(f"the simulator refused the fault: {answer.body}")

    def heal(self) -> None:
        """All ESPs are well again."""
        self.simulator("DELETE", "/_faults")

    def campaign(self, campaign_id: int) -> dict[str, Any]:
        """The service's account of a campaign."""
        answer = self.call("GET", f"/campaigns/{campaign_id}")
        if answer.status != 200:
            raise StageError(f"GET /campaigns/{campaign_id}: {answer.status} {answer.body}")
        return dict(answer.body)

    def ledger_of_simulator(self) -> Iterator[dict[str, Any]]:
        """Every message that an ESP took, by the ESPs' own account."""
        cursor = ""
        while True:
            query = urlencode({"limit": "10000"} | ({"cursor": cursor} if cursor else {}))
            page = self.simulator("GET", f"/_ledger?{query}").body
            yield from page["items"]
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return


def request(
    method: str, url: str, body: Any = None, *, timeout: float = 60,
    headers: Mapping[str, str] | None = None,
) -> Answer:  # fmt: skip
    """One HTTP request; every status is an answer. `body`: bytes as they are, else JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = dict(headers or {})
    if data is not None:
        given.setdefault("Content-Type", "application/json")
    wanted = urllib.request.Request(url, data=data, method=method, headers=given)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(wanted, timeout=timeout) as response:
            return _answer(response.status, response.read(), response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.read(), error.headers)


def _answer(status: int, body: bytes, headers: Any) -> Answer:
    text = body.decode("utf-8", "replace")
    found = {name.lower(): value for name, value in headers.items()}
    if "json" in found.get("content-type", "") and text:
        return Answer(status, json.loads(text), found)
    return Answer(status, text, found)


def _spelled(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on at this moment, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
