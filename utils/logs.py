"""One event a line, for people or for machines, without secrets and without whole addresses.

What must not be shown is removed from the finished line, so that no caller can forget it.
"""

import json
import logging
import re
import sys
from collections.abc import Collection
from contextvars import ContextVar
from datetime import UTC, datetime
from urllib.parse import quote

#: The request that is being answered; empty outside one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

REMOVED = "[secret]"
#: Enough of an address to recognise it in a list, not enough to write to.
_ADDRESS = re.compile(r"([\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]*@([\w-]+(\.[\w-]+)+)")
#: What moves a terminal's cursor or begins a line: somebody else's words may hold it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Libraries that say at INFO what only their authors want to know.
_QUIET = ("alembic", "huey", "urllib3", "botocore", "boto3", "python_http_client", "werkzeug")


def _spellings(secret: str) -> set[str]:
    """As it is, in an address, and as JSON and `repr` write it, alone or one within the other."""
    once = {secret, *_written(secret)}
    return {quote(secret, safe=""), *once, *(form for part in once for form in _written(part))}


def _written(text: str) -> tuple[str, ...]:
    doubled = text.replace("\\", "\\\\")
    return (doubled, json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])


class Redactor:
    """Removes configured secrets by their value, wherever they stand."""

    def __init__(self, secrets: Collection[str]) -> None:
        forms = {form for secret in secrets for form in _spellings(secret)}
        longest_first = sorted((form for form in forms if form), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def clean(self, text: str) -> str:
        """The text without any secret."""
        return self._pattern.sub(REMOVED, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def masked(text: str) -> str:
    """Addresses as `a…@example.com`."""
    return _ADDRESS.sub(r"\1…@\2", text)


class LineFormatter(logging.Formatter):
    """What both formats share: secrets out, addresses masked from INFO up, one line each."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        text = self._redactor.clean(self.line(record))
        return masked(text) if record.levelno >= logging.INFO else text

    def line(self, record: logging.LogRecord) -> str:
        """For people: time, level, logger, message, then the fields; a traceback follows below."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        where = f" [{request_id.get()}]" if request_id.get() else ""
        extra = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        told = _CONTROL.sub(_escape, f"{record.getMessage()}{extra}")
        line = f"{moment} {record.levelname:<7} {record.name}{where}: {told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(LineFormatter):
    """For machines: one JSON object a line."""

    def line(self, record: logging.LogRecord) -> str:
        """The object."""
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": request_id.get()} if request_id.get() else {}),
            **fields_of(record),
            **({"error": self.formatException(record.exc_info)} if record.exc_info else {}),
        }
        return json.dumps(event, ensure_ascii=False, default=str)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def configure(form: str, secrets: Collection[str], level: int = logging.INFO) -> None:
    """Send everything that is logged to standard error, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if form == "json" else LineFormatter
    handler.setFormatter(formatter(Redactor(secrets)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
