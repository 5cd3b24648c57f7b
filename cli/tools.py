"""What app.py hands to the commands; a command knows neither settings nor processes itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import current_app


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """What the settings say, without secrets."""

    values: Mapping[str, str]
    problems: Mapping[str, str]
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tools:
    """The acts that only app.py can do."""

    settings_report: Callable[[], SettingsReport]
    serve_worker: Callable[[], None]
    #: (database, host, port, webhook target, engagement, parent) -> exit status
    serve_simulator: Callable[[str, str, int, str | None, float | None, int | None], int]


def tools() -> Tools:
    """The tools of the running application."""
    found: Tools = current_app.extensions["tools"]
    return found
