"""Values that are encoded for many people at once stay each person's own."""

import orjson
import pytest

from services.stencil import Stencil, encoded, hole

ODD = ["", "\x7f", "a\x7fb", '"', "\\", "\n\0", "é", "健太", "😀", "{}", "%b", "\u2028"]


@pytest.mark.parametrize("twice", [False, True])
def test_every_row_gets_its_own_values_back(*, twice: bool) -> None:
    rows = [(a, f"{n}", b) for n, a in enumerate(ODD) for b in ODD]
    for some in (rows, rows[:1], [row for row in rows if "\x7f" not in "".join(row)]):
        found = [
            tuple(_text(part, twice=twice) for part in row)
            for row in encoded(some, twice=twice).rows
        ]
        assert found == some


def _text(part: bytes, *, twice: bool) -> str:
    text = orjson.loads(b'"%b"' % part)
    return str(orjson.loads(f'"{text}"')) if twice else str(text)


def test_a_row_with_a_value_too_few_shifts_nobody_elses() -> None:
    for rows in ([("a", "b"), ("c",)], [("a", "b"), ("c",), ("d", "e", "f")], [("a\x7fb",), ()]):
        with pytest.raises(ValueError, match="equally many"):
            encoded(rows)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1, 0), (0, 1)])
def test_a_stencil_puts_each_value_where_its_hole_is(order: tuple[int, ...]) -> None:
    rows = [("a%", "b", "c"), ('"', "\x7f", "ü")]
    filled = Stencil([f"100% {hole(n)}" for n in order]).fill(encoded(rows).rows)
    wanted = [[f"100% {row[n]}" for n in order] for row in rows]
    assert [orjson.loads(one) for one in filled] == wanted


def test_what_is_no_unicode_is_refused() -> None:
    with pytest.raises(TypeError):
        encoded([("a", "b"), ("\ud800", "c")])
