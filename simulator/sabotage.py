"""What a fault does to an answer on its way out: pure bytes and words, no socket."""

import traceback
from http import HTTPStatus

from simulator.esps import Esp
from simulator.faults import ANSWER, Fault
from simulator.state import State
from simulator.wire import Answer, Request, Route

# What a load balancer in front of any of the three would say.
GATEWAYS = {"error_502": (502, "Bad Gateway"), "error_504": (504, "Gateway Time-out")}
JUNK = b"<html><head><title>Welcome</title></head><body>proxy error</body></html>"
BUG = b'{"simulator":"this is a bug of the simulator; see its output"}'


def answer(
    state: State, esp: Esp, route: Route | None, known: bool, request: Request, fault: Fault | None
) -> Answer:
    """The ESP's answer, or the one that a fault puts in its place; mail is taken or not with it."""
    instead = None
    if fault is not None and fault.when == ANSWER:
        instead = _instead(state, esp, request, fault)
    if fault is not None and not fault.takes_mail:
        # Nothing is taken; a fault on the wire has no answer to break.
        return instead or Answer(HTTPStatus.SERVICE_UNAVAILABLE)
    if route is None:
        return instead or esp.not_found(request, known)
    try:
        own = route.serve(state, request)
    except Exception:  # noqa: BLE001 - a bug here must show as an answer, not as a dead connection
        traceback.print_exc()
        own = Answer(500, BUG)
    return instead or own


def _instead(state: State, esp: Esp, request: Request, fault: Fault) -> Answer:
    if fault.kind in GATEWAYS:
        status, words = GATEWAYS[fault.kind]
        page = f"<html><head><title>{status} {words}</title></head><body>{words}</body></html>"
        return Answer(status, page.encode(), content_type="text/html")
    kind = "error_500" if fault.kind == "accepted_500" else fault.kind
    return esp.refusal(kind, fault, state, request)


def spoiled(answered: Answer, fault: Fault) -> Answer:
    """A whole answer that says nothing useful."""
    if fault.kind == "empty_200":
        return Answer(200)
    return Answer(answered.status, JUNK, content_type="text/html")


def raw(answered: Answer) -> bytes:
    """The answer as it would stand on the wire."""
    phrase = HTTPStatus(answered.status).phrase
    headers = (*answered.headers, ("Content-Length", str(len(answered.body))))
    if answered.body:
        headers = (("Content-Type", answered.content_type), *headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answered.status} {phrase}\r\n{lines}\r\n".encode() + answered.body


def cut(answered: Answer) -> bytes:
    """Half of the body, or half of the head where there is no body."""
    head, gap, body = raw(answered).partition(b"\r\n\r\n")
    return head + gap + body[: len(body) // 2] if body else head[: len(head) // 2]
