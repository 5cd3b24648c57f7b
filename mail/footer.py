"""What the law wants at the end of mail to many: a visible way out and a postal address. Adds what
the author forgot, and nothing else."""

import html
import re

from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode

from mail.liquid import Problem, Span, TemplateError, depth_at, line_of, literal, mask, parse, scan
from mail.markup import tokens
from mail.text import derive_text

_STYLE = "font:12px/18px sans-serif;color:#666;text-align:center;padding:16px"


def with_footers(
    source_html: str | None, source_text: str | None, postal_address: str
) -> tuple[str | None, str | None]:
    """Both parts with what they lack at the end."""
    if source_html is not None:
        shown = derive_text(source_html, scan(source_html))
        addition = _html_footer(*_lacking(shown, postal_address), postal_address)
        source_html = insert_at_end(source_html, addition)
        if addition and any(_lacking(derive_text(source_html, scan(source_html)), postal_address)):
            message = "ends inside a comment, tag or element that is never closed"
            raise TemplateError((Problem("html", line_of(source_html, len(source_html)), message),))
    if source_text is not None:
        source_text += _text_footer(*_lacking(source_text, postal_address), postal_address)
    return source_html, source_text


def insert_at_end(source: str, addition: str) -> str:
    """Put something before `</body>`, or at the very end where that stands in a branch."""
    if not addition:
        return source
    spans = scan(source)
    return _splice(source, spans, addition)


def _splice(source: str, spans: tuple[Span, ...], addition: str) -> str:
    ends = [t.start for t in tokens(mask(source, spans, raw=True)) if t.name in {"/body", "/html"}]
    for end in ends[-2:]:
        if not depth_at(spans, end):
            return source[:end] + addition + source[end:]
    return source + addition


def _lacking(text: str, postal_address: str) -> tuple[bool, bool]:
    """Whether the text lacks a link to unsubscribe that everybody sees, and the address."""
    template, _ = parse(text, "text")
    link = any(
        isinstance(node, OutputNode)
        and isinstance(node.expression, FilteredExpression)
        and isinstance(node.expression.left, Path)
        and node.expression.left.path == ["unsubscribe_url"]
        for node in template.nodes
    )
    address = _words(postal_address) in _words(text.replace(literal("{"), " "))
    return not link, not address


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _html_footer(link: bool, address: bool, postal_address: str) -> str:
    lines: list[str] = []
    if address:
        lines += [html.escape(line).replace("{", "&#123;") for line in postal_address.splitlines()]
    if link:
        lines.append('<a href="{{ unsubscribe_url }}" style="color:#666">Unsubscribe</a>')
    return f'<div style="{_STYLE}">{"<br>".join(lines)}</div>' if lines else ""


def _text_footer(link: bool, address: bool, postal_address: str) -> str:
    lines = [literal(line) for line in postal_address.splitlines()] if address else []
    if link:
        lines.append("Unsubscribe: {{ unsubscribe_url }}")
    return "\n\n--\n" + "\n".join(lines) + "\n" if lines else ""
