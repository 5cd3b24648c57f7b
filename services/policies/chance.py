"""Chance that can be replayed: every random number is a keyed hash of what it is drawn for."""

from hashlib import blake2b
from random import Random

_WORD_BYTES = 8
_SPAN = float(2 ** (8 * _WORD_BYTES))


def number(seed: bytes, *parts: object) -> int:
    """64 bits for this purpose; `seed` is at most 64 bytes."""
    words = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(words, digest_size=_WORD_BYTES, key=seed).digest(), "big")


def uniform(seed: bytes, *parts: object) -> float:
    """A number in [0, 1) for this purpose."""
    return number(seed, *parts) / _SPAN


def generator(seed: bytes, *parts: object) -> Random:
    """A stream of numbers for this purpose. Spreading load is chance, not cryptography."""
    return Random(number(seed, *parts))  # noqa: S311
