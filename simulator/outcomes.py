"""Decides by the recipient's address what becomes of a message, as a list of events; sends none."""

from hashlib import blake2b

# Event kinds, one word for all three ESPs; each ESP's file says how it spells them.
PROCESSED, DELIVERED, DEFERRED = "processed", "delivered", "deferred"
HARD, SOFT, BLOCK = "hard", "soft", "block"
COMPLAINT, OPEN, MACHINE_OPEN, CLICK = "complaint", "open", "machine_open", "click"
UNSUBSCRIBE, DROPPED, CONTENT, RENDER_FAILURE = (
    "unsubscribe",
    "dropped",
    "content",
    "render_failure",
)

# What a recipient does, as the product sees it: a pixel fetched, a link followed, a list left.
VISIT_OPEN, VISIT_MACHINE_OPEN = "visit_open", "visit_machine_open"
VISIT_CLICK, VISIT_UNSUBSCRIBE = "visit_click", "visit_unsubscribe"
VISITS = {
    OPEN: VISIT_OPEN,
    MACHINE_OPEN: VISIT_MACHINE_OPEN,
    CLICK: VISIT_CLICK,
    UNSUBSCRIBE: VISIT_UNSUBSCRIBE,
}
# Where the ESP sees it instead, it is an event of this kind.
TOLD_AS = {visit: kind for kind, visit in VISITS.items()}

KINDS = (
    PROCESSED, DELIVERED, DEFERRED, HARD, SOFT, BLOCK, COMPLAINT, OPEN, MACHINE_OPEN, CLICK,
    UNSUBSCRIBE, DROPPED, CONTENT, RENDER_FAILURE,
    VISIT_OPEN, VISIT_MACHINE_OPEN, VISIT_CLICK, VISIT_UNSUBSCRIBE,
)  # fmt: skip
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}

# What follows an outcome, in the order in which an ESP tells it.
EVENTS: dict[str, tuple[str, ...]] = {
    "delivered": (PROCESSED, DELIVERED),
    "hard": (PROCESSED, HARD),
    "soft": (PROCESSED, DEFERRED, SOFT),
    "block": (PROCESSED, BLOCK),
    "defer": (PROCESSED, DEFERRED, DELIVERED),
    "complaint": (PROCESSED, DELIVERED, COMPLAINT),
    "open": (PROCESSED, DELIVERED, OPEN),
    "click": (PROCESSED, DELIVERED, OPEN, CLICK),
    "unsub": (PROCESSED, DELIVERED, UNSUBSCRIBE),
    "lost": (),
    "content": (CONTENT,),
    "suppressed": (DROPPED,),
    "render_failure": (RENDER_FAILURE,),
}
# `reject` never reaches the log: the ESP refuses the address in its answer.
REJECT = "reject"
SUPPRESSED = "suppressed"

_BY_PREFIX = {
    prefix: prefix
    for prefix in (
        "hard", "soft", "block", "defer", "complaint", "open", "click", "unsub", "lost", "content",
        SUPPRESSED, REJECT,
    )
}  # fmt: skip
# The vendors' own test addresses (SES "Mailbox simulator", Postmark "Test with fake bounces").
_BY_ADDRESS = {
    "success@simulator.amazonses.com": "delivered",
    "bounce@simulator.amazonses.com": "hard",
    "complaint@simulator.amazonses.com": "complaint",
    "suppressionlist@simulator.amazonses.com": SUPPRESSED,
    "test@blackhole.postmarkapp.com": "delivered",
    "hardbounce@bounce-testing.postmarkapp.com": "hard",
    "softbounce@bounce-testing.postmarkapp.com": "soft",
}
MACHINE_SHARE = 0.3
CLICK_SHARE = 0.25


def outcome_of(address: str) -> str:
    """The outcome for a canonical address: by its prefix, or as a vendor's test address."""
    prefix, plus, _ = address.partition("+")
    if plus:
        return _BY_PREFIX.get(prefix, "delivered")
    return _BY_ADDRESS.get(address, "delivered")


def fraction(seed: str, salt: str) -> float:
    """A number in [0, 1) that is the same in every run for the same seed."""
    digest = blake2b(f"{salt}\0{seed}".encode(), digest_size=7).digest()
    return int.from_bytes(digest) / float(1 << 56)


def events_for(outcome: str, seed: str, engagement: float) -> tuple[str, ...]:
    """The events of a message; with engagement, delivered mail is also opened and clicked."""
    events = EVENTS[outcome]
    if outcome != "delivered" or engagement <= 0 or fraction(seed, "engaged") >= engagement:
        return events
    if fraction(seed, "machine") < MACHINE_SHARE:
        events = (*events, MACHINE_OPEN)
    else:
        events = (*events, OPEN)
    return (*events, CLICK) if fraction(seed, "click") < CLICK_SHARE else events
