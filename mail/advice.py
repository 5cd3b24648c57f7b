"""What an author may want to change before a campaign leaves: nothing of it stops anything."""

from collections.abc import Callable

from mail.liquid import Problem, Span, line_of, mask
from mail.markup import Attribute, Token, tokens
from mail.message import Pieces

#: Gmail ends a longer message with a link to the rest of it, and the way out is in the rest. The
#: figure is measured by senders; Google documents none.
CLIPPED = 102_000
#: Of a token in a link; every other value is as long as it is.
_TOKEN_LENGTH, _TOKEN_SLOTS = 40, (0, 1)


def advise(
    author: str, spans: tuple[Span, ...], mailed: Pieces, *, words: str
) -> tuple[Problem, ...]:
    """`author`: the HTML as it was written; `mailed`: as it leaves; `words`: what it shows."""
    images = [token for token in tokens(mask(author, spans, raw=True)) if token.name == "img"]
    found = [
        _size(mailed, len(author.encode())),
        _images(author, images, _is_insecure,
                "not at an https address: some programs do not show it"),
        _images(author, images, _lacks_alt,
                'without alt text (alt="" where it says nothing): not everybody sees images'),
    ]  # fmt: skip
    if not words.strip():
        found.append(_at_top("no text that can be read: many programs show no images"))
    return tuple(one for one in found if one)


def _at_top(words: str) -> Problem:
    return Problem("html", 1, words)


def _size(mailed: Pieces, source: int) -> Problem | None:
    """The HTML without anybody's values is what everybody gets at least."""
    least = sum(
        len(piece.encode()) if isinstance(piece, str)
        else _TOKEN_LENGTH if piece in _TOKEN_SLOTS else 0
        for piece in mailed
    )  # fmt: skip
    clips = f"Gmail shows {CLIPPED // 1000} kB of a message and hides the rest"
    if least > CLIPPED:
        return _at_top(f"{least // 1000} kB and more for everybody: {clips}")
    if source > CLIPPED:
        branches = f"{source // 1000} kB with all its branches, {least // 1000} kB at least"
        return _at_top(f"{branches}: {clips}")
    return None


def _images(
    source: str, images: list[Token], fault: Callable[[str, Token], bool], words: str
) -> Problem | None:
    """One line for all that have this fault, where the first one stands."""
    guilty = [image for image in images if fault(source, image)]
    if not guilty:
        return None
    count = "an image" if len(guilty) == 1 else f"{len(guilty)} images"
    return Problem("html", line_of(source, guilty[0].start), f"{count} {words}")


def _is_insecure(source: str, image: Token) -> bool:
    address = _value(source, image, "src")
    # What begins with Liquid may be anything.
    return address is not None and not address.lower().startswith(("https://", "cid:", "{"))


def _lacks_alt(source: str, image: Token) -> bool:
    inside = source[image.start : image.end]
    # `alt` may stand in a branch, or without a value.
    return _value(source, image, "alt") is None and " alt" not in inside.lower()


def _value(source: str, token: Token, name: str) -> str | None:
    found: Attribute | None = next((a for a in token.attributes if a.name == name), None)
    return None if found is None else source[found.start : found.end].strip()
