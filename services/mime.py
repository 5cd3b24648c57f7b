"""A message as the bytes that go over SMTP: header, text, HTML and files (RFC 5322, 2045, 2047).

Every line ends in CRLF and has at most 998 characters; a value can neither end a header nor a part.
Knows no ESP and no socket.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from email import policy
from email.header import Header
from email.message import MIMEPart
from email.utils import formataddr

from mail.message import Attachment, Content, Message, fill

CRLF = b"\r\n"
#: RFC 5322 §2.1.1: a line must not be longer, and should not be longer than that.
LONGEST_LINE, GOOD_LINE = 998, 78
#: RFC 2047 §2: so long is a line with encoded words at most.
WORDS_LINE = 76
#: Nobody reads more, and folding takes time.
LONGEST_SUBJECT = 10_000

_ASCII = bytes(range(128))
#: What ends a line somewhere, or does worse.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: These types may not travel as base64 (RFC 2045 §6.4), or not without a boundary of their own.
_NOT_A_FILE = ("message", "multipart")
_ANY_FILE = ("application", "octet-stream")


class Letters:
    """Writes the messages of one content. What all of them share is written once."""

    def __init__(self, content: Content, headers: Sequence[tuple[str, str]]) -> None:
        """`headers`: From and whatever else is not in the content. Raises ValueError when nobody
        could get this content: no text at all, or a header that cannot be one."""
        if content.text is None and content.html is None:
            raise ValueError("the message has neither text nor html")
        self._content = content
        reply_to = [("Reply-To", content.reply_to)] if content.reply_to else []
        shared = [*headers, *reply_to, *content.headers, ("MIME-Version", "1.0")]
        self._head = b"".join([header(name, value) for name, value in shared])
        self._files = [_file(attachment) for attachment in content.attachments]
        # No encoded text or file can hold "=_": it is not in quoted-printable nor in base64.
        self._boundary = f"=_{content.nonce}"

    def write(self, message: Message, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """One person's message; `headers` are theirs alone. Raises ValueError when it cannot be
        written: text that is not Unicode, or a value that a header cannot hold."""
        content = self._content
        personal = zip(content.personal_headers, message.headers, strict=True)
        own = [
            *headers, *personal, ("Subject", subject(fill(content.subject, message.slots))),
        ]  # fmt: skip
        head = [header(name, value) for name, value in own]
        to = f"To: {message.to}".encode() + CRLF  # checked as an address by whoever sends it
        return b"".join([self._head, *head, to, self._body(message), CRLF])

    def _body(self, message: Message) -> bytes:
        content = self._content
        kinds = (("plain", content.text), ("html", content.html))
        texts = [
            _text(kind, fill(parts, message.slots)) for kind, parts in kinds if parts is not None
        ]
        body = (
            texts[0] if len(texts) == 1 else _multipart("alternative", f"{self._boundary}a", texts)
        )
        if not self._files:
            return body
        return _multipart("mixed", f"{self._boundary}m", [body, *self._files])


def header(name: str, value: str) -> bytes:
    """A header field, folded at spaces."""
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"the header {name} holds a character that no header may hold")
    lines = _folded(f"{name}: {value}")
    if max(map(len, lines)) > LONGEST_LINE:
        raise ValueError(f"the header {name} has a word that is longer than a line may be")
    return "\r\n".join(lines).encode() + CRLF


def _folded(field: str) -> list[str]:
    """Lines that give the field again when they are put together (RFC 5322 §2.2.3)."""
    first, *words = field.split(" ")
    lines, line = [], f"{first} {words.pop(0)}"  # a name alone on its line confuses readers
    for word in words:
        if word and len(line) + 1 + len(word) > GOOD_LINE:
            lines.append(line)
            line = ""
        line += f" {word}"
    return [*lines, line]


def subject(text: str) -> str:
    """Text for a header: as it is where that is safe, else as RFC 2047 words. ValueError: it is far
    too long."""
    if len(text) > LONGEST_SUBJECT:
        raise ValueError(f"the subject has {len(text)} characters, {LONGEST_SUBJECT} are allowed")
    line = _CONTROL.sub(" ", text)
    longest = max(map(len, line.split(" ")))
    if line.isascii() and "=?" not in line and line == line.strip() and longest < GOOD_LINE:
        return line
    return _words(line, "Subject")


def mailbox(name: str, email: str) -> str:
    """The value of From."""
    name = _CONTROL.sub(" ", name)
    return formataddr((name, email)) if name.isascii() else f"{_words(name, 'From')} <{email}>"


def _words(text: str, name: str) -> str:
    """Text as RFC 2047 words that fit on lines of the header with this name."""
    header = Header(text, "utf-8", maxlinelen=WORDS_LINE, header_name=name)
    return " ".join(header.encode(linesep="\n").split())


def _text(kind: str, text: str) -> bytes:
    """A part in the encoding that is shorter: base64 would look like a disguise on English text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    foreign = len(lines.translate(None, _ASCII))
    if foreign * 6 > len(lines):
        encoding = "base64"
        body = base64.encodebytes(lines.replace(b"\n", CRLF)).rstrip(b"\n")
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(lines, istext=True)
    head = (
        f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body.replace(b"\n", CRLF)


def _multipart(kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n'
    line = f"\r\n--{boundary}".encode()
    return b"".join([head.encode(), *(line + CRLF + part for part in parts), line + b"--"])


def _file(attachment: Attachment) -> bytes:
    part = MIMEPart(policy=policy.SMTP)
    kind, parameters = _type_of(attachment)
    part.set_content(
        attachment.content, *kind, params=parameters, cte="base64",
        filename=_CONTROL.sub(" ", attachment.filename), disposition="attachment",
    )  # fmt: skip
    return bytes(part).rstrip(CRLF)


def _type_of(attachment: Attachment) -> tuple[tuple[str, str], dict[str, str]]:
    """Type and parameters of a file; a type that cannot be read, or not be a file's, says no more
    than that it is one."""
    read = policy.default.header_factory("content-type", _CONTROL.sub(" ", attachment.content_type))
    if read.defects or read.maintype in _NOT_A_FILE:
        return _ANY_FILE, {}
    return (read.maintype, read.subtype), dict(read.params)
