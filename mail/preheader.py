"""The line that mail programs show after the subject: hidden text at the top of the HTML."""

import html

from mail.liquid import Span, depth_at, mask, scan
from mail.markup import tokens

#: What hides it in browsers, Gmail and Outlook (`mso-hide`).
_HIDDEN = "display:none;max-height:0;max-width:0;overflow:hidden;mso-hide:all"
#: Invisible characters, so that the preview shows nothing of the body after it.
_FILLER = "&#847;&zwnj;&nbsp;" * 60


def with_preheader(source: str, preheader: str | None) -> str:
    """The HTML with the preheader, as Liquid source."""
    if not preheader or not preheader.strip():
        return source
    hidden = f'<div style="{_HIDDEN}">{_escaped(preheader)}{_FILLER}</div>'
    position = _top(source, scan(source))
    return source[:position] + hidden + source[position:]


def _escaped(preheader: str) -> str:
    """Its own words escaped; what Liquid prints is escaped by the engine."""
    pieces: list[str] = []
    position = 0
    for span in scan(preheader):
        pieces += [html.escape(preheader[position : span.start]), preheader[span.start : span.end]]
        position = span.end
    return "".join([*pieces, html.escape(preheader[position:])])


def _top(source: str, spans: tuple[Span, ...]) -> int:
    """After `<body>`, where it is open for everybody; without one after the head, or at the very
    start."""
    found: dict[str, int] = {}
    for token in tokens(mask(source, spans, raw=True)):
        doctype = source[token.start : token.start + 9].lower() == "<!doctype"
        name = "doctype" if doctype else token.name
        if name in _BEFORE and name not in found and not depth_at(spans, token.start):
            found[name] = token.end
        if name == "body":
            break
    return next((found[name] for name in _BEFORE if name in found), 0)


#: The best place first.
_BEFORE = ("body", "/head", "html", "doctype")
