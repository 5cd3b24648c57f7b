"""What an ESP says: waiting times, names, secrets."""

import time
from email.utils import formatdate

import pytest

from services.esp import Misconfigured
from services.sdk import Lazily
from services.words import Redacted, named_in, retry_after


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99999999"}, 86_400),
        ({"x-ratelimit-reset": "-1"}, None),
    ],
)
def test_seconds_to_wait(headers: dict[str, str], expected: float | None) -> None:
    wait = retry_after(headers)
    assert wait == expected if expected is None else abs((wait or 0) - expected) < 15


def test_moments_to_wait_for() -> None:
    at = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    reset = retry_after({"x-ratelimit-reset": str(int(time.time()) + 30)})
    assert at is not None
    assert reset is not None
    assert 40 < at <= 60
    assert 10 < reset <= 30


@pytest.mark.parametrize(
    "words, places",
    [
        ("Illegal address: ann@x.example", [0]),
        ("Illegal address <ANN@X.example>.", [0]),
        ("Illegal address: joann@x.example", [1]),
        ("Illegal address: o'ann@x.example", [2]),
        ("ann@x.example, joann@x.example", [0, 1]),
        ("ann@x.example.org", []),
        ("", []),
    ],
)
def test_an_address_is_named_whole(words: str, places: list[int]) -> None:
    addresses = ["ann@x.example", "joann@x.example", "o'ann@x.example"]
    assert named_in(words, addresses) == places


def test_words_are_safe_to_keep() -> None:
    clean = Redacted(["SG.secret", None, ""])
    assert clean("key SG.secret\r\n\t is  bad") == "key [secret] is bad"
    assert clean({"not": "text"}) == ""
    assert len(clean("x" * 10_000)) == 500


def test_an_sdk_is_made_once_and_its_trouble_is_a_matter_of_configuration() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    lazily = Lazily(make)
    assert lazily() is lazily()
    assert len(made) == 1
    with pytest.raises(Misconfigured, match="ZeroDivisionError"):
        Lazily(lambda: 1 // 0)()
