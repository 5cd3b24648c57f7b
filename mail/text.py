"""The plain text of an HTML source, derived in source order: Liquid stays where it stands, so that
a loop over table rows is a loop over lines."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from mail.lines import CELL, LINE, NOTHING, PARAGRAPH, SPACE, Lines
from mail.liquid import (
    SPAN_LIMIT,
    Kind,
    Problem,
    Span,
    TemplateError,
    literal,
    mask,
    parse,
)
from mail.markup import Attribute, Token, attribute_text, tokens

_PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dl", "blockquote", "pre"}
    | {"figure", "form", "fieldset", "hr"}
)
_LINES = frozenset(
    {"div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "nav", "main"}
    | {"aside", "center", "address", "figcaption", "caption", "thead", "tbody", "tfoot", "body"}
    | {"legend"}
)
_UNSEEN = frozenset({"head", "svg", "noscript"})
_CELLS = frozenset({"td", "th"})
#: Tags that print something: outside of text they are dropped like an output.
_PRINTING = frozenset({"cycle", "increment", "decrement", "echo", "liquid"})
#: Characters that newsletters use to fill up a preview line.
_FILLER = re.compile("[\\s\u00a0\u00ad\u034f\u200b-\u200f\u2007\u2060\ufeff]*")
_HIDDEN = re.compile("\\s[\u00ad\u034f\u200b-\u200f\u2060\ufeff]+(?=\\s)")
_MOST_OUTPUTS = 2 * SPAN_LIMIT
_BLANKS = re.compile("[ \t\r\n\f\u00a0]+")


@lru_cache(maxsize=2)  # compiling asks twice for the same
def derive_text(source: str, spans: tuple[Span, ...]) -> str:
    """Liquid source of a text part that says what the HTML shows. Raises TemplateError for more
    braces than anybody would show: each is a tag of its own here."""
    writer = _Writer(source, spans)
    for token in tokens(mask(source, spans, raw=False)):
        writer.token(token)
    text = str(writer.lines)
    if text.count("{{") > _MOST_OUTPUTS:
        raise TemplateError((Problem("html", 1, "too many braces in the text"),))
    return text


@dataclass
class _Anchor:
    position: int  #: in `out`, where the link's text begins
    target: str


@dataclass
class _Writer:
    source: str
    spans: tuple[Span, ...]
    lines: Lines = field(default_factory=Lines)
    trim: bool = False  #: the last tag asked to drop white space
    skipping: str = ""  #: the element whose text is not shown
    lists: list[int] = field(default_factory=list)  #: 0 = bullets, else the next number
    anchor: _Anchor | None = None
    next_span: int = 0

    def token(self, token: Token) -> None:
        """Write one token of the HTML and the Liquid in it."""
        inside = list(self.spans_until(token.end))
        if token.kind == "text" and not self.skipping:
            self.text(token, inside)
            return
        if token.kind == "tag":
            self.tag(token, inside)
        for span in inside:
            if span.kind is Kind.TAG and span.name not in _PRINTING:
                self.control(span)

    def spans_until(self, end: int) -> Iterator[Span]:
        while self.next_span < len(self.spans) and self.spans[self.next_span].start < end:
            yield self.spans[self.next_span]
            self.next_span += 1

    # --- text ---------------------------------------------------------------------------------

    def text(self, token: Token, inside: list[Span]) -> None:
        position = token.start
        for span in inside:
            self.words(self.source[position : span.start])
            self.liquid(span)
            position = max(position, span.end)
        self.words(self.source[position : token.end])

    def words(self, source: str) -> None:
        words = html.unescape(source)
        if _FILLER.fullmatch(words):
            self.space(bool(words))
            return
        words = _BLANKS.sub(" ", _HIDDEN.sub(" ", words))
        self.space(words[0] == " ")
        self.write(literal(words.strip(" ")))
        self.lines.pending = SPACE if words[-1] == " " else NOTHING

    def write(self, text: str) -> None:
        self.lines.write(text)
        self.trim = False

    def space(self, there: bool) -> None:
        if there and not self.trim:
            self.lines.need(SPACE)

    # --- Liquid -------------------------------------------------------------------------------

    def liquid(self, span: Span) -> None:
        """Liquid that stands in text. White space control has had its effect already."""
        piece = self.source[span.start : span.end]
        if piece[2] == "-" and self.lines.pending == SPACE:
            self.lines.pending = NOTHING
        if span.kind is Kind.OUTPUT or span.name in _PRINTING:
            self.write(_undashed(piece))
        elif span.kind is Kind.TAG:
            self.control(span)
        self.trim = piece[-3] == "-"

    def control(self, span: Span) -> None:
        self.lines.control(span.name, _undashed(self.source[span.start : span.end]))

    # --- tags ---------------------------------------------------------------------------------

    def tag(self, token: Token, inside: list[Span]) -> None:
        name, closing = token.name.lstrip("/"), token.name.startswith("/")
        if self.skipping and (name == "body" or (closing and name == self.skipping)):
            self.skipping = ""
        elif not self.skipping and not closing and name in _UNSEEN:
            self.skipping = name
        if self.skipping:
            return
        if name in _PARAGRAPHS:
            nested = name in {"ul", "ol"} and len(self.lists) > (1 if closing else 0)
            self.lines.own_line(LINE if nested else PARAGRAPH)
        elif name in _LINES:
            self.lines.own_line(LINE)
        elif name in _CELLS and closing:
            self.lines.need(CELL)
        self.element(name, closing, token, inside)

    def element(self, name: str, closing: bool, token: Token, inside: list[Span]) -> None:
        if name == "br":
            self.lines.own_line(PARAGRAPH if self.lines.pending >= LINE else LINE)
        elif name == "hr" and not closing:
            self.write("-" * 20)
            self.lines.pending = PARAGRAPH
        elif name in {"ul", "ol"}:
            self.listing(name, closing)
        elif name == "li" and not closing:
            self.item()
        elif name == "a":
            self.end_link()
            if not closing:
                self.anchor = _Anchor(len(self.lines.out), self.link_target(token, inside))
        elif name in {"img", "area"} and not closing:
            alt = next((a for a in token.attributes if a.name == "alt"), None)
            if alt and (text := self.value(alt, inside, tags=False).strip()):
                self.write(text)

    def listing(self, name: str, closing: bool) -> None:
        if not closing:
            self.lists.append(1 if name == "ol" else 0)
        elif self.lists:
            self.lists.pop()

    def item(self) -> None:
        """In a loop there is no telling which number an item has."""
        number = self.lists[-1] if self.lists else 0
        looped = self.lines.in_loop
        self.lines.prefix = "  " * max(len(self.lists) - 1, 0) + (
            "- " if looped or not number else f"{number}. "
        )
        if number:
            self.lists[-1] = number + 1

    def link_target(self, token: Token, inside: list[Span]) -> str:
        """The href; of a tag with one for each branch, all of them with the choice between them."""
        hrefs = [a for a in token.attributes if a.name == "href"]
        pieces = [(a.start, self.value(a, inside, tags=True)) for a in hrefs]
        if len(hrefs) > 1:
            between = [span for span in inside if span.kind is Kind.TAG and not _in(span, token)]
            pieces += [(s.start, _undashed(self.source[s.start : s.end])) for s in between]
        target = "".join(piece for _, piece in sorted(pieces)).strip()
        if _is_complete(target):
            return target
        return self.value(hrefs[0], inside, tags=False).strip()

    def value(self, attribute: Attribute, inside: list[Span], *, tags: bool) -> str:
        """An attribute's value as text, with its outputs, and its tags if they are wanted."""
        pieces: list[str] = []
        position = attribute.start
        for span in inside:
            if attribute.start <= span.start < attribute.end:
                pieces.append(literal(attribute_text(self.source[position : span.start])))
                if span.kind is Kind.OUTPUT or (tags and span.kind is Kind.TAG):
                    pieces.append(_undashed(self.source[span.start : span.end]))
                position = span.end
        pieces.append(literal(attribute_text(self.source[position : attribute.end])))
        return _BLANKS.sub(" ", "".join(pieces))

    def end_link(self) -> None:
        """After the link's text its address between angle brackets (RFC 3986, appendix C)."""
        anchor, self.anchor = self.anchor, None
        if anchor is None or not anchor.target or anchor.target.startswith(("#", "tel:", "sms:")):
            return
        target = anchor.target
        if target.startswith("mailto:"):
            target = target.removeprefix("mailto:").partition("?")[0]
        shown = "".join(self.lines.out[anchor.position :]).strip()
        if shown == target:
            return
        pending, self.lines.pending = (
            self.lines.pending,
            max(self.lines.pending, SPACE) if shown else self.lines.pending,
        )
        self.write(f"<{target}>" if shown else target)
        self.lines.pending = pending


def _in(span: Span, token: Token) -> bool:
    """Whether a span stands in the value of one of the tag's attributes."""
    return any(attribute.start <= span.start < attribute.end for attribute in token.attributes)


def _undashed(piece: str) -> str:
    inner = piece[2:-2]
    inner = inner[1:] if inner.startswith("-") else inner
    inner = inner[:-1] if inner.endswith("-") else inner
    return piece[:2] + inner + piece[-2:]


def _is_complete(target: str) -> bool:
    """Whether the branches of a link begin and end in it."""
    try:
        parse(target, "text")
    except TemplateError:
        return False
    return True
