"""The rules of docs/architecture.md as data, and the checks that read them: source only."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ANY = ("",)
CORE = ("email_sender", "outbound", "feedback", "inbound", "list_manager")
#: Pure policies: their state comes as arguments.
_POLICY = (
    "services.account",
    "services.esp",
    "services.esp_state",
    "services.policies",
    "database.models",
)
_WEB = (*CORE, "mail", "services.esp", "services.esp_manager", "database", "utils", "web")
#: Room or module -> what it may import. The longest name that fits a module counts.
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "app": ANY,
    "boot": ANY,
    "boot.rerun": (),
    "cli": (*_WEB, "cli"),
    "cli.first_run": (),
    "cli.demo": ("cli.stage",),
    "cli.stage": (),
    "work": (*CORE, "utils.dns_checker", "database", "work"),
    "web": _WEB,
    "web.keyring": (),
    "email_sender": ("services", "mail", "database", "utils", "outbound"),
    "outbound": ("services", "mail", "database", "utils", "outbound"),
    "feedback": ("services", "mail", "database", "utils", "list_manager", "inbound"),
    "inbound": ("services", "mail", "database", "utils", "list_manager", "feedback", "inbound"),
    "list_manager": ("mail", "database", "utils"),
    "services": ("services", "mail.message", "database.models"),
    "services.policies": ("services.policies",),
    "services.quota": _POLICY,
    "services.learning": _POLICY,
    "mail": ("mail", "utils", "database.models"),
    "database": ("database", "utils"),
    "utils": ("utils",),
    "config": ("config",),
    "simulator": ("simulator",),
    "test_system": ("boot.rerun", "cli.stage"),
    "bench": ANY,
}
#: Programs that start programs: they hand an environment on.
MAY_READ_ENVIRONMENT = ("config/", "cli/demo.py", "cli/stage.py", "cli/first_run.py", "bench/",
                        "test_system.py")  # fmt: skip
#: Where SQL may stand; the simulator keeps a log of its own.
SQL_ROOMS = ("database/", "simulator/")
ESP_NAMES = frozenset({"sendgrid", "ses", "postmark", "amazon_ses"})
#: Files that are one ESP's own, or say which ESPs there are.
ESP_FILES = re.compile(
    r"(services|simulator)/.*(sendgrid|ses|postmark|sns).*\.py|config/.*|bench/.*"
)
#: "About 300": a file that grows past this is two.
LONGEST = 310
#: Longer than they should be; no file may join this list without an argument.
LONG_FILES = {
    "database/models.py": 350,  # the dictionary of nouns is read as one
    "database/sends.py": 350,
    "web/campaign_models.py": 330,
}

_SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)|"
    r"PRAGMA|ALTER\s+TABLE|DROP\s+TABLE)\b", re.DOTALL,
)  # fmt: skip
_SQL_BUILDERS = frozenset({
    "text", "select", "insert", "update", "delete", "func", "literal_column", "case", "exists",
})  # fmt: skip


class Source(NamedTuple):
    """One file."""

    path: str  #: from the root, with slashes
    text: str

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def tree(self) -> ast.Module:
        """What Python reads in it."""
        return _parsed(self.text)


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def sources() -> list[Source]:
    """Every file of the product; tests are free."""
    found = [*ROOT.glob("*.py")]
    for room in ("bench", "boot", "cli", "config", "database", "inbound", "mail", "outbound",
                 "services", "simulator", "utils", "web"):  # fmt: skip
        found += (ROOT / room).rglob("*.py")
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(found)
    ]


def rule_for(module: str) -> tuple[str, ...] | None:
    """What a module may import; None = the table does not know it."""
    name = module
    while name and name not in MAY_IMPORT:
        name = name.rpartition(".")[0]
    return MAY_IMPORT.get(name)


def below(module: str, prefix: str) -> bool:
    """Whether a module is `prefix` or stands inside it."""
    return not prefix or module == prefix or module.startswith(f"{prefix}.")


def imports(source: Source, known: frozenset[str]) -> Iterator[tuple[str, ast.stmt]]:
    """The modules of the house that a file names."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in inner]
        else:
            continue
        for name in dict.fromkeys(names):
            if name in known:
                yield name, node


def forbidden_imports(source: Source, known: frozenset[str]) -> Iterator[str]:
    """Arrows that point the wrong way."""
    allowed = rule_for(source.module)
    for name, node in imports(source, known):
        if allowed is None:
            yield f"{source.path}: stands in no room of the table"
            return
        if not any(below(name, prefix) for prefix in allowed):
            yield f"{source.path}:{node.lineno} may not import {name}"


def hidden_imports(source: Source, known: frozenset[str]) -> Iterator[str]:
    """Imports of the house inside a function: a circle that somebody broke by hand."""
    top = {id(node) for node in _top_level(source.tree)}
    for name, node in imports(source, known):
        if id(node) not in top:
            yield f"{source.path}:{node.lineno} imports {name} inside a function"


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from node.body


def environment_readers(source: Source) -> Iterator[str]:
    """`os.environ` and its like outside config/."""
    if source.path.startswith(MAY_READ_ENVIRONMENT):
        return
    for node in ast.walk(source.tree):
        name = node.attr if isinstance(node, ast.Attribute) else None
        if name in {"environ", "environb", "getenv"}:
            yield f"{source.path}:{getattr(node, 'lineno', 0)} reads the environment"


def sql_outside(source: Source) -> Iterator[str]:
    """SQL, as text or as SQLAlchemy's words, outside database/."""
    if source.path.startswith((*SQL_ROOMS, "bench/")):
        return
    docstrings = set(_docstrings(source.tree))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings and _SQL.search(node.value):
                yield f"{source.path}:{node.lineno} holds SQL"
        elif isinstance(node, ast.Attribute) and node.attr in _SQL_BUILDERS:
            if isinstance(node.value, ast.Name) and node.value.id in {"sa", "sqlalchemy"}:
                yield f"{source.path}:{node.lineno} builds SQL with {node.attr}"
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy"):
            words = [alias.name for alias in node.names if alias.name in _SQL_BUILDERS]
            yield from (f"{source.path}:{node.lineno} imports {word} of SQL" for word in words)


def _docstrings(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield id(first.value)


def esp_comparisons(source: Source) -> Iterator[str]:
    """`if esp == "sendgrid"` outside that ESP's own files."""
    if ESP_FILES.fullmatch(source.path):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        for side in sides:
            if isinstance(side, ast.Constant) and side.value in ESP_NAMES:
                yield f"{source.path}:{node.lineno} compares with the ESP {side.value!r}"


def too_long(source: Source) -> Iterator[str]:
    """Files that nobody reads in one go. A migration is written once."""
    allowed = LONG_FILES.get(source.path, LONGEST)
    length = source.text.count("\n")
    if length > allowed and "migrations/versions/" not in source.path:
        yield f"{source.path} has {length} lines, {allowed} are allowed"


def without_docstring(source: Source) -> Iterator[str]:
    """Files that do not say what they know."""
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield f"{source.path} has no module docstring"
