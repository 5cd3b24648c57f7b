"""PostgreSQL's own client programs, which know its dumps. The password reaches them by a file that
has no name and ends with them, never by the command line or the environment."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo

_CHUNK = 2**20
INSTALL = "sudo apt-get install -y postgresql-client"


class ToolFailed(Exception):
    """A program is missing or did not do its work; the text says why, without secrets."""

    def __init__(self, words: str, *, missing: bool = False) -> None:
        super().__init__(words)
        self.missing = missing


def find(name: str) -> str:
    """The path of a client program. Raises ToolFailed with the command that installs it."""
    found = shutil.which(name)
    if found is None:
        raise ToolFailed(f"{name} is needed for PostgreSQL. Install it: {INSTALL}", missing=True)
    return found


@contextmanager
def dumping(url: sa.URL, schema: str, target: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """pg_dump writing one schema into `target`; the caller waits and then asks `check`."""
    with _password_file(url) as (number, conninfo):
        command = [
            find("pg_dump"), "--format=custom", "--no-owner", "--no-privileges",
            f"--schema={_pattern(schema)}", f"--file={target}", f"--dbname={conninfo}",
        ]  # fmt: skip
        with _run(command, subprocess.DEVNULL, [number]) as process:
            yield process


@contextmanager
def reading(dump: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """pg_restore telling what is in a dump as SQL, on its standard output. Needs no database."""
    command = [find("pg_restore"), "--data-only", *words, "--file=-", str(dump)]
    with _run(command, subprocess.PIPE, []) as process:
        yield process


def read_through(dump: Path) -> None:
    """Read a dump to its end. Raises ToolFailed when it is damaged."""
    with reading(dump) as process:
        for _ in iter(lambda: process.stdout and process.stdout.read(_CHUNK), b""):
            pass
        check(process)


def check(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end. Raises ToolFailed with the program's own words when it failed."""
    told = process.stderr.read() if process.stderr else b""
    if process.wait():
        words = " ".join(told.decode("utf-8", "replace").split())[:500]
        raise ToolFailed(words or f"it ended with status {process.returncode}")


@contextmanager
def _run(
    command: list[str], stdout: int, pass_fds: list[int]
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(  # noqa: S603 - a program of the host, no shell
        command, pass_fds=pass_fds, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


@contextmanager
def _password_file(url: sa.URL) -> Iterator[tuple[int, str]]:
    """A file descriptor to hand on, and a conninfo that names it (libpq, "The Password File")."""
    fields = ("*", "*", "*", "*", url.password or "")
    line = ":".join(re.sub(r"([:\\])", r"\\\1", field) for field in fields)
    with tempfile.TemporaryFile() as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(line.encode())
        file.seek(0)
        number = file.fileno()
        options = {name: str(value) for name, value in url.query.items() if name != "password"}
        if url.password:
            options["passfile"] = f"/dev/fd/{number}"
        yield number, make_conninfo(
            host=url.host, port=url.port, user=url.username, dbname=url.database, **options
        )  # fmt: skip


def _pattern(schema: str) -> str:
    """Exactly this name in a psql pattern."""
    escaped = schema.replace('"', '""')
    return f'"{escaped}"'
