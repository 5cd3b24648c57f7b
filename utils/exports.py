"""Exports of other systems, recognised by their columns: what each row really says about a person's
status, and what must be warned of.

A rule here only makes people less reachable than the row alone would.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Cells = dict[str, Any]
#: A row in our words, and the status that the person has at least (lifecycle.further).
Adapted = tuple[Cells, str | None]

_FILE_STATUS = re.compile(r"(non-?subscribed|unsubscribed|cleaned)_", re.IGNORECASE)
_LISTMONK = (
    "This is listmonk's export of subscribers. It does not say who unsubscribed from a list "
    "(https://github.com/knadh/listmonk/issues/2855): such people are `enabled` in it and become "
    "active. In listmonk open Lists, click the number of unsubscribed ones of each list, export "
    "them, and import those files with status=unsubscribed. Do that before the next campaign, best "
    "before this import: an opt-out is never lifted by an import, whichever comes first."
)
_MAILCHIMP = (
    "This is Mailchimp's export of one group of contacts. Only the name of the file says that they "
    "are subscribed: import the file of non-subscribed contacts with status=pending, and the files "
    "of unsubscribed and cleaned contacts as well."
)


@dataclass(frozen=True)
class Export:
    """One system's export."""

    name: str  #: "" = a list that nobody is known for
    adapt: Callable[[Cells], Adapted]
    warnings: tuple[str, ...] = ()


PLAIN = Export("", lambda cells: (cells, None))


def recognise(columns: Iterable[str], file_name: str = "") -> Export:
    """Whose export has these columns. `file_name`, if it is known, is where Mailchimp says which
    status its rows have."""
    names = {re.sub(r"[\s\-]+", "_", name.strip()).casefold(): name for name in columns}
    if {"attributes", "topic_opt_outs"} <= names.keys():
        return Export("own", _own)
    if {"uuid", "email", "status"} <= names.keys() and names.keys() & {"attributes", "attribs"}:
        return _listmonk(names)
    if "member_rating" in names and names.keys() & {"euid", "leid", "optin_time", "confirm_time"}:
        return _mailchimp(names, file_name)
    return PLAIN


#: A cell that a spreadsheet would run begins so (OWASP "CSV Injection"); the last one is what
#: `shown` itself puts in front.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def shown(cell: str) -> str:
    """A cell of our own export, which a spreadsheet shows instead of running."""
    return f"'{cell}" if cell.startswith(DANGEROUS) else cell


def _own(cells: Cells) -> Adapted:
    """What `shown` did to a CSV's cells is undone; in JSON, attributes are no text."""
    if any(isinstance(cell, dict) for cell in cells.values()):
        return cells, None
    return {name: _unshown(cell) for name, cell in cells.items()}, None


def _unshown(cell: Any) -> Any:
    marked = isinstance(cell, str) and cell[:1] == "'" and cell[1:].startswith(DANGEROUS)
    return cell[1:] if marked else cell


def _listmonk(names: Mapping[str, str]) -> Export:
    """CSV of the subscribers' page (uuid, email, name, attributes, status, created_at, updated_at),
    or JSON of GET /api/subscribers, which also has each list with the person's subscription."""
    status, lists = names["status"], names.get("lists", "lists")
    dropped = {names[name] for name in ("id", "updated_at") if name in names}

    def adapt(cells: Cells) -> Adapted:
        kept = {name: cell for name, cell in cells.items() if name not in dropped}
        alone = kept.pop(names.get("subscription_status", ""), None)
        of = kept.get(lists)
        if not isinstance(of, list) or not all(map(_is_list, of)):
            return kept, "unsubscribed" if alone == "unsubscribed" else None
        del kept[lists]
        kept["tags"] = [one["name"] for one in of]
        kept["topic_opt_outs"] = [one["name"] for one in of if _left(one)]
        if of and all(map(_left, of)):
            return kept, "unsubscribed"
        if of and all(_left(one) or _unconfirmed(one) for one in of) and kept[status] == "enabled":
            kept[status] = "pending"
        return kept, None

    return Export("listmonk", adapt, () if "lists" in names else (_LISTMONK,))


def _is_list(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("name"), str)


def _left(one: Mapping[str, Any]) -> bool:
    return one.get("subscription_status") == "unsubscribed"


def _unconfirmed(one: Mapping[str, Any]) -> bool:
    """On a list of single opt-in `unconfirmed` is what everybody is."""
    return one.get("subscription_status") == "unconfirmed" and one.get("optin") == "double"


def _mailchimp(names: Mapping[str, str], file_name: str) -> Export:
    """One CSV file per status: MEMBER_RATING, OPTIN_TIME, OPTIN_IP, CONFIRM_TIME, CONFIRM_IP, …,
    LEID, EUID, NOTES, TAGS; UNSUB_TIME … or CLEAN_TIME … where that happened."""
    unsub, clean = names.get("unsub_time", ""), names.get("clean_time", "")
    consent = [names[name] for name in ("optin_time", "confirm_time") if name in names]
    status = names.get("status", "status")
    found = _FILE_STATUS.search(file_name)
    group = found[1].lower().replace("-", "") if found else ""
    floor = {"unsubscribed": "unsubscribed", "cleaned": "bounced"}.get(group)

    def adapt(cells: Cells) -> Adapted:
        if floor == "unsubscribed" or cells.get(unsub):
            return cells, "unsubscribed"
        if floor or cells.get(clean):
            return cells, "bounced"
        never = group == "nonsubscribed" or not any(cells.get(name) for name in consent)
        return ({**cells, status: "pending"} if never and not cells.get(status) else cells), None

    told = group or "status" in names or unsub or clean
    return Export("mailchimp", adapt, () if told else (_MAILCHIMP,))
