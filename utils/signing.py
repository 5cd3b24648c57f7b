"""Our own ids and tokens: send ids that travel through ESPs, and signed links that need no look-up.

A token is for one purpose and one send; whoever changes a byte of it holds nothing.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: Lower-case letters and digits without look-alikes; legal in every ESP's tag, metadata and header.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
NONCE_LENGTH = 8
_MAC_BYTES = 16
#: One keyed hash is as long as the MACs of all purposes: each takes its part, and none tells
#: anything about the other (BLAKE2b, RFC 7693, as a pseudo-random function).
_PARTS = {"tracking": slice(0, _MAC_BYTES), "consent": slice(_MAC_BYTES, 2 * _MAC_BYTES)}
_ID_BYTES = 6
_TOKEN_LENGTH = 40
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class SendRef(NamedTuple):
    """A send as the outside knows it: the campaign's nonce makes equal row numbers of two
    databases, or of a restored one, different sends."""

    nonce: str
    id: int

    def __str__(self) -> str:
        return f"{self.nonce}-{self.id}"


def new_nonce() -> str:
    """A campaign's random name inside send ids: 31**8 values."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(NONCE_LENGTH))


def read_send_id(text: str | None) -> SendRef | None:
    """The send that `text` names, or None when it is not one of our ids."""
    nonce, dash, number = (text or "").partition("-")
    well_formed = dash and len(nonce) == NONCE_LENGTH and set(nonce) <= set(_ALPHABET)
    if not well_formed or not (number.isascii() and number.isdigit()) or len(number) > 15:
        return None
    return SendRef(nonce, int(number))


class Signer:
    """Makes and reads tokens. The first key signs, all verify, so that keys can be rotated."""

    def __init__(self, keys: tuple[str, ...], purpose: str) -> None:
        """`purpose` is "tracking" or "consent": a token of one is worthless as one of the other."""
        self._part = _PARTS[purpose]
        self._macs = [
            hashlib.blake2b(
                key=hashlib.sha256(key.encode()).digest(), digest_size=_MAC_BYTES * len(_PARTS)
            )
            for key in keys
        ]

    def token(self, ref: SendRef) -> str:
        """40 URL-safe characters that name `ref` and prove that we made them (RFC 4648 §5)."""
        return self.of_campaign(ref.nonce)(ref.id)

    def of_campaign(self, nonce: str) -> Callable[[int], str]:
        """`token` for many sends of one campaign: what they share is done once."""
        start, name, part = self._macs[0].copy, nonce.encode(), self._part
        encode, alphabet = binascii.b2a_base64, _URL_SAFE

        def token(send_id: int) -> str:
            payload = send_id.to_bytes(_ID_BYTES, "big") + name
            mac = start()
            mac.update(payload)
            raw = payload + mac.digest()[part]
            return encode(raw, newline=False).translate(alphabet).decode()

        return token

    def pairs_of_campaign(
        self, other: "Signer", nonce: str
    ) -> Callable[[Sequence[int]], list[tuple[str, str]]]:
        """This signer's and the other's token for many sends of one campaign, made together.
        Raises ValueError for a signer with other keys."""
        theirs = other._macs  # noqa: SLF001 -- of the same class
        if [mac.digest() for mac in theirs] != [mac.digest() for mac in self._macs]:
            raise ValueError("both signers must have the same keys")
        start, name, part = self._macs[0].copy, nonce.encode(), self._part
        other_part = other._part  # noqa: SLF001

        def pairs(send_ids: Sequence[int]) -> list[tuple[str, str]]:
            raw: list[bytes] = []
            for send_id in send_ids:
                payload = send_id.to_bytes(_ID_BYTES, "big") + name
                mac = start()
                mac.update(payload)
                digest = mac.digest()
                raw += (payload, digest[part], payload, digest[other_part])
            # 30 bytes end where a group of base64 ends: encoded in a row, tokens stay apart.
            row = binascii.b2a_base64(b"".join(raw), newline=False).translate(_URL_SAFE).decode()
            ends = range(_TOKEN_LENGTH, len(row), 2 * _TOKEN_LENGTH)
            return [
                (row[end - _TOKEN_LENGTH : end], row[end : end + _TOKEN_LENGTH]) for end in ends
            ]

        return pairs

    def read(self, token: str) -> SendRef | None:
        """The send a token names, or None when we did not make it for this purpose."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            return None
        payload, digest = raw[: _ID_BYTES + NONCE_LENGTH], raw[_ID_BYTES + NONCE_LENGTH :]
        if len(digest) != _MAC_BYTES:
            return None
        for base in self._macs:
            mac = base.copy()
            mac.update(payload)
            if hmac.compare_digest(mac.digest()[self._part], digest):
                return SendRef(payload[_ID_BYTES:].decode(), int.from_bytes(payload[:_ID_BYTES]))
        return None
