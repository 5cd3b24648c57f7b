"""The first run: `.env` from `.env.example`, with keys of its own.

Knows the three keys that every installation needs and when making new ones would do harm.
Knows nothing of what the other settings mean. Standard library only: it runs before anything else.
"""

import os
import re
import secrets
import sys
from pathlib import Path

KEYS = ("API_KEY", "SECRET_KEY", "ERASURE_KEY")

# sysexits.h
EX_OK = 0
EX_NOINPUT = 66
EX_CONFIG = 78


def with_keys(template: str) -> str:
    """The template with a fresh secret at each key's line (hex: nothing to quote anywhere)."""
    text = template
    for name in KEYS:
        line = f"{name}={secrets.token_hex(32)}"
        text, found = re.subn(rf"^{name}[ \t]*=.*$", line, text, count=1, flags=re.MULTILINE)
        if not found:
            text = f"{text.rstrip()}\n{line}\n"
    return text


def write_private(path: Path, text: str) -> None:
    """Create the file readable by its owner alone; one that is already there is an error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def keys_beside(databases: list[Path]) -> str:
    """Why no keys are made here, and what to do instead."""
    names = ", ".join(f"{path.parent.name}/{path.name}" for path in databases)
    return (
        f"No .env, but {names} exists. Nothing was written: with new keys its links, sessions and "
        "erased addresses would no longer be recognised.\n"
        "Put the .env that belongs to this database back (or give API_KEY, SECRET_KEY and "
        "ERASURE_KEY in the environment).\n"
        "To begin anew instead, move the data folder away and run ./setup.sh again."
    )


def first_run(root: Path) -> int:
    """Make `.env` where that is safe; say what happened; answer the exit status."""
    target, example = root / ".env", root / ".env.example"
    if target.exists() or target.is_symlink():
        print("  .env: kept as it is")
        return EX_OK
    if all(os.environ.get(name) for name in KEYS):
        print("  .env: not needed, the keys are in the environment")
        return EX_OK
    databases = sorted((root / "data").glob("*.db"))
    if databases:
        print(keys_beside(databases), file=sys.stderr)
        return EX_CONFIG
    if not example.is_file():
        print("No .env.example: this checkout is incomplete. Nothing was written.", file=sys.stderr)
        return EX_NOINPUT
    write_private(target, with_keys(example.read_text(encoding="utf-8")))
    print("  .env: written, with new keys, readable by you alone; keep a copy somewhere safe")
    return EX_OK


if __name__ == "__main__":
    sys.exit(first_run(Path(__file__).resolve().parent.parent))
