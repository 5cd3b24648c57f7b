"""A simulator for each test, from one set of keys: making them takes longer than most tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import simulator
from simulator.state import State
from tests.simulator.receiver import Receiver, receiving
from tests.simulator.rig import Rig


@pytest.fixture(scope="session")
def keyed_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty simulator database with keys."""
    path = tmp_path_factory.mktemp("keys") / "simulator.db"
    State(path).log.close()
    return path


@pytest.fixture
def db(keyed_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(keyed_db, tmp_path / "simulator.db"))


@pytest.fixture
def rig(db: Path) -> Iterator[Rig]:
    with simulator.start(db) as running:
        rig = Rig(running.url)
        # People take their time over mail; tests that look at something else do not.
        rig.webhooks(reading_seconds=[0, 0])
        yield rig
        rig.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as ready:
        yield ready
