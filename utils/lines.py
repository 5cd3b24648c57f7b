"""A stream of bytes as lines of text, whatever wrote it: UTF-8 with or without a mark, UTF-16,
or Windows' cp1252; line ends of every system. Holds one block and one line at a time.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

_BLOCK = 65_536
#: A line is cut here: what follows is dropped, and the row is refused for its length.
LONGEST_LINE = 1_048_576
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GUESSED_CP1252 = (
    "The file is not UTF-8; it was read as Windows-1252 (Western Europe). If names look wrong, "
    "save it as UTF-8 and import it again."
)
_GUESSED_UTF16 = "The file has no mark of its encoding; it was read as UTF-16."


@dataclass
class Notes:
    """What reading a file shows beside its rows."""

    columns: tuple[str, ...] = ()  #: of a CSV file, as its first row spells them
    guesses: list[str] = field(default_factory=list)  #: what was decided without proof


def lines(file: BinaryIO, encoding: str | None, notes: Notes) -> Iterator[str]:
    """Lines with their ends; None = find the encoding out. Bytes that are not valid come as lone
    surrogates (PEP 383). `notes` gets what was guessed."""
    decode = _Decoder(encoding, notes)
    for line in _split(_utf8(file, notes)):
        yield decode(line)


def blocks(file: BinaryIO, notes: Notes) -> Iterator[str]:
    """The same stream in pieces of any length, as UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in _utf8(file, notes):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _utf8(file: BinaryIO, notes: Notes) -> Iterator[bytes]:
    """Blocks of the stream without its mark, UTF-16 already turned into UTF-8."""
    first = file.read(_BLOCK)
    while 0 < len(first) < len(codecs.BOM_UTF8):
        more = file.read(_BLOCK)
        if not more:
            break
        first += more
    encoding = _utf16(first)
    if encoding:
        if encoding != "utf-16":
            notes.guesses.append(_GUESSED_UTF16)
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        while first:
            yield decoder.decode(first).encode()
            first = file.read(_BLOCK)
        return
    first = first.removeprefix(codecs.BOM_UTF8)
    while first:
        yield first
        first = file.read(_BLOCK)


def _utf16(first: bytes) -> str:
    """Which UTF-16 this is, if it is one: by its mark, or because the first letters are ASCII in
    two bytes each, which is nothing in any other encoding."""
    if first.startswith(_UTF16):
        return "utf-16"
    if len(first) >= 4 and 0 not in first[0:4:2] and first[1:4:2] == b"\0\0":
        return "utf-16-le"
    if len(first) >= 4 and first[0:4:2] == b"\0\0" and 0 not in first[1:4:2]:
        return "utf-16-be"
    return ""


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest, cutting = b"", False
    for block in pieces:
        found = (rest + block).splitlines(keepends=True)
        # The last may go on in the next block; so may a line end that so far is only its \r.
        rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
        if found and cutting:
            del found[0]  # the end of the line that was cut
            cutting = False
        yield from found
        if len(rest) > LONGEST_LINE:
            if not cutting:
                yield rest[:LONGEST_LINE]
            rest, cutting = b"", True
    if rest and not cutting:
        yield rest


class _Decoder:
    """Decides at the first line outside ASCII whether this is UTF-8 or cp1252, and stays so: in a
    UTF-8 file one broken line must be refused, not turned into other letters."""

    def __init__(self, encoding: str | None, notes: Notes) -> None:
        self._encoding = encoding
        self._notes = notes

    def __call__(self, line: bytes) -> str:
        if self._encoding is None:
            if line.isascii():
                return line.decode("ascii")
            self._encoding = "utf-8" if _is_utf8(line) else "cp1252"
            if self._encoding == "cp1252":
                self._notes.guesses.append(_GUESSED_CP1252)
        return line.decode(self._encoding, "surrogateescape")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
