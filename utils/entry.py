"""Addresses as they come in: which are refused for their signs, and which are only warned of."""

from collections import Counter
from collections.abc import Collection

from utils.address_signs import KINDS, Sign, sign_of
from utils.person import BadField, Change

_WORDS = {
    "typo": "Addresses that look mistyped",
    "disposable": "Throw-away mailboxes",
    "role": "Roles instead of persons",
}
_EXAMPLES = 3


#: Of whoever would be mailed; an opt-out is welcome from anybody.
_REACHABLE = (None, "active", "pending")


def refusal(change: Change, refused: Collection[str]) -> str | None:
    """Why nobody new may come in with this address, or None."""
    if not refused or change.status not in _REACHABLE:
        return None
    sign = sign_of(change.address)
    return sign.words if sign and sign.kind in refused else None


class Signs:
    """What the addresses of one import show."""

    def __init__(self, refused: Collection[str] = ()) -> None:
        """`refused` are the kinds that are refused; the others are counted."""
        self._refused = refused
        self._seen: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def check(self, change: Change) -> None:
        """Raises BadField for an address that is refused."""
        sign = sign_of(change.address) if change.status in _REACHABLE else None
        if sign is None:
            return
        if sign.kind in self._refused:
            raise BadField("email", f"{sign.words}; such addresses are refused here")
        self._note(sign, change.row)

    def _note(self, sign: Sign, row: int) -> None:
        self._seen[sign.kind] += 1
        if len(self._examples[sign.kind]) < _EXAMPLES:
            self._examples[sign.kind].append(f"row {row}: {sign.words}")

    def warnings(self) -> list[str]:
        """A sentence for each kind that was seen."""
        return [
            f"{_WORDS[kind]}: {self._seen[kind]:,} ({'; '.join(self._examples[kind])})"
            for kind in KINDS
            if self._seen[kind]
        ]
