"""Starts a program again with the Python of `.venv`. Standard library only: it runs first."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
EX_UNAVAILABLE = 69  # sysexits.h


def in_venv(program: str, root: Path = ROOT) -> None:
    """Go on when this Python is the one of `.venv` (or another virtual environment was chosen on
    purpose); else become it. Without a `.venv`, say how to get one and exit."""
    if sys.prefix != sys.base_prefix:
        return
    python = root / ".venv" / "bin" / "python"
    if python.exists():
        os.execv(python, [str(python), program, *sys.argv[1:]])  # noqa: S606 - our own program
    sys.stderr.write("The packages are not installed yet: run ./setup.sh first.\n")
    sys.exit(EX_UNAVAILABLE)
