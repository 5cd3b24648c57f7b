"""Tokens: made one by one, for a campaign or in pairs, they are the same and read the same."""

import pytest

from utils.signing import SendRef, Signer

NONCE = "abcdefgh"
TRACKING, CONSENT = Signer(("new", "old"), "tracking"), Signer(("new", "old"), "consent")


@pytest.mark.parametrize("send_id", [0, 1, 255, 4_097, 2**31, 2**48 - 1])
def test_a_pair_is_the_two_tokens_made_alone(send_id: int) -> None:
    ref = SendRef(NONCE, send_id)
    before, (tracking, consent) = TRACKING.pairs_of_campaign(CONSENT, NONCE)([7, send_id])
    assert TRACKING.read(before[0]) == SendRef(NONCE, 7)
    assert (tracking, consent) == (TRACKING.token(ref), CONSENT.token(ref))
    assert (TRACKING.read(tracking), CONSENT.read(consent)) == (ref, ref)
    assert TRACKING.read(consent) is None


def test_a_token_is_these_bytes() -> None:
    """Links in mail that was sent long ago must stay readable."""
    token = Signer(("a key",), "tracking").token(SendRef(NONCE, 4))
    assert token == "AAAAAAAEYWJjZGVmZ2gs0-87L1DD5KKXbR-vSEn3"


def test_a_pair_needs_the_same_keys() -> None:
    with pytest.raises(ValueError, match="same keys"):
        TRACKING.pairs_of_campaign(Signer(("other",), "consent"), NONCE)
