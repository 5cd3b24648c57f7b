"""The keys of the API: which one a request carries, and what each may do. Knows no Flask."""

import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Scope(StrEnum):
    """What a key may do."""

    FULL = "full"
    SEND = "send"  #: send single mails and read sends
    READ = "read"  #: GET


class Key(NamedTuple):
    """A key as it is kept in memory: nothing that could be used as one."""

    label: str
    scope: Scope
    digest: bytes


class KeyRing:
    """All keys. A look-up takes the same time whatever is given."""

    def __init__(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """`keys` are (label, scope, secret)."""
        self._keys = [Key(label, Scope(scope), _digest(secret)) for label, scope, secret in keys]

    def find(self, secret: str) -> Key | None:
        """The key with this secret; every key is compared, in constant time."""
        given = _digest(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, given):
                found = key
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
