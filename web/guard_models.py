"""What the campaign guard says, as JSON."""

from outbound.overview import Overview
from web.shapes import Answer


class GuardOut(Answer):
    """Whether a campaign's bounces and complaints are too many: go, warn or pause."""

    verdict: str
    cause: str | None
    deliveries: int
    hard_bounces: int
    complaints: int


def guard_out(overview: Overview) -> GuardOut | None:
    """Null while nothing came back."""
    guard = overview.guard
    if guard is None:
        return None
    return GuardOut(
        verdict=guard.verdict, cause=guard.cause or None, deliveries=guard.deliveries,
        hard_bounces=guard.hard, complaints=guard.complaints,
    )  # fmt: skip
