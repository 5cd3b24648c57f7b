"""Whatever an author writes: it is refused when it is saved, or it fails one message, or it is
made, and always within two seconds and 256 MB; measured in a process that dies of more."""

from collections.abc import Iterator

import pytest

from tests.mail.bombs import BOMBS, GROWING, VALUES
from tests.mail.confined import Confined


@pytest.fixture(scope="module")
def confined() -> Iterator[Confined]:
    with Confined() as asked:
        yield asked


PLACES = [("html", name) for name in BOMBS] + [("text", name) for name in GROWING]


@pytest.mark.parametrize("part, name", PLACES)
def test_a_bomb_hurts_nobody(confined: Confined, name: str, part: str) -> None:
    found = confined({"html": "<p>x</p>", part: BOMBS[name]}, VALUES)
    assert found["outcome"] in {"refused", "failed", "rendered"}, found
    for problem in found.get("problems", []):
        assert problem["line"] >= 1
        assert problem["part"] == part
    if found["outcome"] == "failed":
        assert found["reason"].startswith(("template: ", "missing_variable: ", "link: "))
        assert "Error" not in found["reason"].split("ValueError")[0]


@pytest.mark.parametrize("bomb", ["loop of silence", "loop of filters"])
def test_the_parts_of_a_message_have_their_time_together(confined: Confined, bomb: str) -> None:
    found = confined(dict.fromkeys(("html", "text"), BOMBS[bomb]), VALUES)
    assert found["outcome"] == "failed"
    assert "took too long" in found["reason"]


def test_the_confined_process_dies_of_too_much(confined: Confined) -> None:
    """The measure itself: what is not stopped is seen."""
    endless = confined({"html": "x", "DIE": "time"}, {})
    assert (endless["outcome"], list(endless["seconds"])) == ("dead", ["compile"])
    large = confined({"html": "x", "DIE": "memory"}, {})
    assert large["outcome"] == "dead"
    assert confined({"html": "x"}, {})["outcome"] == "rendered"
