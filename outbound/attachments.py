"""What files may travel with a transactional mail: their names, types, bytes and sum."""

import binascii
import re
from collections.abc import Mapping, Sequence

from mail.message import Content, Message, fill
from utils.errors import FieldError

MOST = 20
#: The smallest of the ESPs' limits, so that every one of them can take over: Postmark's 10 MB for
#: a message with its files in base64 (postmarkapp.com/developer/api/email-api), less a margin.
LARGEST_MESSAGE = 9_800_000
#: docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html
LONGEST_NAME, LONGEST_TYPE = 255, 78
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
_PATH = frozenset("/\\")


def problems(files: Sequence[Mapping[str, str]]) -> list[FieldError]:
    """Every field that is wrong, by the name that the caller used."""
    found = []
    if len(files) > MOST:
        found.append(FieldError("attachments", f"more than {MOST} files"))
    for number, file in enumerate(files[:MOST]):
        for field, check in _CHECKS.items():
            wrong = check(file[field])
            if wrong:
                found.append(FieldError(f"attachments.{number}.{field}", wrong))
    if not found and sum(len(file["content"]) for file in files) > LARGEST_MESSAGE:
        found.append(FieldError("attachments", _TOO_LARGE))
    return found


def too_large(content: Content, message: Message) -> list[FieldError]:
    """The message as a whole, files and parts together."""
    parts = [fill(part, message.slots) for part in (content.html, content.text) if part]
    files = sum((len(file.content) + 2) // 3 * 4 for file in content.attachments)
    if files + sum(len(part.encode()) for part in parts) <= LARGEST_MESSAGE:
        return []
    return [FieldError("attachments" if files else "html", _TOO_LARGE)]


_TOO_LARGE = (
    f"the message is larger than {LARGEST_MESSAGE:,} bytes with its files in base64, which not "
    "every ESP takes: put the file where it can be downloaded, and send the link"
)


def _name(value: str) -> str:
    if not value.strip() or value.strip(".") == "":
        return "must name the file"
    if len(value) > LONGEST_NAME:
        return f"longer than {LONGEST_NAME} characters"
    if not value.isprintable() or _PATH & set(value):
        return "must be the file's name on one line, without a path"
    return ""


def _type(value: str) -> str:
    fine = len(value) <= LONGEST_TYPE and _TYPE.fullmatch(value)
    return "" if fine else "must be a type like application/pdf"


def _content(value: str) -> str:
    try:
        size = len(binascii.a2b_base64(value, strict_mode=True))
    except ValueError:  # binascii.Error, or letters outside ASCII
        return "must be base64 (RFC 4648 §4) without line breaks"
    return "" if size else "the file is empty"


_CHECKS = {"filename": _name, "content_type": _type, "content": _content}
