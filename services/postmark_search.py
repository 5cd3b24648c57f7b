"""Postmark's Messages API: whether it took a message of ours, asked by our send id.

Page: postmarkapp.com/developer/api/messages-api ("Outbound message search", "details").
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from services.esp import EspError, InDoubt, Known, Misconfigured, Throttled, Unavailable
from services.wire import Answer, Wire, begin
from services.words import Redacted, read_json, retry_after

SEARCH = "/messages/outbound"
#: A server keeps its messages for 45 days unless set otherwise; 7 is the least that can be set
#: ("Message retention").
KEPT_DAYS = 7.0
#: Events of a message that show that the receiving server took it.
ARRIVED = frozenset({"Delivered", "Opened", "LinkClicked"})


class Search:
    """Looks for one message at a time: Postmark takes one metadata field per query."""

    def __init__(self, server_token: str, base_url: str, seconds: float, words: Redacted) -> None:
        """`seconds` is the total deadline of a request; `words` cleans what Postmark says."""
        self._wire = Wire(base_url, seconds)
        self._root = urlsplit(base_url).path.rstrip("/")
        self._seconds = seconds
        self._words = words
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "X-Postmark-Server-Token": server_token,
        }

    def look_up(self, send_id: str, stream: str) -> Known | None:
        """The message; None = there is none. Raises EspError when Postmark does not say."""
        query = {
            # Without a stream Postmark searches the default one only.
            "count": "1", "offset": "0", "metadata_send_id": send_id, "messagestream": stream,
        }  # fmt: skip
        found = self._ask(f"{SEARCH}?{urlencode(query)}")
        total, messages = found.get("TotalCount"), found.get("Messages")
        if not isinstance(messages, list) or not isinstance(total, int):
            raise InDoubt("the answer to a search does not name messages", code="200")
        if total == 0 and not messages:
            return None
        ours = [each.get("MessageID") for each in messages if _send_id_of(each) == send_id]
        message_id = ours[0] if ours else None
        if not isinstance(message_id, str) or not message_id:
            # A filter that was not understood would find anybody's.
            raise InDoubt("the answer to a search does not name our message", code="200")
        return Known(message_id, self._arrived(message_id))

    def _arrived(self, message_id: str) -> bool:
        """What came of it, where Postmark tells: under review it knows the message but shows no
        details (422, 701)."""
        try:
            told = self._ask(f"{SEARCH}/{quote(message_id, safe='')}/details")
        except EspError:
            return False
        events = told.get("MessageEvents")
        found = events if isinstance(events, list) else []
        return any(isinstance(event, dict) and event.get("Type") in ARRIVED for event in found)

    def _ask(self, path: str) -> Mapping[str, Any]:
        get = begin(
            lambda: self._wire.request("GET", self._root + path, self._headers, None), self._seconds
        )
        answer = get.answer()
        if isinstance(answer, EspError):
            raise answer
        told = read_json(answer.body)
        if answer.status == 200 and isinstance(told, dict):
            return told
        raise self._error(answer, told if isinstance(told, dict) else {})

    def _error(self, answer: Answer, told: Mapping[str, Any]) -> EspError:
        words = self._words(told.get("Message")) or "no answer to a search"
        code = str(told.get("ErrorCode", answer.status))
        if answer.status == 429:
            return Throttled(words, code="429", retry_after=retry_after(answer.headers))
        if answer.status in (401, 403, 404, 422):
            return Misconfigured(words, code=code)
        return Unavailable(words, code=str(answer.status))


def _send_id_of(message: Any) -> Any:
    metadata = message.get("Metadata") if isinstance(message, dict) else None
    return metadata.get("send_id") if isinstance(metadata, dict) else None
