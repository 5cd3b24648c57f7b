"""What several journeys need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator import server
from tests.journeys.rehearsal import Rehearsal


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    with server.start(tmp_path / "simulator.db") as running:
        yield Rehearsal(running)
