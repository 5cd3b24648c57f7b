"""The application and a client of it, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.application import application_at, close
from web.openapi import Api


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Api]:
    made = application_at(tmp_path)
    yield made
    close(made)


@pytest.fixture
def client(app: Api) -> FlaskClient:
    return app.test_client()
