"""Whether the process lives, and whether it can do its work. Open to all: it tells no details."""

import logging
from typing import Any

from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

from database import migrate
from database.engine import DatabaseUnavailable
from web.context import House, house
from web.shapes import Answer

log = logging.getLogger(__name__)

#: A worker sweeps every two seconds; one that was silent this long is gone or stuck.
SILENT_SECONDS = 15

blueprint = APIBlueprint("health", __name__, abp_tags=[{"name": "health"}])


class HealthOut(Answer):
    """The process answers."""

    status: str
    mode: str
    version: str


class CheckOut(Answer):
    """One thing that must be so."""

    ok: bool
    detail: str = Field("", description="What to do, when it is not")


class ReadyOut(Answer):
    """Whether mail can be taken and sent."""

    status: str = Field(description="`ready` or `not ready`")
    checks: dict[str, CheckOut]


@blueprint.get("/health", responses={200: HealthOut})
def health() -> dict[str, Any]:
    """The process is alive; nothing else is asked."""
    facts = house().settings
    return HealthOut(status="ok", mode=facts.mode, version=facts.version).model_dump()


@blueprint.get("/ready", responses={200: ReadyOut, 503: ReadyOut})
def ready() -> tuple[dict[str, Any], int]:
    """Database, migrations and worker; 503 when one of them is not as it must be."""
    checks = {"database": _database(house())}
    if checks["database"].ok:
        checks["migrations"] = _migrations(house())
    checks["worker"] = _worker(house())
    fine = all(check.ok for check in checks.values())
    answer = ReadyOut(status="ready" if fine else "not ready", checks=checks)
    return answer.model_dump(), 200 if fine else 503


def _database(parts: House) -> CheckOut:
    try:
        migrate.current(parts.db)
    except DatabaseUnavailable:
        log.warning("the database cannot be reached", exc_info=True)
        return CheckOut(ok=False, detail="cannot be reached; see the log")
    return CheckOut(ok=True)


def _migrations(parts: House) -> CheckOut:
    if migrate.is_current(parts.db):
        return CheckOut(ok=True)
    return CheckOut(ok=False, detail="the schema is not this version's: run ./setup.sh db upgrade")


def _worker(parts: House) -> CheckOut:
    try:
        age = parts.heartbeat_age()
    except Exception:  # the queue may be a file or a server; whatever it says, it is not there
        log.warning("the queue cannot be read", exc_info=True)
        return CheckOut(ok=False, detail="the queue cannot be read; see the log")
    if age is None or age > SILENT_SECONDS:
        return CheckOut(ok=False, detail="no worker is running: ./setup.sh worker")
    return CheckOut(ok=True, detail=f"last heard of {age:.0f} s ago")
