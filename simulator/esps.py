"""The three ESPs side by side: what the server and the mailbox ask of each one's module."""

from collections.abc import Callable
from typing import Protocol

from simulator import postmark, sendgrid, ses
from simulator.faults import Fault
from simulator.state import State
from simulator.wire import Answer, Mail, Request, Route, Stored, match_route


class Esp(Protocol):
    """One ESP: its routing table, its words for trouble, and how its messages read."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 - a module's constant
    @property
    def ROUTES(self) -> tuple[Route, ...]: ...  # noqa: N802
    @property
    def refusal(self) -> Callable[[str, Fault, State, Request], Answer]: ...
    @property
    def not_found(self) -> Callable[[Request, bool], Answer]: ...
    @property
    def mail_of(self) -> Callable[[State, Stored], Mail]: ...
    @property
    def owns(self) -> Callable[[Stored, str], bool | None]: ...
    @property
    def message_id(self) -> Callable[[State, Stored], str]: ...


ESPS: dict[str, Esp] = {"sendgrid": sendgrid, "ses": ses, "postmark": postmark}


def find(request: Request) -> tuple[Esp, Route | None, bool]:
    """The ESP and route of a request, and whether the path is known under another method.

    An unknown path belongs to the ESP whose prefix it has, and is answered in its words.
    """
    for esp in ESPS.values():
        route, found, known = match_route(esp.ROUTES, request.method, request.path)
        if route is not None and found is not None:
            request.matched = found.groups()
            return esp, route, True
        if known:
            return esp, None, True
    for prefix, esp in (("/v3/", ESPS["sendgrid"]), ("/v2/", ESPS["ses"])):
        if request.path.startswith(prefix):
            return esp, None, False
    return ESPS["postmark"], None, False
