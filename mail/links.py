"""Links of a source: found by position, replaced by position, and filled at click. The rest of the
source keeps every byte."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple, TextIO
from urllib.parse import quote

from liquid import BoundTemplate, RenderContext
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError
from liquid.stringify import to_liquid_string

from mail.liquid import Environment, Kind, Problem, Span, line_of, mask, render_whole
from mail.markup import attribute_text, tokens
from mail.people import OWN_URLS, Person, RenderError, sendable, values_of

#: Click targets of one campaign; each is a row in its table of links.
LINK_LIMIT = 2_000
_WEB = re.compile(r"https?://[^/?#\s\\]", re.IGNORECASE)
#: A scheme and host that end before the first variable.
_FIXED_HOST = re.compile(r"https?://[^/?#\s\\]+[/?#]", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
#: Tags that may stand inside a tracked link: they choose, but remember nothing.
_CHOICES = frozenset(
    {"if", "elsif", "else", "endif", "unless", "endunless", "case", "when", "endcase"}
)


class Link(NamedTuple):
    """A web link in the source."""

    start: int  #: of the href's value
    end: int
    number: int  #: in the table of targets


class Links(NamedTuple):
    """All links of a source, and what is to be said about them."""

    links: tuple[Link, ...]
    targets: tuple[str, ...]  #: URLs, or URL templates in Liquid, each once
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


#: Of a message without HTML.
NO_LINKS = Links((), (), (), ())


class _BadLinkError(Exception):
    pass


class _UntrackableError(Exception):
    pass


def find_links(
    source: str, spans: tuple[Span, ...], local_names: frozenset[str], campaign: dict[str, object]
) -> Links:
    """Every http(s) href of `a` and `area`. Values of `campaign` are filled in at once."""
    links: list[Link] = []
    table: dict[str, int] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    ends, starts = [span.end for span in spans], [span.start for span in spans]
    for start, end in hrefs(source, spans):
        inside = list(spans[bisect_right(ends, start) : bisect_left(starts, end)])
        try:
            target = _target(source[start:end], start, inside, local_names, campaign)
        except _BadLinkError as error:
            problems.append(Problem("html", line_of(source, start), str(error)))
        except _UntrackableError as error:
            warnings.append(Problem("html", line_of(source, start), str(error)))
        else:
            if target is not None:
                links.append(Link(start, end, table.setdefault(target, len(table))))
    if len(table) > LINK_LIMIT:
        problems.append(Problem("html", 1, f"more than {LINK_LIMIT} different links"))
    return Links(tuple(links), tuple(table), tuple(problems), tuple(warnings))


def hrefs(source: str, spans: tuple[Span, ...]) -> list[tuple[int, int]]:
    """Where the values of href in links stand. A tag may have several, one for each branch."""
    return [
        (attribute.start, attribute.end)
        for token in tokens(mask(source, spans, raw=True))
        if token.name in {"a", "area"}
        for attribute in token.attributes
        if attribute.name == "href"
    ]


def rewrite(source: str, links: tuple[Link, ...], replace: Callable[[int], str | None]) -> str:
    """The source with the links that `replace` gives a new value for, by number."""
    pieces: list[str] = []
    position = 0
    for link in links:
        value = replace(link.number)
        if value is not None:
            pieces += [source[position : link.start], value]
            position = link.end
    return "".join([*pieces, source[position:]])


def _target(
    value: str, start: int, inside: list[Span], local_names: frozenset[str],
    campaign: dict[str, object],
) -> str | None:  # fmt: skip
    """The click target of an href, or None where there is nothing to track."""
    if not inside:
        url = _literal(value).strip()
        return url if _WEB.match(url) else None
    if inside[0].start < start or inside[-1].end > start + len(value):
        return None  # a tag that reaches over the value's edge: unquoted and broken
    spans = [(span.start - start, span.end - start, span.kind) for span in inside]
    prefix = _literal(value[: spans[0][0]]).lstrip()
    if not _has_fixed_host(prefix, value[slice(*spans[0][:2])]):
        return None
    pieces: list[str] = []
    position = 0
    for (first, last, kind), span in zip(spans, inside, strict=True):
        pieces.append(_literal(value[position:first]))
        pieces.append(_variable(value[first:last], kind, span, local_names, campaign))
        position = last
    target = "".join([*pieces, _literal(value[position:])]).strip()
    try:
        _template(target)
    except LiquidError:
        raise _UntrackableError("a link whose Liquid is not complete is not tracked") from None
    return target


def _has_fixed_host(prefix: str, first: str) -> bool:
    """Whether a link with variables is a web link; raises when they could choose where it leads."""
    if _FIXED_HOST.match(prefix):
        return True
    if not prefix and first.strip("{}- ") in OWN_URLS:
        return False
    if prefix.lower().startswith(("http:", "https:")) or re.fullmatch(r"//[^/?#\\]*", prefix):
        raise _BadLinkError("a variable in a link's host; write the host out")
    if _SCHEME.match(prefix) or any(mark in prefix for mark in "/?#"):
        return False
    raise _BadLinkError(
        "a variable in a link's scheme or host; write https:// and the host out, and for a choice "
        "between hosts a whole <a> in each branch"
    )


def _variable(
    piece: str, kind: Kind, span: Span, local_names: frozenset[str], campaign: dict[str, object]
) -> str:
    """A piece of Liquid as it is kept for the click, or its value where that is known."""
    if kind is Kind.TAG:
        if span.name not in _CHOICES:
            raise _UntrackableError(f"a link with '{span.name}' in it is not tracked")
        return piece
    if kind is not Kind.OUTPUT:
        return ""
    template = _template(piece)
    roots = set(template.analyze().globals)
    if roots & OWN_URLS:
        raise _UntrackableError("a link that carries one of our own personal links is not tracked")
    if roots & local_names:
        name = ", ".join(sorted(roots & local_names))
        raise _UntrackableError(
            f"a link with '{name}', which is not known at the click, is not tracked"
        )
    if roots <= {"campaign"}:
        return _literal(render_whole(template, {"campaign": campaign}))
    return piece


def _literal(text: str) -> str:
    """Characters of an href as a browser reads them; braces are encoded, so that Liquid stands
    only where the author put it."""
    text = re.sub(r"[\t\r\n]", "", attribute_text(text))
    return text.replace("{", "%7B").replace("}", "%7D")


class _QuotedOutputNode(OutputNode):
    """Prints a value as part of a URL: nothing in it can end the path or the query."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        text = to_liquid_string(self.expression.evaluate(context), autoescape=False)
        filters = (
            self.expression.filters if isinstance(self.expression, FilteredExpression) else None
        )
        if not filters or filters[-1].name != "url_encode":
            text = quote(sendable(text), safe="")
        return buffer.write(text)


class _QuotedOutput(Output):
    node_class = _QuotedOutputNode


@cache
def _environment() -> Environment:
    environment = Environment(autoescape=False)
    environment.add_tag(_QuotedOutput)
    return environment


@lru_cache(maxsize=4096)
def _template(target: str) -> BoundTemplate:
    return _environment().from_string(target)


def is_template(target: str) -> bool:
    """Whether the target depends on the person."""
    return "{{" in target or "{%" in target


def fill_link(target: str, person: Person) -> str:
    """Where this person's click leads. Scheme and host are always the author's own."""
    if not is_template(target):
        return _request_safe(target)
    values = values_of(person.name, person.email, person.attributes)
    try:
        url = render_whole(_template(target), values)
    except Exception as error:  # (filters raise what they like)
        raise RenderError(f"link: {error.__class__.__name__}: {error}"[:300]) from error
    fixed = _FIXED_HOST.match(target)
    if not fixed or not url.startswith(fixed[0]):
        raise RenderError("link: leads elsewhere than its author wrote")
    return _request_safe(url)


def _request_safe(url: str) -> str:
    return re.sub(r"[\x00-\x20\x7f]", lambda found: f"%{ord(found[0]):02X}", url)
