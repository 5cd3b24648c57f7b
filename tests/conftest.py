"""What every test stands on: a machine without keys or network, and databases of its own."""

import os
import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

from tests import postgres
from tests.offline import sitecustomize as offline

# The host's settings never reach a test; setup.sh forgets the same names (a test compares them).
FORGOTTEN_PREFIXES = (
    "SENDGRID_", "SES_", "POSTMARK_", "AWS_", "BOTO_", "MAIL_", "API_KEY", "PG", "FLASK_",
)  # fmt: skip
FORGOTTEN = {
    "MODE", "HOST", "PORT", "PUBLIC_URL", "TRUSTED_PROXIES", "SIMULATOR_URL", "WORKER",
    "DATABASE_URL", "QUEUE_URL", "SECRET_KEY", "ERASURE_KEY", "INBOUND_SECRET",
    "POSTAL_ADDRESS", "UNSUBSCRIBE_MAILTO", "TRANSACTIONAL_RESERVE_PERCENT", "LEASE_SECONDS",
    "IN_DOUBT_WAIT_SECONDS", "SCHEDULE_GRACE_SECONDS", "ON_SUSPENSION", "DNS_RESOLVERS",
    "LOG_FORMAT", "LEGACY_JSON", "REFUSE_ADDRESSES",
    "MAX_REQUEST_MB", "DRILL_CLOCK",
}  # fmt: skip
LOOPBACK = "127.0.0.1,localhost,::1"
OFFLINE = str(Path(offline.__file__).parent)


def forget_settings(environment: MutableMapping[str, str]) -> None:
    """No ESP key, address or database of the host; children of tests stay offline as well."""
    for name in list(environment):
        if name in FORGOTTEN or name.startswith(FORGOTTEN_PREFIXES):
            del environment[name]
    environment.update(
        EDS_NO_DOTENV="1",
        FLASK_SKIP_DOTENV="1",
        NO_PROXY=LOOPBACK,
        no_proxy=LOOPBACK,
        # boto3 looks for credentials in the home folder and at the cloud host's address, too
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_CONFIG_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        PYTHONPATH=OFFLINE,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of the house is imported: some settings are read at import."""
    forget_settings(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if is_long():
        return
    skip = pytest.mark.skip(reason="full size: ./setup.sh test --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controller ends what its workers started (a worker has no tests left, but others may)."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    if factory is not None and not hasattr(config, "workerinput"):
        postgres.stop_shared_cluster(factory.getbasetemp())


def required(name: str) -> bool:
    """CI must run what a laptop may skip."""
    return os.environ.get(name) == "1" or os.environ.get("CI") == "true"


def is_long() -> bool:
    return os.environ.get("EDS_LONG") == "1"


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a test sets in the environment ends with it."""
    forget_settings(os.environ)
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before) - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def long() -> bool:
    """True under `./setup.sh test --long`: take the full size of a scaled test."""
    return is_long()


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> postgres.Cluster:
    """The run's own server, started when the first test of any worker asks for it."""
    own = tmp_path_factory.getbasetemp()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    # xdist gives its workers folders inside the controller's, whose child they are.
    folder, watched = (own.parent, os.getppid()) if worker else (own, os.getpid())
    try:
        return postgres.shared_cluster(folder, watched)
    except postgres.NoServer as reason:
        words = f"no PostgreSQL: {reason}"
    if required("REQUIRE_POSTGRES"):
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def postgresql_url(postgres_cluster: postgres.Cluster) -> Iterator[str]:
    """An empty PostgreSQL database, removed afterwards together with its sessions."""
    name = postgres_cluster.create()
    yield postgres_cluster.url(name)
    postgres_cluster.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The same test on both databases, each time from nothing."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path, for playwright's `executable_path`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if required("REQUIRE_CHROMIUM"):
        pytest.fail("no chromium on PATH", pytrace=False)
    pytest.skip("no chromium on PATH (Debian: apt-get install chromium)")
