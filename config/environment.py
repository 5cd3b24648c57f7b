"""One dictionary of variables: `.env` below, the environment above. Knows no setting's meaning."""

import difflib
import stat
from collections.abc import Collection, Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values
from dotenv.parser import parse_stream

#: Variables that begin so can only be meant for us.
OURS = ("SENDGRID_", "SES_", "POSTMARK_", "API_KEY_", "MAIL_", "TRANSACTIONAL_")
#: What other programs of this house read.
ELSEWHERE = frozenset({"EDS_NO_DOTENV", "EDS_LONG", "LEGACY_JSON"})
#: The first key of the line, without its label.
_FROM_FILE = r"$(sed -n 's/^API_KEY=\([^,]*:\)*\([^,]*\).*/\2/p' {})"
#: Below this likeness a name is somebody else's, not a slip.
_LIKE = 0.8


class Problem(NamedTuple):
    """One thing that is wrong, by the name of its variable (or file), with what to do about it."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class Environment(NamedTuple):
    """What was found. An empty variable of the environment hides the line of `.env`."""

    values: Mapping[str, str]  #: without the empty ones, which mean "default"
    from_file: Collection[str]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    key_in_shell: str = "$API_KEY"  #: a shell's words for the key, which is shown nowhere


def read(env: Mapping[str, str], dotenv: Path | None) -> Environment:
    """Both sources as one. EDS_NO_DOTENV=1 in the environment leaves the file unread."""
    lines: dict[str, str] = {}
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    if dotenv is not None and not env.get("EDS_NO_DOTENV") and dotenv.exists():
        lines, problems, warnings = _read_file(dotenv)
    merged = {name: value.strip() for name, value in {**lines, **env}.items()}
    values = {name: value for name, value in merged.items() if value}
    named = "$API_KEY" if "API_KEY" in env or dotenv is None else _FROM_FILE.format(dotenv)
    return Environment(values, frozenset(lines), problems, warnings, named)


def without_dotenv(env: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    """The environment before Flask's own command line put `.env` into it, with each ${NAME} in it
    expanded. A variable that has the very value of `.env` cannot be told from one that came from
    there."""
    if not dotenv.is_file():
        return dict(env)
    lines, _, _ = _read_file(dotenv)
    flasks = dotenv_values(dotenv) if lines else {}
    return {
        name: value
        for name, value in env.items()
        if value not in (lines.get(name), flasks.get(name))
    }


def _read_file(path: Path) -> tuple[dict[str, str], tuple[Problem, ...], tuple[str, ...]]:
    """Nothing is interpolated: a key may hold a dollar sign."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(path.name, f"cannot be read as UTF-8 text ({type(error).__name__})")
        return {}, (problem,), ()
    values, problems = _parse(text, path.name)
    return values, problems, tuple(_open_to_others(path))


def _parse(text: str, name: str) -> tuple[dict[str, str], tuple[Problem, ...]]:
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            where = f"line {binding.original.line}"
            problems.append(Problem(name, f"{where} is not NAME=value (is a quote left open?)"))
        elif binding.key in values:
            problems.append(Problem(binding.key, f"stands twice in {name}: keep one line"))
        elif binding.key:
            values[binding.key] = binding.value or ""
    return values, tuple(problems)


def _open_to_others(path: Path) -> Iterable[str]:
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield f"{path.name} can be read by other users of this machine: chmod 600 {path.name}"


def near_misses(found: Environment, known: Collection[str]) -> list[str]:
    """Warnings about variables that are no settings, but look as if they were meant to be."""
    unknown = sorted(set(found.values) - set(known) - ELSEWHERE)
    return [warning for name in unknown if (warning := _near_miss(name, found, known))]


def _near_miss(name: str, found: Environment, known: Collection[str]) -> str:
    if not name.startswith(OURS) and name not in found.from_file:
        return ""
    closest = difflib.get_close_matches(name, known, n=1, cutoff=_LIKE)
    if closest:
        return f"{name} is not a setting and is ignored: did you mean {closest[0]}?"
    return f"{name} is not a setting and is ignored" if name.startswith(OURS) else ""
