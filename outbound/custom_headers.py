"""Headers that an author may add to a message: a short list, the same value for everybody.

Everything else is ours or the ESP's: who it is from and to, how to leave the list, what is signed.
Priority marks are left out on purpose: filters count them against bulk mail.
"""

import re
from collections.abc import Mapping

from utils.errors import FieldError

#: Lower case -> as it is written. Every ESP takes these as they are; the simulator refuses what
#: SendGrid ("Mail Send", headers) and SES ("MessageHeader") say that they refuse.
ALLOWED = {
    name.lower(): name
    for name in (
        "X-Entity-Ref-ID",  # Gmail groups mails that look alike unless this differs
        "In-Reply-To", "References",  # RFC 5322 §3.6.4: a conversation that goes on
        "Auto-Submitted",  # RFC 3834 §5: no automatic answer, please
        "X-Auto-Response-Suppress",  # the same for Exchange (MS-OXCMAIL §2.2.3.2.14)
        "Organization",  # RFC 4021 §2.1.36
    )
}  # fmt: skip
#: SES takes 995 characters; SMTP 998 in a line, and a word cannot be folded.
LONGEST = 900
_PRINTABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


def problems(headers: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with them."""
    found = []
    seen: set[str] = set()
    for name, value in headers.items():
        field = f"headers.{name}" if name.isprintable() else "headers"
        if name.lower() not in ALLOWED:
            allowed = ", ".join(ALLOWED.values())
            found.append(FieldError(field, f"not one of those that may be set: {allowed}"))
        elif name.lower() in seen:
            found.append(FieldError(field, "is there twice, in two spellings"))
        elif len(value) > LONGEST:
            found.append(FieldError(field, f"longer than {LONGEST} characters"))
        elif not _PRINTABLE.fullmatch(value):
            words = "must be one line of printable ASCII, without blanks around it"
            found.append(FieldError(field, words))
        seen.add(name.lower())
    return found


def written(headers: Mapping[str, str]) -> dict[str, str]:
    """As they are kept and sent; in a draft there may be such as are not allowed."""
    return {ALLOWED.get(name.lower(), name): value for name, value in headers.items()}
