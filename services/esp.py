"""The contract between the house and an ESP: batch in, one outcome per message out, and the events
that come back. Knows no ESP, no Flask, no SQL."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

from database.models import BounceKind, EventKind, Lane
from mail.message import Content, Message


class Accepted(NamedTuple):
    """The ESP took the message."""

    message_id: str | None  #: the ESP's id; SendGrid gives one per request, not per message


def printable(text: str) -> str:
    """What an ESP says without characters that a database or an encoder refuses."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


class EspError(Exception):
    """Why a message was not, or may not have been, accepted. The class is the policy:
    nobody above an adapter looks at status codes (house.md "Errors carry the policy")."""

    def __init__(self, words: str = "", *, code: str = "") -> None:
        """`words` are the ESP's own, `code` its status or error code; both are kept."""
        self.words = printable(words)
        self.code = printable(code)
        super().__init__(self.words)

    def __str__(self) -> str:
        return f"{self.code}: {self.words}" if self.code else self.words


class Rejected(EspError):
    """This recipient, never: fail the send, try no other ESP."""


class Refused(EspError):
    """This message or this From at this ESP: its campaign pauses and shows the words."""


class Misconfigured(EspError):
    """This ESP's key or account, for everything: next ESP, and an operator is told."""


class Suspended(EspError):
    """The ESP stopped the account for policy or reputation; not an outage (contract promise 7)."""


class Throttled(EspError):
    """Too fast, or the quota is spent: certainly not accepted, this ESP later."""

    def __init__(
        self, words: str = "", *, code: str = "", retry_after: float | None = None,
        quota_spent: bool = False,
    ) -> None:  # fmt: skip
        """`retry_after` is in seconds; `quota_spent`: not a matter of speed but of the day."""
        super().__init__(words, code=code)
        self.retry_after = retry_after
        self.quota_spent = quota_spent


class Unavailable(EspError):
    """Certainly not accepted, the ESP's fault: next ESP."""


class NotTried(EspError):
    """The request of this message never began (deadline near, or an earlier request of the batch
    was ambiguous): certainly not accepted and nobody's fault."""


class InDoubt(EspError):
    """May have been accepted: never resent by itself."""


Outcome = Accepted | EspError


def errors_among(outcomes: Sequence[Outcome]) -> list[EspError]:
    """What was not accepted: nearly always nothing, which one look at all their types tells."""
    if set(map(type, outcomes)) == {Accepted}:
        return []
    return [outcome for outcome in outcomes if not isinstance(outcome, Accepted)]


class Call(NamedTuple):
    """One request an adapter made: breakers and rates count requests, not messages."""

    messages: int
    error: EspError | None  #: of the request as a whole; None = the ESP answered it
    seconds: float


@dataclass(frozen=True)
class Report:
    """What became of a batch."""

    outcomes: Sequence[Outcome]  #: one for each message, in the batch's order
    calls: Sequence[Call] = ()

    @cached_property
    def kinds(self) -> Counter[type[Outcome]]:
        """How many messages there are of each kind of outcome. Asked often, and a look at every
        message for each question would cost more than to write them down."""
        return Counter(map(type, self.outcomes))


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one content for one ESP. Its adapter cuts it into requests by count and bytes."""

    content: Content
    messages: Sequence[Message]
    lane: Lane = Lane.CAMPAIGN
    #: `time.monotonic()` after which no further request may begin, so that the lease outlives it.
    deadline: float = float("inf")
    #: One message per request: an earlier answer of this ESP was ambiguous (contract §3).
    careful: bool = False
    #: Whether the house is about to end: then no further request begins, either.
    ending: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """An ESP's own maxima, as data from config/esp_config.py."""

    max_messages: int  #: per request
    max_bytes: int  #: per request body
    max_slot_bytes: int | None  #: per recipient; None = bodies go rendered
    default_batch_size: int
    default_rate: float | None  #: messages/s; None = unlimited or asked of the ESP
    default_priority: int
    default_daily_limit: int


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook call as it arrived: the raw body is what the signature covers."""

    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class WebhookRefused(Exception):
    """The call is not authentic, or cannot be read. `status` is what makes this ESP behave:
    Postmark stops retrying at 403, SNS loses an event at any 4xx."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class WebhookNotConfigured(Exception):
    """No key is configured to tell authentic calls from forged ones: answered with 503."""


@dataclass(frozen=True, slots=True)
class EspEvent:
    """One thing an ESP told us, in our words."""

    esp: str
    key: str  #: the ESP's id of the event: applied once per (esp, key)
    kind: EventKind
    at: float  #: Unix seconds by the ESP's clock; 0 = it tells no time
    send_id: str | None = None  #: ours, as the ESP gave it back
    address: str | None = None
    message_id: str | None = None
    bounce: BounceKind | None = None
    #: A bounce is final when the ESP has given up on the message.
    final: bool = True
    code: str = ""
    reason: str = ""
    url: str | None = None
    user_agent: str = ""
    ip: str = ""
    machine: bool | None = None  #: the ESP's own verdict; None = it does not say
    raw: Mapping[str, Any] = field(default_factory=dict)


class Esp(Protocol):
    """One ESP. Implementations are thread-safe and never raise from `send`."""

    name: str
    capabilities: Capabilities

    def send(self, batch: Batch) -> Report:
        """Hand the batch over. One outcome for each message, whatever happens."""
        ...

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate. Raises WebhookRefused or WebhookNotConfigured."""
        ...


class Known(NamedTuple):
    """What an ESP knows of a message that it took."""

    message_id: str
    delivered: bool = False  #: the receiving server took it, too


@runtime_checkable
class Searchable(Protocol):
    """An ESP that can be asked whether it took a message of ours. An adapter that cannot ask does
    not have this."""

    #: The ESP keeps what it took at least so long; later "not found" proves nothing.
    search_days: float

    def look_up(self, send_id: str, lane: Lane) -> Known | None:
        """The message with our send id; None = the ESP has none. Raises EspError when it does not
        say."""
        ...
