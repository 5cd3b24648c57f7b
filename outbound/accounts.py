"""Asks each ESP now and then for its own figures of our account, and keeps them where every process
reads them. Decides nothing: `services.quota` does."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from database import esp_performance as performance
from database.engine import Database
from outbound import esp_states
from services import account as accounts
from services.account import Account, Accountable
from services.esp import EspError
from services.esp_manager import EspManager
from services.esp_state import EspState

log = logging.getLogger(__name__)


class AccountWatch:
    """The chore that asks. Several processes may do it: whoever notes the question first, asks."""

    def __init__(
        self, database: Database, manager: EspManager, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives Unix seconds."""
        self._db = database
        self._esps = {
            name: esp for name, esp in manager.esps.items() if isinstance(esp, Accountable)
        }
        self._clock = clock

    def refresh(self) -> None:
        """Ask every ESP whose figures are due. What it does not say keeps nobody from sending."""
        for name in self._due():
            asked_at = self._clock()
            if not self._change(name, partial(_asked, now=asked_at)):
                continue  # another process was first
            try:
                account = self._esps[name].account()
            except EspError as error:
                words = str(error) or type(error).__name__
                self._change(name, partial(_untold, words=words))
                continue
            now = self._clock()
            self._change(name, partial(_told, account=account, asked_at=asked_at, now=now))

    def _due(self) -> list[str]:
        """Looked up without a lock: nearly always nothing is due."""
        if not self._esps:
            return []
        now = self._clock()
        with self._db.read() as connection:
            states = performance.states(connection, self._esps)
        known = {name: EspState.from_json(states.get(name, {})) for name in self._esps}
        return [name for name, state in known.items() if accounts.due(state.account, now)]

    def _change(self, name: str, alter: Callable[[EspState], EspState]) -> bool:
        """Whether there was something to change."""
        now = self._clock()
        before, after = self._db.transact(lambda c: esp_states.change(c, name, alter, now))
        return after != before


def _asked(state: EspState, now: float) -> EspState:
    if not accounts.due(state.account, now):
        return state
    return replace(state, account=replace(state.account, asked_at=now))


def _untold(state: EspState, words: str) -> EspState:
    if words == state.account.error:
        return state
    return replace(state, account=replace(state.account, error=words))


def _told(state: EspState, account: Account, asked_at: float, now: float) -> EspState:
    before = state.account
    state = replace(state, account=accounts.told(before, account, asked_at, now))
    if account.closed != before.closed:
        why = account.closed or "the account is open again"
        state = state.noted(now, "account", why)
    if before.told_at and (account.rate, account.quota) != (before.rate, before.quota):
        why = f"the ESP allows {_figure(account.rate)} a second, {_figure(account.quota)} a window"
        state = state.noted(now, "account", why)
    return state


def _figure(value: float | None) -> str:
    return "any number" if value is None else f"{value:,.0f}"
