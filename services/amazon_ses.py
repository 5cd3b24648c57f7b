"""Amazon SES: how a batch is written for its API v2, and what its answers mean.

SendBulkEmail takes 50 messages as an inline template with data for each and answers for each; what
does not fit goes by SendEmail, alone. Not here: events (`services.ses_events`).
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mail.message import Content
from services import ses_account, ses_calls, ses_events
from services.account import Account
from services.calls import Blame, Delivery, Suspect, TooLarge, Verdict
from services.esp import (
    Accepted,
    Batch,
    Capabilities,
    EspEvent,
    InDoubt,
    Misconfigured,
    Outcome,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    WebhookRequest,
)
from services.parcels import Cut, Parcel, Writing, parcels
from services.sdk import Lazily
from services.ses_client import AwsKeys, SesClient
from services.sns import Topics
from services.wire import Answer, Exchange, begin
from services.words import QuotaSpent, Redacted, look_up, named_in, read_json, rule

#: docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html
MAX_ENTRIES = 50
BULK_PATH = "/v2/email/outbound-bulk-emails"
#: The input of a call is limited to 1 MB however it is counted.
MARGIN = 0.98
#: Requests of one batch that may be on the road together.
AT_ONCE = 4

#: Words that SES uses over both transports.
QUOTA_SPENT = r"daily (message )?quota|24.hour"
BAD_ADDRESS = (
    r"illegal address|missing final '@domain'|control or whitespace|missing domain|"
    r"invalid email address|local address contains|illegal characters in user name"
)
#: docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html and API_SendEmail.html#Errors
RULES = (
    rule("TooManyRequestsException ThrottlingException Throttling LimitExceededException",
         QUOTA_SPENT, QuotaSpent),
    rule("LimitExceededException", None, QuotaSpent),  # a resource limit: not a matter of seconds
    rule("TooManyRequestsException ThrottlingException Throttling", None, Throttled),
    rule("AccountSuspendedException SendingPausedException", None, Suspended),
    # An unverified To address means an account in SES' own sandbox: nobody else is verified either.
    rule("MessageRejected MailFromDomainNotVerifiedException", None, Refused),
    rule("NotFoundException", None, Misconfigured),  # configuration set or pool
    rule("AccessDeniedException InvalidClientTokenId UnrecognizedClientException "
         "SignatureDoesNotMatch InvalidSignatureException MissingAuthenticationToken "
         "IncompleteSignature OptInRequired ExpiredTokenException ExpiredToken",
         None, Misconfigured),
    rule("BadRequestException ValidationException", r"FromEmailAddress|ReplyTo", Refused),
)  # fmt: skip
#: `Status` of an entry: BulkEmailEntryResult in the API reference; two words have two spellings.
ENTRY_RULES = (
    rule("MESSAGE_REJECTED MAIL_FROM_DOMAIN_NOT_VERIFIED", None, Refused),
    rule("CONFIGURATION_SET_NOT_FOUND CONFIGURATION_SET_DOES_NOT_EXIST TEMPLATE_NOT_FOUND "
         "TEMPLATE_DOES_NOT_EXIST INVALID_SENDING_POOL_NAME", None, Misconfigured),
    rule("ACCOUNT_SUSPENDED ACCOUNT_SENDING_PAUSED CONFIGURATION_SET_SENDING_PAUSED",
         None, Suspended),
    rule("ACCOUNT_THROTTLED", None, Throttled),
    rule("ACCOUNT_DAILY_QUOTA_EXCEEDED", None, QuotaSpent),
    rule("INVALID_PARAMETER FAILED", BAD_ADDRESS, Rejected),
    rule("INVALID_PARAMETER", None, Suspect),
    rule("TRANSIENT_FAILURE FAILED", None, Unavailable),
)  # fmt: skip


class AmazonSes:
    """One SES account in one region."""

    name = "ses"

    def __init__(
        self,
        capabilities: Capabilities,
        *,
        keys: AwsKeys | None = None,
        region: str = "us-east-1",
        endpoint_url: str | None = None,
        timeout_seconds: float = 30.0,
        batch_size: int | None = None,
        configuration_set: str | None = None,
        topics: Topics | None = None,
    ) -> None:
        keys = keys or AwsKeys()
        self.capabilities = capabilities
        self._seconds = timeout_seconds
        wanted = batch_size or capabilities.default_batch_size
        self._cut = Cut(
            min(capabilities.max_messages, wanted, MAX_ENTRIES),
            int(capabilities.max_bytes * MARGIN),
        )
        self._configuration_set = configuration_set
        self._words = Redacted([keys.secret_access_key, keys.access_key_id])
        self._sdk = Lazily(lambda: SesClient(keys, region, endpoint_url, timeout_seconds))
        self._writing = functools.lru_cache(maxsize=8)(self._write)
        self._webhook = ses_events.Webhook(topics or Topics(), timeout_seconds)

    def send(self, batch: Batch) -> Report:
        """Hand the batch over. One outcome for each message, whatever happens."""
        shared = not batch.content.attachments
        writing = (self._writing if shared else self._write)(batch.content)
        work = parcels(batch, writing, self._cut)
        start = functools.partial(self._begin, batch)
        judge = functools.partial(self._judge, batch)
        return Delivery(batch, work, start, judge, at_once=AT_ONCE).run()

    def account(self) -> Account:
        """GetAccount: rate and rolling quota. Raises EspError."""
        return ses_account.read(begin(self._sdk().get_account, self._seconds).answer(), self._words)

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate. Raises WebhookRefused or WebhookNotConfigured."""
        return self._webhook.read(request)

    def _write(self, content: Content) -> Writing:
        limit = self.capabilities.max_slot_bytes or 0
        return ses_calls.writing(
            content, ses_calls.envelope_of(content, self._configuration_set), limit
        )

    def _begin(self, batch: Batch, parcel: Parcel) -> Exchange:
        client = self._sdk()  # not on the request's time
        if parcel.envelope.single:
            message = batch.messages[parcel.places[0]]
            call = ses_calls.send_email(batch.content, message, self._configuration_set)
            return begin(lambda: client.send_email(call), self._seconds)
        body = parcel.body()
        return begin(lambda: client.post(BULK_PATH, body), self._seconds)

    def _judge(self, batch: Batch, answer: Answer, parcel: Parcel) -> Verdict:
        told = read_json(answer.body)
        if not isinstance(told, dict):
            told = None
        code = _code(answer, told)
        words = self._words((told or {}).get("message") or (told or {}).get("Message"))
        if answer.status == 200:
            return self._taken(told, parcel)
        if answer.status == 429:
            return look_up(RULES[:1], code, words) or Throttled(words, code=code)
        if answer.status == 503:
            return Unavailable(words, code=code)
        if answer.status == 413:
            return TooLarge(words or "payload too large", code)
        if not 400 <= answer.status < 500 or told is None:
            return InDoubt(words or "an answer that SES does not give", code=code)
        known = look_up(RULES, code, words)
        if known is not None:
            return known
        return bad_request(words, code, [batch.messages[place].to for place in parcel.places])

    def _taken(self, told: Mapping[str, Any] | None, parcel: Parcel) -> Verdict:
        told = told or {}
        if parcel.envelope.single and isinstance(told.get("MessageId"), str):
            return [Accepted(told["MessageId"])]
        results = told.get("BulkEmailEntryResults")
        if not isinstance(results, list) or len(results) != len(parcel.places):
            return InDoubt("the answer does not name the messages", code="200")
        return [
            Accepted(result.get("MessageId"))
            if result.get("Status") == "SUCCESS"
            else self._entry_error(result)
            for result in results
        ]

    def _entry_error(self, result: Mapping[str, Any]) -> Outcome:
        status, words = str(result.get("Status")), self._words(result.get("Error"))
        unknown = InDoubt(f"a status that SES does not document: {words}", code=status)
        return look_up(ENTRY_RULES, status, words) or unknown


def _code(answer: Answer, told: Mapping[str, Any] | None) -> str:
    """The name of the error: in a header, or in the body under one of three keys."""
    told = told or {}
    name = answer.headers.get("x-amzn-errortype") or told.get("__type") or told.get("code")
    name = name or told.get("Code")
    return str(name).partition(":")[0].rpartition("#")[2] if name else str(answer.status)


def bad_request(words: str, code: str, addresses: Sequence[str]) -> Verdict:
    """A call refused whole: which recipients it names, else find out."""
    guilty = named_in(words, addresses)
    if guilty:
        return Blame({n: Rejected(words, code=code) for n in guilty})
    if len(addresses) == 1 and re.search(BAD_ADDRESS, words, re.I):
        return Rejected(words, code=code)
    return Suspect(words, code=code)
