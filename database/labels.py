"""Who opened or clicked: a person, a machine, or a proxy that hides the person. Pure rules over one
event; knows no database and judges events, never people."""

import re

from database.models import EventKind, Label

#: A click this soon after delivery is a scanner's: nobody reads so fast.
SCANNER_SECONDS = 2.0
#: Programs that look at mail before, or instead of, a person.
_SCANNERS = re.compile(
    r"barracuda|proofpoint|mimecast|bitdefender|trendmicro|symantec|fireeye|cloudmark|messagelabs"
    r"|forcepoint|sophos|ironport|zscaler|urldefense|safelinks|headlesschrome|phantomjs|selenium"
    r"|bot\b|crawl|spider|slurp|preview|scanner|curl/|wget/|python-|go-http-client|java/|libwww"
    r"|httpclient|okhttp|node-fetch|axios/",
    re.IGNORECASE,
)
#: Proxies that fetch images on a person's behalf (Gmail, Yahoo).
_PROXIES = re.compile(r"googleimageproxy|ggpht\.com|yahoomailproxy", re.IGNORECASE)
#: All that Apple's Mail Privacy Protection says of itself.
_APPLE = "Mozilla/5.0"


def label(
    kind: EventKind, *, machine: bool | None, user_agent: str, since_delivery: float | None
) -> Label:
    """Who did it. `machine` is the ESP's own verdict; `since_delivery` is in seconds, None when the
    delivery is not known (yet)."""
    if machine or _SCANNERS.search(user_agent):
        return Label.MACHINE
    if kind is EventKind.OPEN:
        hidden = user_agent == _APPLE or _PROXIES.search(user_agent)
        return Label.PRIVACY if hidden else Label.HUMAN
    too_soon = since_delivery is not None and since_delivery <= SCANNER_SECONDS
    return Label.MACHINE if too_soon else Label.HUMAN
