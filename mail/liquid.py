"""The Liquid that authors may write: one engine with hard limits, and where its tags stand in a
source. Knows nothing of HTML, people or campaigns."""

import re
from enum import Enum
from functools import cache, lru_cache
from typing import Any, NamedTuple

import liquid
from liquid.exceptions import LiquidError

from mail.budget import LOOP_LIMIT, Buffer, Clock, Context, limited

#: Characters between two delimiters, and of white space in a row there: the engine's lexer
#: needs quadratic time for what is longer.
TAG_LIMIT = 20_000
#: Tags and outputs that an author may use in one part, and their characters together: all are read
#: several times, and walked for each person.
SPAN_LIMIT, SPANS_LIMIT = 5_000, 150_000
_LONG_SPACE = re.compile(r"\s{200}")


class Problem(NamedTuple):
    """One thing an author has to mend."""

    part: str  #: subject, preheader, html or text
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.part}, line {self.line}: {self.message}"


class TemplateError(Exception):
    """The author's source cannot be used; all problems of all parts together."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class Kind(Enum):
    """What a span of Liquid is."""

    OUTPUT = "output"  #: {{ … }}
    TAG = "tag"  #: {% … %}
    VERBATIM = "verbatim"  #: {% raw %} or {% endraw %}; what stands between them is plain text
    COMMENT = "comment"  #: a whole comment or doc block, or an inline comment


_READ = (Kind.OUTPUT, Kind.TAG)


class Span(NamedTuple):
    """Where a piece of Liquid stands in a source."""

    start: int
    end: int
    kind: Kind
    name: str = ""  #: of a tag


def line_of(source: str, position: int) -> int:
    """The number of the line at this position, from 1."""
    return source.count("\n", 0, max(position, 0)) + 1


class _SpanError(Exception):
    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


_OPENING = re.compile(r"\{\{|\{%")
_BLOCK = re.compile(r"\{%-?\s*(raw|doc)\s*-?%\}")
_BLOCK_END = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc")}
_TAG_NAME = re.compile(r"\{%-?\s*(#|\w+)")


def scan(source: str) -> tuple[Span, ...]:
    """All Liquid in the source, in order. Agrees with the engine's lexer, in linear time."""
    spans: list[Span] = []
    comment: tuple[int, int] | None = None  # where it began, and how deep it is nested
    position = 0
    while opening := _OPENING.search(source, position):
        found = _span_at(source, opening.start())
        position = found[-1].end
        name = found[0].name
        if name == "comment":
            comment = (comment[0], comment[1] + 1) if comment else (found[0].start, 1)
        elif comment and name == "endcomment":
            comment = (comment[0], comment[1] - 1)
            if not comment[1]:
                spans.append(Span(comment[0], position, Kind.COMMENT))
                comment = None
        elif not comment:
            spans.extend(found)
    if comment:
        raise _SpanError(comment[0], "comment is never closed by endcomment")
    return tuple(spans)


def _span_at(source: str, start: int) -> tuple[Span, ...]:
    """The span that begins here; for a raw block, its two delimiters."""
    if block := _BLOCK.match(source, start):
        name = block[1]
        end = _BLOCK_END[name].search(source, block.end())
        if not end:
            raise _SpanError(start, f"{name} is never closed by end{name}")
        if name == "doc":
            return (Span(start, end.end(), Kind.COMMENT),)
        return (
            Span(start, block.end(), Kind.VERBATIM, "raw"),
            Span(end.start(), end.end(), Kind.VERBATIM, "endraw"),
        )
    output = source.startswith("{{", start)
    close = source.find("}}" if output else "%}", start + 2, start + 2 + TAG_LIMIT)
    inner = source[start + 2 : close]
    if close < 0:
        raise _SpanError(start, f"{'{{' if output else '{%'} is never closed, or far too long")
    if not inner.strip("- \t\r\n\f\v") or inner.isspace() or _LONG_SPACE.search(inner):
        raise _SpanError(start, "an empty tag, or too much white space in it")
    if output:
        return (Span(start, close + 2, Kind.OUTPUT),)
    tag = _TAG_NAME.match(source, start)
    if not tag:
        raise _SpanError(start, "a tag without a name")
    kind = Kind.COMMENT if tag[1] == "#" else Kind.TAG
    return (Span(start, close + 2, kind, tag[1]),)


