"""A tokenizer for HTML as it is written, by position and in linear time: nothing is repaired,
moved or lost, and malformed markup never raises."""

import html
import re
from collections.abc import Iterator
from html.entities import html5
from typing import NamedTuple


class Attribute(NamedTuple):
    """An attribute and where its value stands, without quotes."""

    name: str
    start: int
    end: int


class Token(NamedTuple):
    """A piece of the source. The pieces follow one another without gaps."""

    kind: str  #: text, tag, hidden (comment, declaration, style, script …)
    start: int
    end: int
    name: str = ""  #: of a tag, in lower case; with `/` in front when it closes
    attributes: tuple[Attribute, ...] = ()


_INTERESTING = re.compile(r"<(?:!--|[!?]|/?[a-zA-Z])")
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s/>][^\s/>=]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_TAG_END = re.compile(r"[\s/]*>")
#: Elements whose content is no markup and never shown as text.
_OPAQUE = frozenset(
    {"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"}
)
_OPAQUE_END = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _OPAQUE}


def tokens(source: str) -> Iterator[Token]:
    """Cut the source into tokens."""
    position = 0
    while found := _INTERESTING.search(source, position):
        start = found.start()
        if start > position:
            yield Token("text", position, start)
        token = _tag(source, start) if found[0][-1].isalpha() else _hidden(source, start, found[0])
        yield token
        position = token.end
        if token.name in _OPAQUE:
            end = _OPAQUE_END[token.name].search(source, position)
            stop = end.start() if end else len(source)
            if stop > position:
                yield Token("hidden", position, stop)
            position = stop
    if position < len(source):
        yield Token("text", position, len(source))


_REFERENCE = re.compile(r"&(?:#\w+;?|([a-zA-Z][a-zA-Z0-9]*)(;?)(=?))")


def attribute_text(value: str) -> str:
    """An attribute's value as browsers read it: `&region=eu` in a link is no `&reg;` (HTML, named
    character reference state)."""
    return _REFERENCE.sub(_character, value)


def _character(found: re.Match[str]) -> str:
    name, end, equals = found.groups()
    if name is None:
        return html.unescape(found[0])
    known = name + end in html5 and (end or not equals)
    return html5[name + end] + equals if known else found[0]


def _hidden(source: str, start: int, opening: str) -> Token:
    """A comment (also Outlook's conditional ones), declaration or processing instruction."""
    close = "-->" if opening == "<!--" else ">"
    # `<!-->` and `<!--->` are whole comments, as in browsers.
    end = source.find(close, start + 2 if opening == "<!--" else start + 1)
    return Token("hidden", start, end + len(close) if end >= 0 else len(source))


def _tag(source: str, start: int) -> Token:
    """A tag with its attributes. One that never ends swallows the rest, as in browsers."""
    opening = _NAME.match(source, start)
    if not opening:  # cannot be: _INTERESTING saw a letter
        return Token("text", start, start + 1)
    name = ("/" if source[start + 1] == "/" else "") + opening[1].lower()
    attributes: list[Attribute] = []
    position = opening.end()
    while not (end := _TAG_END.match(source, position)):
        attribute = _ATTRIBUTE.match(source, position)
        if not attribute or attribute.end() == position:
            return Token("hidden", start, len(source))
        if attribute[2] is not None:
            quote = attribute[2][:1] in {'"', "'"}
            if quote and (len(attribute[2]) == 1 or attribute[2][-1] != attribute[2][0]):
                return Token("hidden", start, len(source))
            inset = 1 if quote else 0
            attributes.append(
                Attribute(
                    attribute[1].lower(), attribute.start(2) + inset, attribute.end(2) - inset
                )
            )
        position = attribute.end()
    return Token("tag", start, end.end(), name, tuple(attributes))
