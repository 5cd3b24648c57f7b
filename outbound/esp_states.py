"""Changing what all processes know of an ESP: read under its lock, changed, and written back."""

from collections.abc import Callable

import sqlalchemy as sa

from database import esp_performance as performance
from services.esp_state import EspState


def change(
    connection: sa.Connection, name: str, alter: Callable[[EspState], EspState], now: float
) -> tuple[EspState, EspState]:
    """The state before and after `alter`, in the caller's transaction."""
    before = EspState.from_json(performance.lock_states(connection, [name], now)[name])
    after = alter(before)
    if after != before:
        performance.save_states(connection, {name: after.to_json()}, now)
    return before, after
