"""Who may import whom, where SQL and the environment may be touched.

Who guards which route is tests/web/test_auth.py's matter.
"""

from collections.abc import Callable, Iterator

import pytest

from tests import architecture as rules
from tests.architecture import Source

SOURCES = rules.sources()
KNOWN = frozenset(source.module for source in SOURCES)

Check = Callable[[Source], Iterator[str]]


def arrows(source: Source) -> Iterator[str]:
    return rules.forbidden_imports(source, KNOWN)


def circles(source: Source) -> Iterator[str]:
    return rules.hidden_imports(source, KNOWN)


CHECKS: dict[str, Check] = {
    "arrows point down only": arrows,
    "no import of the house hides in a function": circles,
    "only config reads the environment": rules.environment_readers,
    "SQL stays in database": rules.sql_outside,
    "no ESP is known by name": rules.esp_comparisons,
    "files can be read in one go": rules.too_long,
    "every module says what it knows": rules.without_docstring,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_house_keeps_its_rule(name: str) -> None:
    found = [line for source in SOURCES for line in CHECKS[name](source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "check,path,text",
    [
        (arrows, "utils/x.py", "from database import models"),
        (arrows, "web/x.py", "import config.settings"),
        (arrows, "web/x.py", "from work import Work"),
        (arrows, "services/x.py", "from database import sends"),
        (arrows, "services/quota.py", "from services import wire"),
        (arrows, "database/x.py", "from mail import content"),
        (arrows, "simulator/x.py", "from utils import addresses"),
        (arrows, "mail/x.py", "def f():\n    from database import sends"),
        (arrows, "list_manager.py", "from services import esp"),
        (arrows, "cli/first_run.py", "import utils"),
        (arrows, "stranger.py", "import utils"),
        (circles, "web/x.py", "def f():\n    from database import sends"),
        (circles, "web/x.py", "class A:\n    import database.sends"),
        (rules.environment_readers, "web/x.py", "import os\nos.environ['A']"),
        (rules.environment_readers, "app.py", "import os\nprint(os.getenv('A'))"),
        (rules.sql_outside, "web/x.py", "q = 'SELECT a FROM b'"),
        (rules.sql_outside, "outbound/launch.py", "q = '''insert'''\nz = 'DELETE FROM sends'"),
        (rules.sql_outside, "web/x.py", "import sqlalchemy as sa\nsa.select(1)"),
        (rules.sql_outside, "mail/x.py", "from sqlalchemy import text"),
        (rules.esp_comparisons, "services/esp_manager.py", "if name == 'sendgrid': pass"),
        (rules.esp_comparisons, "web/x.py", "match esp:\n    case 'ses': pass"),
        (rules.too_long, "web/x.py", "\n" * 311),
        (rules.without_docstring, "web/x.py", "import os"),
    ],
)  # fmt: skip
def test_a_planted_violation_is_found(check: Check, path: str, text: str) -> None:
    assert list(check(Source(path, text)))


@pytest.mark.parametrize(
    "check,path,text",
    [
        (arrows, "app.py", "import simulator.foreground, config.settings"),
        (arrows, "web/x.py", "from services import esp"),
        (arrows, "services/x.py", "from database.models import Lane"),
        (circles, "services/x.py", "def f():\n    import boto3"),
        (rules.sql_outside, "database/x.py", "q = 'SELECT a FROM b'"),
        (rules.sql_outside, "web/x.py", "'''Says SELECT a FROM b.'''"),
        (rules.esp_comparisons, "services/postmark.py", "if name == 'postmark': pass"),
        (rules.environment_readers, "config/x.py", "import os\nos.environ['A']"),
        (rules.without_docstring, "web/__init__.py", ""),
    ],
)  # fmt: skip
def test_what_is_allowed_is_not_found(check: Check, path: str, text: str) -> None:
    assert not list(check(Source(path, text)))


def test_the_longest_name_decides() -> None:
    assert rules.rule_for("services.quota") == rules.MAY_IMPORT["services.quota"]
    assert rules.rule_for("services.wire") == rules.MAY_IMPORT["services"]
    assert rules.rule_for("outbound.launch") == rules.MAY_IMPORT["outbound"]
    assert rules.rule_for("somewhere.else") is None
