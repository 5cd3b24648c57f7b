"""Who opened or clicked, as a table."""

import pytest

from database.labels import label
from database.models import EventKind, Label

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36"
OUTLOOK = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)"
OPEN, CLICK = EventKind.OPEN, EventKind.CLICK


@pytest.mark.parametrize(
    "kind,machine,agent,since,expected",
    [
        (OPEN, None, CHROME, None, Label.HUMAN),
        (OPEN, None, OUTLOOK, None, Label.HUMAN),
        (OPEN, False, "", None, Label.HUMAN),
        (OPEN, True, CHROME, None, Label.MACHINE),
        (OPEN, None, "Mozilla/5.0", None, Label.PRIVACY),
        (OPEN, None, GMAIL, 1.0, Label.PRIVACY),
        (OPEN, None, "YahooMailProxy; https://help.yahoo.com", None, Label.PRIVACY),
        (OPEN, None, CHROME, 1.0, Label.HUMAN),
        (CLICK, None, CHROME, None, Label.HUMAN),
        (CLICK, None, "Mozilla/5.0", None, Label.HUMAN),
        (CLICK, None, CHROME, 2.0, Label.MACHINE),
        (CLICK, None, CHROME, -5.0, Label.MACHINE),
        (CLICK, None, CHROME, 2.1, Label.HUMAN),
        (CLICK, None, "BarracudaCentral", 900.0, Label.MACHINE),
        (CLICK, None, "python-requests/2.34", 900.0, Label.MACHINE),
        (CLICK, None, "Mozilla/5.0 (compatible; Googlebot/2.1)", 900.0, Label.MACHINE),
    ],
)  # fmt: skip
def test_a_label_follows_from_the_event(
    kind: EventKind, machine: bool | None, agent: str, since: float | None, expected: Label
) -> None:
    assert label(kind, machine=machine, user_agent=agent, since_delivery=since) is expected