def mask(source: str, spans: tuple[Span, ...], *, raw: bool) -> str:
    """The source with its Liquid replaced by filler of equal length, so that positions hold:
    letters for an output, white space for what prints nothing. `raw`: hide raw blocks whole."""
    pieces: list[str] = []
    position = 0
    for span in spans:
        between = source[position : span.start]
        pieces.append(" " * len(between) if raw and span.name == "endraw" else between)
        pieces.append(("x" if span.kind is Kind.OUTPUT else " ") * (span.end - span.start))
        position = span.end
    pieces.append(source[position:])
    return "".join(pieces)


def literal(text: str) -> str:
    """Liquid source that prints this text: a brace in it can never open anything."""
    return text.replace("{", "{{ '{' }}")


class Environment(liquid.Environment):
    """The language; what differs by place is in its subclasses and arguments."""

    context_depth_limit = 20
    loop_iteration_limit = LOOP_LIMIT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """The standard ones, less what reads files (include, render) or lifts escaping (safe)."""
        super().setup_tags_and_filters(extra=extra)
        for tag in ("include", "render"):
            del self.tags[tag]
        del self.filters["safe"]
        self.filters = limited(self)


@cache
def environment(*, autoescape: bool) -> liquid.Environment:
    """The engine for HTML (escaping) or for subjects and plain text."""
    return Environment(autoescape=autoescape)


def parse(
    source: str, part: str, *, limit: int | None = None
) -> tuple[liquid.BoundTemplate, tuple[Span, ...]]:
    """Parse one part, or say where it is wrong. `limit` is for its number of tags."""
    try:
        spans = scan(source)
        if limit is not None:
            _refuse(source, spans, limit)
        template = _parsed(source, autoescape=part in ("html", "preheader"))
    except _SpanError as error:
        where, message = error.position, error.message
    except LiquidError as error:
        known = error.token is not None and error.token.start_index >= 0
        where = error.token.start_index if known and error.token else _unclosed(source)
        message = str(error.message)
    except RecursionError:
        where, message = 0, "nested too deeply"
    else:
        return template, spans
    raise TemplateError((Problem(part, line_of(source, where), message),))


@lru_cache(maxsize=4)  # compiling asks twice for the same; rendering leaves no trace in it
def _parsed(source: str, *, autoescape: bool) -> liquid.BoundTemplate:
    return environment(autoescape=autoescape).from_string(source)


def _refuse(source: str, spans: tuple[Span, ...], limit: int) -> None:
    """What the engine would take, and no author means."""
    if len(spans) > limit:
        raise _SpanError(spans[limit].start, f"more than {limit} tags")
    read = 0
    for span in spans:
        read += span.end - span.start if span.kind in _READ else 0
        if read > SPANS_LIMIT:
            raise _SpanError(span.start, f"more than {SPANS_LIMIT} characters in tags")
        if span.name == "else" and source[span.start : span.end].strip("{%-} \t\r\n") != "else":
            raise _SpanError(span.start, "'else' takes no condition; write elsif")


#: Tags that enclose others.
BLOCKS = frozenset({"if", "unless", "case", "for", "tablerow", "capture", "ifchanged"})


def depth_at(spans: tuple[Span, ...], position: int) -> int:
    """How many blocks are open at this position."""
    before = [span.name for span in spans if span.start < position and span.kind is Kind.TAG]
    return sum(name in BLOCKS for name in before) - sum(
        name.startswith("end") and name[3:] in BLOCKS for name in before
    )


def _unclosed(source: str) -> int:
    """Where the innermost block that is never closed begins."""
    open_blocks: list[Span] = []
    for span in scan(source):
        if span.name in BLOCKS:
            open_blocks.append(span)
        elif span.name.startswith("end") and span.kind is Kind.TAG and open_blocks:
            open_blocks.pop()
    return open_blocks[-1].start if open_blocks else len(source)


def render_whole(
    template: liquid.BoundTemplate, values: dict[str, Any], clock: Clock | None = None
) -> str:
    """Render all of a template, within its budget. Nulls are dropped: what is missing is absent."""
    present = {name: value for name, value in values.items() if value is not None}
    context = Context(template, present, clock)
    buffer = Buffer()
    for node in template.nodes:
        node.render(context, buffer)
    return buffer.getvalue()
