"""Changing what all processes know of an ESP: read under its lock, changed, written back, and told
to the log of this process."""

import logging
from collections.abc import Callable

import sqlalchemy as sa

from database import esp_performance as performance
from services.esp_state import EspState

log = logging.getLogger(__name__)


def change(
    connection: sa.Connection, name: str, alter: Callable[[EspState], EspState], now: float
) -> tuple[EspState, EspState]:
    """The state before and after `alter`, in the caller's transaction."""
    before = EspState.from_json(performance.lock_states(connection, [name], now)[name])
    after = alter(before)
    if after != before:
        performance.save_states(connection, {name: after.to_json()}, now)
        tell(name, before, after)
    return before, after


def tell(name: str, before: EspState, after: EspState) -> None:
    """Log what was noted between the two."""
    for line in after.news_since(before):
        log.warning("%s: %s, %s", name, line["what"], line["why"])
