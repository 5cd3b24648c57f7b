"""Postmark's error answers and its check of the token; knows no operation.

Pages: "API overview: authentication", "API overview: error codes".
"""

import hmac

from simulator.faults import Fault
from simulator.postmark_rules import INACTIVE, NO_SENDER, NOT_ALLOWED, Problem
from simulator.state import State
from simulator.wire import Answer, Request, answer

NAME = "postmark"
# Known to everyone ("Sending a test email"): validates, and sends nothing.
TEST_TOKEN = "POSTMARK_API_TEST"  # noqa: S105
ANONYMOUS = (
    "No Account or Server API tokens were supplied in the HTTP headers. Please add a header for "
    "either X-Postmark-Server-Token or X-Postmark-Account-Token."
)
UNKNOWN = "Request does not contain a valid Server token."
NO_SIGNATURE = "The 'From' address you supplied{} is not a Sender Signature on your account."
NO_CREDITS = "Not allowed to send: you ran out of credits."
MAINTENANCE = "The Postmark API is offline for maintenance."
TOO_LARGE = "Request entity too large."
TOO_MANY_REQUESTS = "Too many requests."


def error(
    status: int, code: int, message: str, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    return answer(status, Problem(code, message).json(), headers)


def dry(request: Request) -> bool:
    """Whether the request only wants to be judged."""
    return request.headers.get("X-Postmark-Server-Token", "") == TEST_TOKEN


def unauthorised(state: State, request: Request) -> Answer | None:
    """The refusal of a request without a valid token or not in JSON, else None."""
    token = request.headers.get("X-Postmark-Server-Token", "")
    if not token:
        return error(401, 10, ANONYMOUS)
    if not dry(request) and not hmac.compare_digest(token, state.keys.postmark_server_token):
        return error(401, 10, UNKNOWN)
    accept = request.headers.get("Accept", "*/*")
    if "json" not in accept and "*/*" not in accept:
        return error(415, 409, "The 'Accept' header must be application/json.")
    if request.method != "GET" and "json" not in request.headers.get("Content-Type", ""):
        return error(415, 409, "The 'Content-Type' header must be application/json.")
    return None


def refusal(kind: str, fault: Fault, _state: State, _request: Request) -> Answer:
    """How Postmark words the trouble that a fault stands for."""
    if kind == "throttle":
        # Postmark documents no Retry-After; an operator may ask for one.
        wait = () if fault.retry_after is None else (("Retry-After", str(fault.retry_after)),)
        return error(429, 429, TOO_MANY_REQUESTS, wait)
    return {
        "error_500": error(500, 0, "Internal server error."),
        "error_503": error(503, 100, MAINTENANCE),
        "bad_key": error(401, 10, UNKNOWN),
        "suspended": error(422, 413, "Your account may not send. Please contact support."),
        "unverified_sender": error(422, NO_SENDER, NO_SIGNATURE.format("")),
        "payload_too_large": error(413, 0, TOO_LARGE),
        "quota": error(422, NOT_ALLOWED, NO_CREDITS),
    }[kind]


def inactive(addresses: list[str]) -> Problem:
    """ErrorCode 406; clients read the addresses out of this sentence."""
    return Problem(
        INACTIVE,
        "You tried to send to recipient(s) that have been marked as inactive. Found inactive "
        f"addresses: {', '.join(addresses)}. Inactive recipients are ones that have generated a "
        "hard bounce, a spam complaint, or a manual suppression.",
    )


def not_found(_request: Request, known: bool) -> Answer:
    return error(405, 0, "Method not allowed.") if known else error(404, 0, "Not found.")
