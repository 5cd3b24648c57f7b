"""Turns a campaign's row into something that renders people. Compiles once per process.

A launched campaign's content never changes (contract §3), so what is compiled may be kept; what is
sent once is not.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import campaigns
from database.models import SINGLE, CampaignKind
from database.sends import Picked
from mail.compiled import Compiled
from mail.content import Campaign, Sender, Source, compile_campaign
from mail.message import Attachment, Content, Message
from mail.renderer import Urls

#: Compiled campaigns kept in memory: a 60 kB newsletter takes about half a megabyte.
KEPT = 16


class Rendered(NamedTuple):
    """A campaign's content and, for each person in order, a message or why there is none."""

    content: Content
    results: Sequence[Message | Exception]


Render = Callable[[Sequence[Picked]], Rendered]


class Unrenderable(Exception):
    """A campaign that can be rendered for nobody; the text says why."""


class Composer:
    """Compiles campaigns by what their rows say and by who we are. Thread-safe."""

    def __init__(
        self, urls: Urls, *, postal_address: str, unsubscribe_mailto: str | None = None
    ) -> None:
        """`urls` knows where our public pages are and signs their tokens."""
        self._urls = urls
        self._postal_address = postal_address
        self._mailto = unsubscribe_mailto
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def compose(self, connection: sa.Connection, campaign_id: int, nonce: str) -> Render:
        """What renders people of this campaign, without the database. It is read now when it is
        not at hand, and compiled later, when no transaction waits for that: raises Unrenderable."""
        kept = self._at_hand(nonce)
        row = None if kept else campaigns.get(connection, campaign_id)

        def render(people: Sequence[Picked]) -> Rendered:
            try:
                compiled = kept or self.launched(row or {})
                return Rendered(compiled.content, compiled.render_many(people))
            except Exception as fault:
                raise Unrenderable(f"{type(fault).__name__}: {fault}") from fault

        return render

    def launched(self, row: Mapping[Any, Any]) -> Compiled:
        """The compiled form of a campaign that can no longer be edited."""
        kept = self._at_hand(row["nonce"])
        if kept is not None:
            return kept
        compiled = self.compile(row)
        if row["kind"] in SINGLE:
            return compiled
        with self._lock:
            self._kept[row["nonce"]] = compiled
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return compiled

    def _at_hand(self, nonce: str) -> Compiled | None:
        with self._lock:
            if nonce in self._kept:
                self._kept.move_to_end(nonce)
            return self._kept.get(nonce)

    def compile(self, row: Mapping[Any, Any]) -> Compiled:
        """Compile the columns of a `campaigns` row. Raises TemplateError."""
        options = row["options"]
        return compile_campaign(
            Source(
                row["subject"], row["html"], row["text"],
                track_opens=options.get("track_opens", True),
                track_clicks=options.get("track_clicks", True),
                allow_missing=options.get("allow_missing", False),
                preheader=options.get("preheader"),
                headers=tuple(options.get("headers", {}).items()),
            ),
            campaign=Campaign(
                row["id"], row["nonce"], row["name"], row["topic"], CampaignKind(row["kind"]),
                _label(row),
            ),
            sender=Sender(
                row["from_email"], row["from_name"], row["reply_to"],
                self._postal_address, self._mailto,
            ),
            urls=self._urls,
            attachments=tuple(
                Attachment(one["filename"], one["content_type"], base64.b64decode(one["content"]))
                for one in row.get("attachments") or ()
            ),
        )  # fmt: skip


def _label(row: Mapping[Any, Any]) -> str | None:
    """The first tag of a single mail, else its kind."""
    if row["kind"] not in SINGLE:
        return None
    tags: Sequence[str] = row["options"].get("tags") or ()
    return tags[0] if tags else str(row["kind"])
