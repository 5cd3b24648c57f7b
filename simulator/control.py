"""The simulator's own routes under `/_`: keys, faults, mailbox, numbers; speaks no ESP's API."""

import time
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import urlsplit

import orjson

from simulator import mailbox, outbox, webhooks
from simulator.esps import ESPS
from simulator.faults import KINDS
from simulator.state import LOOPBACK, State
from simulator.wire import Answer, Json, Request, answer

STARTED = time.time()


def serve(state: State, request: Request) -> Answer:
    """Find the route; a browser that was lured here under another host name gets nothing."""
    if urlsplit(f"//{request.headers.get('Host', 'localhost')}").hostname not in LOOPBACK:
        return answer(403, {"error": "the control API answers to loopback names only"})
    words = request.path.rstrip("/").split("/")[1:]
    method = "GET" if request.method == "HEAD" else request.method
    found = ROUTES.get((method, words[0]))
    if found is None or len(words) > (2 if words[0] == "_faults" else 1):
        return answer(404, {"error": f"unknown route {method} {request.path}", "routes": NAMES})
    try:
        request.matched = tuple(words[1:])
        return found(state, request)
    except (ValueError, TypeError) as problem:
        return answer(422, {"error": str(problem)})


def _json(request: Request) -> Json:
    try:
        return orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as problem:
        raise ValueError(f"not JSON: {problem}") from None


def _refuse(wrong: list[str]) -> Answer:
    return answer(422, {"error": "; ".join(wrong)})


def health(state: State, _request: Request) -> Answer:
    return answer(200, {"status": "ok", "url": state.url, "up_seconds": time.time() - STARTED})


def show_keys(state: State, _request: Request) -> Answer:
    return answer(200, state.keys.published(state.url, state.smtp))


def order_fault(state: State, request: Request) -> Answer:
    fault, wrong = state.faults.order(_json(request))
    return _refuse(wrong) if fault is None else answer(201, fault.show() | {"active": True})


def show_faults(state: State, _request: Request) -> Answer:
    return answer(200, {"items": state.faults.show(), "kinds": list(KINDS)})


def clear_faults(state: State, request: Request) -> Answer:
    number = int(request.matched[0]) if request.matched else None
    gone = state.faults.clear(number)
    if number is not None and not gone:
        return answer(404, {"error": f"there is no fault {number}"})
    return answer(200, {"cleared": gone})


def show_webhooks(state: State, _request: Request) -> Answer:
    confirmed = state.log.get("sns_confirmed") is not None
    pending = outbox.pending(state.log)
    return answer(200, asdict(state.webhooks) | {"sns_confirmed": confirmed, "pending": pending})


def change_webhooks(state: State, request: Request) -> Answer:
    wrong = state.webhooks.change(_json(request))
    if wrong:
        return _refuse([f"{name}: unknown or not a possible value" for name in wrong])
    state.save()
    return show_webhooks(state, request)


def subscribe(state: State, _request: Request) -> Answer:
    """Greet the target as SNS does; the product is expected to confirm."""
    return answer(200, {"answered": webhooks.subscribe(state)})


def show_limits(state: State, _request: Request) -> Answer:
    return answer(200, state.meters.dump())


def change_limits(state: State, request: Request) -> Answer:
    wrong = state.meters.change(_json(request))
    if wrong:
        return _refuse([f"{name}: unknown" for name in wrong])
    state.save()
    return show_limits(state, request)


def messages(state: State, request: Request) -> Answer:
    items, cursor = mailbox.page(state.log, request.query)
    shown = [mailbox.show(state, ESPS[message.esp], message) for message in items]
    return answer(200, {"items": shown, "next_cursor": cursor})


def ledger(state: State, request: Request) -> Answer:
    return answer(200, {"items": mailbox.ledger(state.log, request.query)})


def events(state: State, request: Request) -> Answer:
    items, cursor = mailbox.posted(state.log, request.query)
    return answer(200, {"items": items, "next_cursor": cursor})


def stats(state: State, _request: Request) -> Answer:
    return answer(200, mailbox.stats(state))


def reset(state: State, _request: Request) -> Answer:
    """Empty log, outbox and counters, switch faults off; keys, limits and settings stay."""
    state.log.reset()
    state.meters.reset()
    state.faults.clear()
    return answer(200, {"reset": True})


ROUTES: dict[tuple[str, str], Callable[[State, Request], Answer]] = {
    ("GET", "_health"): health,
    ("GET", "_keys"): show_keys,
    ("POST", "_faults"): order_fault,
    ("GET", "_faults"): show_faults,
    ("DELETE", "_faults"): clear_faults,
    ("GET", "_webhooks"): show_webhooks,
    ("PATCH", "_webhooks"): change_webhooks,
    ("POST", "_subscribe"): subscribe,
    ("GET", "_limits"): show_limits,
    ("PATCH", "_limits"): change_limits,
    ("GET", "_messages"): messages,
    ("GET", "_ledger"): ledger,
    ("GET", "_events"): events,
    ("GET", "_stats"): stats,
    ("POST", "_reset"): reset,
}
NAMES = [f"{method} /{name}" for method, name in ROUTES]
