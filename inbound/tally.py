"""What events add to the counters of campaigns and ESPs, each event once, each row in one order
everywhere, so that two calls never wait for each other in a circle."""

from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa

from database import engagement, events, ledger
from database import esp_performance as performance
from database.events import OWN, Key
from database.models import BounceKind, EventKind
from database.send_acts import SendRow
from inbound.evidence import Met

#: The ESP's counter that an event moves; bounces count by kind, opens and clicks if human.
_ESP_COUNTERS = {
    EventKind.DELIVERED: "delivered",
    EventKind.DEFERRED: "deferred",
    EventKind.COMPLAINT: "complained",
}
_OPTION = {EventKind.OPEN: "track_opens", EventKind.CLICK: "track_clicks"}
_ACT_COUNTERS = {EventKind.OPEN: "opened", EventKind.CLICK: "clicked"}
_PLURAL = {EventKind.OPEN: "opens", EventKind.CLICK: "clicks"}
_FIRST = {EventKind.OPEN: "opened_at", EventKind.CLICK: "clicked_at"}


def without_double_tracking(connection: sa.Connection, ours: list[Met]) -> list[Met]:
    """An ESP's open or click counts only where we do not track it ourselves."""
    told = {
        one.send.campaign_id
        for one in ours
        if one.send and one.event.kind in _OPTION and one.event.esp != OWN
    }
    if not told:
        return ours
    options = events.tracking(connection, told)

    def counts(one: Met) -> bool:
        option = _OPTION.get(one.event.kind)
        if option is None or one.event.esp == OWN or one.send is None:
            return True
        return not options[one.send.campaign_id].get(option, True)

    return [one for one in ours if counts(one)]


def count(connection: sa.Connection, counted: list[Met], now: float) -> None:
    """Move the counters of campaigns and ESPs, each in one order everywhere."""
    by_campaign: dict[int, Counter[str]] = {}
    by_esp: dict[str, Counter[str]] = {}
    leaving = _leaving(connection, counted)
    for one in counted:
        row = one.send
        if row is None:
            continue
        if name := _campaign_counter(one, leaving):
            by_campaign.setdefault(row.campaign_id, Counter())[name] += 1
        esp = row.esp if one.event.esp == OWN else one.event.esp
        if esp and (name := _esp_counter(one, leaving)):
            by_esp.setdefault(esp, Counter())[name] += 1
    for kind, column in _FIRST.items():
        new = engagement.first_acts(connection, column, _first(counted, kind))
        for campaign, number in new.items():
            by_campaign.setdefault(campaign, Counter())[f"unique_{_PLURAL[kind]}"] += number
    for campaign in sorted(by_campaign):
        ledger.count_engagement(connection, campaign, by_campaign[campaign])
    for esp in sorted(by_esp):
        performance.count(connection, esp, by_esp[esp], now)


def _leaving(connection: sa.Connection, counted: Iterable[Met]) -> set[Key]:
    """The unsubscribe events that count: the first of each send, ever."""
    told: dict[SendRow, list[Key]] = {}
    for one in counted:
        if one.send and one.event.kind is EventKind.UNSUBSCRIBE:
            told.setdefault(one.send, []).append(one.key)
    return {keys[0] for row, keys in told.items() if _is_first(connection, row, len(keys))}


def _is_first(connection: sa.Connection, row: SendRow, new: int) -> bool:
    """Whether nobody unsubscribed by this send before; `new` are stored already."""
    seen = events.unsubscribes(connection, row.id, row.campaign_id, row.subscriber_id)
    return seen == 0 if row.subscriber_id is None else seen <= new


def _first(counted: Iterable[Met], kind: EventKind) -> dict[int, float]:
    """The earliest human act of that kind, by send."""
    firsts: dict[int, float] = {}
    for one in counted:
        if one.send and one.event.kind is kind and one.human:
            at = events.stored_time(one.event.at)
            firsts[one.send.id] = min(at, firsts.get(one.send.id, at))
    return firsts


def _campaign_counter(one: Met, leaving: set[Key]) -> str | None:
    kind = one.event.kind
    if kind in _PLURAL:
        return f"{_PLURAL[kind]}_{one.label}"
    if kind is EventKind.UNSUBSCRIBE:
        return "unsubscribes" if one.key in leaving else None
    return "replies" if kind is EventKind.REPLY else None


def _esp_counter(one: Met, leaving: set[Key]) -> str | None:
    kind = one.event.kind
    if kind is EventKind.BOUNCE:
        return one.event.bounce or BounceKind.SOFT
    if kind in _ACT_COUNTERS:
        return _ACT_COUNTERS[kind] if one.human else None
    if kind is EventKind.UNSUBSCRIBE:
        return "unsubscribed" if one.key in leaving else None
    return _ESP_COUNTERS.get(kind)
