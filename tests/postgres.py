"""A throw-away PostgreSQL server for one test run.

Knows how to find the server's binaries, start a cluster that nobody else can log in to, give out
empty databases, and end it all, even if the test run is killed. Knows nothing of the product.

A keeper process owns the cluster: it starts the server as its child, writes the address, and
stops the server when asked (SIGTERM) or when the process that it watches is gone.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60
STOP_SECONDS = 15
USER = "eds"
# Losing the machine loses a test run, not data; a killed server loses nothing either way.
FAST = ("fsync=off", "full_page_writes=off")
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "timezone=UTC",
)


class NoServer(Exception):
    """Why this machine cannot start a PostgreSQL server."""


@dataclass(frozen=True)
class Cluster:
    """A running server: how to reach it, and who keeps it."""

    port: int
    password: str
    keeper: int
    folder: str

    def url(self, database: str) -> str:
        """What the product would have as DATABASE_URL."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def _admin(self) -> Any:
        # Imported late: this file is read on machines that have no driver yet.
        import psycopg

        return psycopg.connect(
            self.url("postgres").replace("+psycopg", ""), autocommit=True, connect_timeout=5
        )

    def create(self, template: str = "template0") -> str:
        """The name of a new database: empty, or a copy of another one that nobody has open."""
        name = f"test_{secrets.token_hex(6)}"
        with self._admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Remove it, and cut off whoever is still connected."""
        with self._admin() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def stop(self) -> None:
        """Ask the keeper to end the server and wait until its folder is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while Path(self.folder).exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def find_binaries() -> Path:
    """The folder with initdb and postgres; the newest where Debian keeps several."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True
    )
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    for folder in [*debian, *on_path]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoServer("no initdb and postgres under /usr/lib/postgresql/*/bin or on PATH")


def server_account() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as the account its package made."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise NoServer("running as root, and there is no user postgres to start it as") from None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def init_cluster(binaries: Path, folder: Path, password: str, account: str | None) -> Path:
    """A fresh data folder whose only role needs the password."""
    secret, data = folder / "password", folder / "data"
    secret.write_text(password)
    if account:
        shutil.chown(secret, account)
    command = [str(binaries / "initdb"), "-D", str(data), "-U", USER, "--pwfile", str(secret)]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        command, user=account, cwd=folder, env={"PATH": os.defpath}, capture_output=True,
        text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    secret.unlink()
    if done.returncode:
        raise NoServer(f"initdb failed: {done.stderr.strip()}")
    return data


def spawn_server(
    binaries: Path, data: Path, port: int, account: str | None, durable: bool
) -> "subprocess.Popen[bytes]":
    options = [f"port={port}", *SETTINGS, *(() if durable else FAST)]
    flags = [word for option in options for word in ("-c", option)]
    with (data.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [binaries / "postgres", "-D", data, *flags], user=account, cwd=data,
            env={"PATH": os.defpath}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def answers(cluster: Cluster) -> bool:
    import psycopg

    try:
        cluster._admin().close()
    except psycopg.OperationalError:
        return False
    return True


def await_server(server: "subprocess.Popen[bytes]", cluster: Cluster) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(cluster):
        if server.poll() is not None or time.monotonic() > deadline:
            words = (Path(cluster.folder) / "log").read_text(errors="replace").strip()
            raise NoServer(f"the server did not start: {words[-800:]}")
        time.sleep(0.05)


def end_server(server: "subprocess.Popen[bytes]") -> None:
    """Fast shutdown (SIGINT cuts sessions off), by force if that takes too long."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS / 2)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(STOP_SECONDS / 2)


@contextlib.contextmanager
def running_cluster(durable: bool = False) -> Iterator[Cluster]:
    """A server for the length of the block; `durable` keeps fsync on, for tests that cut power."""
    with running_server(durable) as server:
        yield server.cluster


class Server:
    """A cluster whose server can be killed and started again."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._binaries, self._account, self._durable = find_binaries(), server_account(), durable
        if self._account:
            shutil.chown(folder, self._account)
        password = secrets.token_hex(16)
        self._data = init_cluster(self._binaries, folder, password, self._account)
        self.cluster = Cluster(free_port(), password, os.getpid(), str(folder))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = spawn_server(
            self._binaries, self._data, self.cluster.port, self._account, self._durable
        )
        await_server(self._process, self.cluster)

    def crash(self) -> None:
        """As power goes away: what is not in the log is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it, whether or not it answers."""
        if self._process is not None:
            end_server(self._process)


@contextlib.contextmanager
def running_server(durable: bool = False) -> Iterator[Server]:
    """The same, for tests that stop and start it."""
    folder = Path(tempfile.mkdtemp(prefix="eds-postgres-"))
    try:
        server = Server(folder, durable=durable)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def publish(path: Path, word: dict[str, object]) -> None:
    """Whole or not at all: readers poll for this file."""
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(word))
    draft.rename(path)


def keep(address: Path, watched: int) -> None:
    """The keeper's life: start, publish the address (or why not), wait for the end."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then asks us
    try:
        with running_cluster() as cluster:
            publish(address, {"cluster": asdict(cluster)})
            while alive(watched) and not stopping:
                time.sleep(0.1)
    except NoServer as reason:
        publish(address, {"reason": str(reason)})


def read_address(path: Path) -> Cluster:
    """What the keeper published; raises its reason if there is no server."""
    word = json.loads(path.read_text())
    if "reason" in word:
        raise NoServer(word["reason"])
    return Cluster(**word["cluster"])


def shared_cluster(folder: Path, watched: int) -> Cluster:
    """The one cluster of all processes that share the folder: the first to come has it started."""
    address = folder / "postgres.json"
    with contextlib.suppress(FileExistsError):
        (folder / "postgres.claimed").mkdir()
        subprocess.run(
            [sys.executable, __file__, str(address), str(watched)], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS + STOP_SECONDS
    while not address.exists():
        if time.monotonic() > deadline:
            raise NoServer("the cluster's keeper said nothing in time")
        time.sleep(0.05)
    return read_address(address)


def stop_shared_cluster(folder: Path) -> None:
    """Called once, at the end of the test run; nothing to do if no test wanted a server."""
    if (folder / "postgres.claimed").exists():
        with contextlib.suppress(NoServer):
            shared_cluster(folder, os.getpid()).stop()


if __name__ == "__main__":
    # The worker that asked waits for this process only; the keeper itself outlives the worker.
    if os.fork() == 0:
        keep(Path(sys.argv[1]), int(sys.argv[2]))
