"""GET /metrics for Prometheus: everything is asked of the database at the moment of the scrape."""

from collections.abc import Iterator

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from database import metrics
from outbound.esp_control import EspControl, Status
from web.context import House, house

#: Breaker states as numbers, for graphs.
BREAKER = {"closed": 0, "half_open": 1, "open": 2, "ramp": 3}

blueprint = APIBlueprint("metrics", __name__, abp_tags=[{"name": "health"}])


@blueprint.get(
    "/metrics", responses={200: {"description": "Prometheus text", "content": {"text/plain": {}}}}
)
def scrape() -> Response:
    """Sends, campaigns, ESPs, queue and process as numbers."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(Ledger(house()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Ledger(Collector):
    """The house in numbers."""

    def __init__(self, parts: House) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """One reading transaction, and one for the ESPs."""
        parts, now = self._parts, self._parts.clock()
        with parts.db.read() as connection:
            seen = metrics.snapshot(connection)
        yield _gauge("email_sends", "Sends by state.", "state", seen.sends)
        yield _gauge("email_campaigns", "Campaigns by state.", "state", seen.campaigns)
        yield _gauge("email_subscribers", "Subscribers by status.", "status", seen.subscribers)
        oldest = seen.oldest_queued_at
        yield GaugeMetricFamily(
            "email_queue_age_seconds", "Age of the oldest campaign with something queued.",
            value=max(0.0, now - oldest) if oldest else 0.0,
        )  # fmt: skip
        age = _heartbeat(parts)
        if age is not None:
            yield GaugeMetricFamily("email_worker_heartbeat_age_seconds", "Since any sweep.", age)
        yield from _esps(parts)
        yield _events(seen)


def _gauge(name: str, words: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, number in values.items():
        family.add_metric([key], number)
    return family


def _events(seen: metrics.Snapshot) -> Metric:
    """Includes `refused`: webhook calls that were not authentic."""
    family = CounterMetricFamily(
        "email_esp_events", "What was counted about an ESP.", labels=["esp", "event"]
    )
    for esp, counters in seen.esps.items():
        for event, number in counters.items():
            family.add_metric([esp, event], number)
    return family


def _esps(parts: House) -> Iterator[Metric]:
    control = EspControl(parts.db, parts.manager, parts.settings.esp_names, parts.clock)
    statuses = control.statuses()
    used = GaugeMetricFamily("email_esp_used_today", "Messages today (UTC).", labels=["esp"])
    limit = GaugeMetricFamily("email_esp_daily_limit", "+Inf: none.", labels=["esp"])
    breaker = GaugeMetricFamily(
        "email_esp_breaker", "0 closed, 1 half open, 2 open, 3 coming back.", labels=["esp"]
    )
    for status in statuses:
        labels = [status.name]
        used.add_metric(labels, status.record.used_today)
        limit.add_metric(labels, _limit(status))
        breaker.add_metric(labels, BREAKER[status.state])
    yield from (used, limit, breaker)


def _limit(status: Status) -> float:
    return float("inf") if status.daily_limit is None else float(status.daily_limit)


def _heartbeat(parts: House) -> float | None:
    """None when the queue cannot be read: /ready says so, and a scrape still has the rest."""
    try:
        return parts.heartbeat_age()
    except Exception:  # noqa: BLE001 - whatever the queue store raises
        return None
