"""The service as real processes on loopback, for tests that start and stop it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.application import FULL, SECRETS

ROOT = Path(__file__).resolve().parent.parent


def free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


class Running:
    """A program of the house, started in its own process group."""

    def __init__(self, folder: Path, *command: str, port: int | None = None, **env: str) -> None:
        self.port = port or free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{len(list(folder.glob('*.log')))}.log"
        own = {**SECRETS, "PORT": str(self.port), "DATABASE_URL": f"sqlite:///{folder}/app.db"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(command or ("app.py",))], cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, **own, **env}, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def ask(self, path: str, body: Any = None, key: str = FULL) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def wait_for(self, words: str, seconds: float = 30) -> None:
        """Until the program says so."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.05)

    def stop(self, number: signal.Signals, seconds: float = 30) -> int:
        """Send a signal to the first process alone; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)
