"""The ground the other tests stand on: databases from nothing, no network, no keys of the host."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from cli.stage import Stage
from tests import conftest, postgres

# A child imports its own copy of the class, so the words are compared.
REFUSED = "tests stay on this machine"


@pytest.mark.parametrize("_again", range(2))
def test_each_test_gets_a_database_made_from_nothing(database_url: str, _again: int) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE seen (id INTEGER PRIMARY KEY)"))
    engine.dispose()


def test_a_database_can_be_copied_from_another(postgres_cluster: postgres.Cluster) -> None:
    first = postgres_cluster.create()
    engine = sa.create_engine(postgres_cluster.url(first))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE seen (id INTEGER PRIMARY KEY)"))
    engine.dispose()
    second = postgres_cluster.create(template=first)
    copy = sa.create_engine(postgres_cluster.url(second))
    assert sa.inspect(copy).get_table_names() == ["seen"]
    copy.dispose()
    postgres_cluster.drop(first)
    postgres_cluster.drop(second)


@pytest.mark.parametrize("address", [("192.0.2.1", 443), ("198.51.100.7", 25)])
def test_a_connection_to_another_machine_is_refused(address: tuple[str, int]) -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match=REFUSED):
        sock.connect(address)
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(RuntimeError, match=REFUSED):
        sock.sendto(b"?", address)


def test_a_name_is_not_looked_up_outside() -> None:
    with pytest.raises(RuntimeError, match=REFUSED):
        socket.getaddrinfo("api.sendgrid.com", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1])).close()


def test_children_are_offline_as_well() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20
    )
    assert REFUSED in done.stderr


def test_the_hosts_keys_and_addresses_are_forgotten() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "x", "SENDGRID_API_KEY": "x", "DATABASE_URL": "x"}
    conftest.forget_settings(environment)
    assert not {"AWS_SECRET_ACCESS_KEY", "SENDGRID_API_KEY", "DATABASE_URL"} & set(environment)
    assert os.environ["EDS_NO_DOTENV"] == "1"


@pytest.mark.parametrize("whose", ["tests", "stage"])
def test_no_line_of_a_dotenv_file_reaches_a_child(tmp_path: Path, whose: str) -> None:
    (tmp_path / ".env").write_text("AWS_PROFILE=hostile\nPORT=6001\nHTTPS_PROXY=hostile\n")
    (tmp_path / "leak.py").write_text(
        "import os, flask\napp = flask.Flask(__name__)\n"
        "app.cli.command('show')(lambda: print(dict(os.environ)))\n"
    )
    environment = dict(os.environ) if whose == "tests" else Stage(tmp_path / "stage").environment
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "leak", "show"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert "PATH" in done.stdout
    assert "hostile" not in done.stdout
    assert "6001" not in done.stdout


def test_the_cluster_ends_when_the_process_it_serves_is_killed(
    tmp_path: Path, postgres_cluster: postgres.Cluster
) -> None:
    watched = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    cluster = postgres.shared_cluster(tmp_path, watched.pid)
    assert Path(cluster.folder).exists()
    watched.send_signal(signal.SIGKILL)
    watched.wait()
    deadline = time.monotonic() + postgres.STOP_SECONDS
    while Path(cluster.folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(cluster.folder).exists()
    assert not postgres.answers(cluster)
