"""The shapes of campaigns and sends in HTTP, and how rows become them. Decides nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from database.models import CampaignStatus, SendStatus
from outbound.draft import Draft
from outbound.launch import Launched
from outbound.overview import Overview
from utils.attributes import text
from web.guard_models import GuardOut, guard_out
from web.shapes import Answer, Moment, PageQuery, Path, moment
from web.shapes import Body as AnyBody

#: Longer content than this is a mistake: Gmail shows 102 kB of a message and cuts the rest.
LONGEST_CONTENT = 5_000_000
LONGEST_KEY = 255
#: Ids are numbers that JavaScript can hold.
HIGHEST_ID = 2**53 - 1

Line = Annotated[str, AfterValidator(text)]
Content = Annotated[str, AfterValidator(lambda value: text(value, LONGEST_CONTENT))]


def _rule(value: Any) -> Any:
    """One message for what is neither; pydantic would tell of each branch by its inner name."""
    if value is None or isinstance(value, str | dict):
        return text(value) if isinstance(value, str) else value
    raise ValueError("must be a rule tree, or the name of a saved segment or tag")


Rule = Annotated[str | dict[str, Any] | None, BeforeValidator(_rule)]
Headers = dict[Annotated[str, Field(max_length=100)], Line]
EspName = Annotated[str, Field(max_length=50)]


class Body(AnyBody):
    """A JSON body: unknown fields and values of another type are refused."""

    model_config = ConfigDict(strict=True)


class OptionalBody(Body):
    """The same where no body means an empty one."""

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class CampaignIn(Body):
    """What `POST /send-campaign` takes."""

    subject: Line = Field(description="Liquid")
    html: Content | None = Field(None, description="Liquid; html, text, or both")
    text: Content | None = Field(None, description="Liquid; derived from html when absent")
    name: Line = Field("", description="For lists; the subject when absent")
    from_email: Line | None = Field(None, description="At one of our domains; MAIL_FROM if absent")
    from_name: Line | None = None
    reply_to: Line | None = None
    segment: Rule = Field(
        None, description="A rule tree, or the name of a saved segment or tag; absent = everybody"
    )
    track_opens: bool = True
    track_clicks: bool = True
    allow_missing: bool = Field(False, description="Send although some lack a variable")
    esp: EspName | None = Field(None, description="Only through this ESP")
    scheduled_at: Moment | None = Field(None, description="Leaves then, up to a year ahead")
    preheader: Line | None = Field(None, description="Liquid; shown after the subject in lists")
    headers: Headers = Field({}, description="Of a short list; the same for everybody")

    def draft(self) -> Draft:
        """The request in the words of the core."""
        at = None if self.scheduled_at is None else self.scheduled_at.timestamp()
        own = self.model_dump(include=set(CampaignIn.model_fields))
        return Draft(**own | {"scheduled_at": at})


class KeyHeader(Path):
    """The header that makes a request safe to repeat."""

    idempotency_key: str | None = Field(
        None, alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY, pattern=r"^[!-~ ]+$",
        description="Printable; the same key and body get the first answer again, for 7 days",
    )  # fmt: skip


class CampaignPath(Path):
    """A campaign in the path."""

    campaign_id: int = Field(ge=1, le=HIGHEST_ID)


class CampaignsQuery(PageQuery):
    """How to page through campaigns."""

    status: CampaignStatus | None = None


class SendsQuery(PageQuery):
    """Which sends, and in which form."""

    status: SendStatus | None = None
    esp: EspName | None = None
    format: Literal["json", "csv"] | None = Field(None, description="csv is everything, streamed")


class PauseIn(OptionalBody):
    """Why it stops."""

    reason: Annotated[str, AfterValidator(lambda value: text(value, 500))] = ""


class NoBody(OptionalBody):
    """Nothing is asked."""


class ResolveIn(Body):
    """How the doubt ends."""

    action: Literal["resend", "mark_sent", "mark_failed"]
    only: Literal["not_found"] | None = None


class LaunchedOut(Answer):
    """The answer to a launch."""

    campaign_id: int
    status: str
    audience: int
    warnings: list[str]
    links: dict[str, str]


class LedgerOut(Answer):
    """Sends by state."""

    queued: int
    sending: int
    accepted: int
    delivered: int
    bounced: int
    complained: int
    failed: int
    suppressed: int
    cancelled: int
    in_doubt: int


class LabelsOut(Answer):
    """A count by who did it."""

    human: int
    machine: int
    privacy: int


class EngagementOut(Answer):
    """What people, and machines, did."""

    opens: LabelsOut
    unique_opens: int
    clicks: LabelsOut
    unique_clicks: int
    unsubscribes: int
    replies: int


class WaitingOut(Answer):
    """An ESP that takes nothing now, and how many recipients wait for it or its like."""

    esp: str
    why: str
    until: str | None
    recipients: int


class CampaignOut(Answer):
    """One campaign."""

    id: int
    name: str
    status: str
    status_reason: str
    mode: str
    subject: str
    from_email: str
    from_name: str
    reply_to: str | None
    segment: Any
    audience: int
    ledger: LedgerOut
    balanced: bool
    by_esp: dict[str, dict[str, int]]
    engagement: EngagementOut
    phase: str | None
    waiting: list[WaitingOut]
    rate_per_second: float | None
    eta: str | None
    guard: GuardOut | None
    scheduled_at: str | None
    created_at: str | None
    launched_at: str | None
    finished_at: str | None


class CampaignsOut(Answer):
    """A page of campaigns, newest first."""

    items: list[CampaignOut]
    next_cursor: str | None


class MovedOut(Answer):
    """How many sends an act moved, and the campaign after it."""

    moved: int
    campaign: CampaignOut


_MOMENTS = ("scheduled_at", "created_at", "launched_at", "finished_at")


def launched_out(launched: Launched) -> tuple[dict[str, Any], int, dict[str, str]]:
    """The answer to a launch, first or repeated."""
    where = f"/campaigns/{launched.campaign_id}"
    answer = LaunchedOut(
        campaign_id=launched.campaign_id, status=launched.status, audience=launched.audience,
        warnings=launched.warnings, links={"self": where, "sends": f"{where}/sends"},
    )  # fmt: skip
    headers = {"Location": where} | ({"Idempotent-Replayed": "true"} if launched.repeated else {})
    return answer.model_dump(), 202, headers


def campaign_out(overview: Overview) -> CampaignOut:
    """A campaign as the API shows it."""
    row = overview.row
    same = (
        "id", "name", "status", "status_reason", "mode", "subject", "from_email", "from_name",
        "reply_to", "segment", "audience",
    )  # fmt: skip
    return CampaignOut(
        **{name: row[name] for name in same},
        phase=overview.phase,
        **{name: moment(row[name]) for name in _MOMENTS},
        ledger=LedgerOut(**{status: row[f"n_{status}"] for status in SendStatus}),
        balanced=overview.balanced,
        by_esp={esp: dict(counts) for esp, counts in sorted(overview.by_esp.items())},
        engagement=_engagement(row),
        waiting=[
            WaitingOut(esp=w.esp, why=w.why, until=moment(w.until), recipients=w.recipients)
            for w in overview.waiting
        ],
        rate_per_second=overview.rate_per_second,
        eta=moment(overview.eta),
        guard=guard_out(overview),
    )


def _engagement(row: Mapping[Any, Any]) -> EngagementOut:
    labels = ("human", "machine", "privacy")
    return EngagementOut(
        opens=LabelsOut(**{label: row[f"opens_{label}"] for label in labels}),
        unique_opens=row["unique_opens"],
        clicks=LabelsOut(**{label: row[f"clicks_{label}"] for label in labels}),
        unique_clicks=row["unique_clicks"],
        unsubscribes=row["unsubscribes"],
        replies=row["replies"],
    )
