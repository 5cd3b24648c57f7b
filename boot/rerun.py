"""Starts a program again with the Python of `.venv`. Standard library only: it runs first."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EX_UNAVAILABLE = 69  # sysexits.h


def in_venv(program: str, root: Path = ROOT) -> None:
    """Go on when this Python is one of a virtual environment; else become the one of `.venv`.
    Without a `.venv`, go on where the packages are (a container), or say how to get them."""
    if sys.prefix != sys.base_prefix:
        return
    python = root / ".venv" / "bin" / "python"
    if python.exists():
        os.execv(python, [str(python), program, *sys.argv[1:]])  # noqa: S606 - our own program
    if find_spec("flask_openapi"):
        return
    sys.stderr.write("The packages are not installed yet: run ./setup.sh first.\n")
    sys.exit(EX_UNAVAILABLE)
