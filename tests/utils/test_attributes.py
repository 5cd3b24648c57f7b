"""What an attribute may be."""

from typing import Any

import orjson
import pytest

from utils.attributes import BadValue, attributes


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 1.5, 1e18, -0.0])
def test_a_number_is_kept_as_it_is(number: float) -> None:
    assert attributes({"n": orjson.loads(orjson.dumps(number))}) == {"n": number}


@pytest.mark.parametrize("given", ["18446744073709551616", "-99999999999999999999", "1e300"])
@pytest.mark.parametrize("shape", ["%s", "[%s]", '{"deep": [%s]}'])
def test_a_number_that_would_lose_digits_is_refused(given: str, shape: str) -> None:
    value: Any = orjson.loads(shape % given)
    with pytest.raises(BadValue, match="64 bits; send it as text"):
        attributes({"n": value})
