"""The page about the simulator names all that can be asked of it."""

from pathlib import Path

from simulator.control import NAMES
from simulator.faults import KINDS, ORDERABLE
from simulator.limits import Limits
from simulator.outcomes import EVENTS
from simulator.state import Webhooks

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_every_fault_setting_limit_and_route_is_on_the_page() -> None:
    words = {*KINDS, *ORDERABLE, *Limits.__dataclass_fields__, *Webhooks.__dataclass_fields__}
    assert [
        word
        for word in sorted(words - {"kind"})
        if f"`{word}`" not in PAGE and f'"{word}"' not in PAGE
    ] == []
    assert [name for name in NAMES if f"{name}" not in PAGE] == []


def test_every_outcome_that_a_prefix_can_ask_for_is_on_the_page() -> None:
    silent = {"delivered", "render_failure"}
    assert [name for name in EVENTS if name not in silent and f"`{name}+`" not in PAGE] == []
