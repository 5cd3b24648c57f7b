"""A content as SES' inline template, in which no text is taken for SES' own syntax."""

import re
from email.header import Header
from email.utils import formataddr

from mail.message import Content, Pieces


def address(name: str, email: str) -> str:
    """An address as SES takes it: only ASCII, RFC 2047 words of at most 75 characters."""
    if name.isascii():
        return formataddr((name, email))
    words = Header(name, "utf-8", maxlinelen=75).encode(linesep="\n")
    return f"{' '.join(words.split())} <{email}>"


_BRACES = re.compile(r"[\\{]+")


class InlineTemplate:
    """The parts of a message as an inline template: `{{s0}}` for slots, and `{{b0}}` for text that
    SES would take for a variable: two braces, or a brace or backslash right before a variable."""

    def __init__(self, content: Content) -> None:
        self.defaults = {f"s{n}": "" for n in range(content.slot_count)}
        self._names: dict[str, str] = {}
        parts = {"Subject": content.subject, "Text": content.text, "Html": content.html}
        self.parts = {name: self._part(pieces) for name, pieces in parts.items() if pieces}
        self.defaults |= {name: text for text, name in self._names.items()}

    def _part(self, pieces: Pieces) -> str:
        merged: list[str | int] = []
        for piece in pieces:
            if isinstance(piece, str) and merged and isinstance(merged[-1], str):
                merged[-1] += piece
            else:
                merged.append(piece)
        last = len(merged) - 1
        return "".join([
            f"{{{{s{piece}}}}}" if isinstance(piece, int) else self._text(piece, n < last)
            for n, piece in enumerate(merged)
        ])  # fmt: skip

    def _text(self, text: str, before_slot: bool) -> str:
        def neutral(run: re.Match[str]) -> str:
            touches = before_slot and run.end() == len(text)
            if not touches and "{{" not in run[0]:
                return run[0]
            return "{{" + self._names.setdefault(run[0], f"b{len(self._names)}") + "}}"

        return _BRACES.sub(neutral, text)
