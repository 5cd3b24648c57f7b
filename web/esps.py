"""ESPs over HTTP: how each stands and why, and an operator's pause and resume."""

from typing import Annotated, Any, Literal

from flask_openapi.blueprint import APIBlueprint
from pydantic import AfterValidator, Field

from database.models import Lane
from outbound.esp_control import EspControl, Status
from utils.attributes import text
from utils.errors import Invalid
from web.auth import actor
from web.campaign_models import Body, OptionalBody
from web.context import house
from web.shapes import Answer, Moment, Path, moment

LONGEST_REASON = 500


def _reason(value: str) -> str:
    if not value.strip():
        raise ValueError("say why: it is kept in the log")
    return text(value.strip(), LONGEST_REASON)


class EspPath(Path):
    """An ESP in the path."""

    name: str


class PauseIn(Body):
    """Why, and until when; without `until` an operator must resume."""

    reason: Annotated[str, AfterValidator(_reason)]
    until: Moment | None = Field(None, strict=False)
    lane: Literal["campaign", "transactional"] | None = None


class EspPatch(Body):
    """What holds from the next claim on, in every process; null = as the settings say."""

    priority: Annotated[int, Field(ge=1, le=1000)] | None = None
    weight: Annotated[float, Field(ge=0, le=1000)] | None = None
    daily_limit: Annotated[int, Field(ge=0, le=999_999_999)] | None = None
    rate_per_second: Annotated[float, Field(gt=0, le=999_999)] | None = None


class AccountOut(Answer):
    """The ESP's own figures of our account, as far as it tells any."""

    told_at: str | None
    rate_per_second: float | None
    quota: int | None
    used: int | None
    closed: str | None = Field(description="Why the ESP takes no mail of this account")
    error: str | None = Field(description="Why the ESP did not tell its figures when last asked")


class ResumeIn(OptionalBody):
    """Why, for the log."""

    reason: Annotated[str, AfterValidator(lambda value: text(value, LONGEST_REASON))] = ""


class EventsOut(Answer):
    """What came back by webhook."""

    last_at: str | None
    last_24h: int
    refused_24h: int
    feedback: str = Field(
        description="judging: mail of which nothing is heard counts against the ESP; none: too few"
        " events have come yet, or none since the restart"
    )


class ErrorOut(Answer):
    """The last failed request, in the ESP's words."""

    at: str | None
    message: str


class ShutOut(Answer):
    """A mailbox provider that blocked most of this ESP's mail."""

    mailbox_provider: str
    state: str
    why: str
    until: str | None


class EspOut(Answer):
    """One ESP. Null: unlimited, not configured, or not known yet."""

    name: str
    configured: bool
    eligible: bool = Field(description="Whether it may take campaign mail now")
    why_not: str | None
    until: str | None = Field(description="When `why_not` ends by itself; null: an operator acts")
    paused_by: str | None
    state: str
    priority: int | None
    weight: float | None
    reputation: float | None = Field(description="0 to 100, of what is sure at 90 %")
    band: str | None = Field(description="unproven, healthy, degraded or restricted")
    alert: str | None = Field(description="What to look into, though nothing was done about it")
    daily_limit: int | None
    limit_source: str | None
    sent_today: int
    remaining_today: int | None
    resets_at: str | None
    rate_per_second: float | None
    account: AccountOut | None
    left_alone: list[ShutOut] = Field(description="Mailbox providers where it gets no or less mail")
    warmup: None = None
    events: EventsOut
    last_24h: None = None
    last_error: ErrorOut | None
    next_probe_at: str | None


class StatusOut(Answer):
    """Every ESP of the product, in the order of priority."""

    mode: str
    esps: list[EspOut]


class LineOut(Answer):
    """A decision and its reason."""

    at: str
    what: str
    why: str


class LogOut(Answer):
    """Decisions about an ESP, newest first."""

    items: list[LineOut]
    next_cursor: None = None


blueprint = APIBlueprint("esps", __name__, abp_tags=[{"name": "esps"}], abp_security=[{"key": []}])


@blueprint.get("/esp-status", responses={200: StatusOut})
def esp_status() -> dict[str, Any]:
    """How each ESP stands, and why one takes no mail."""
    statuses = _control().statuses()
    return StatusOut(mode=house().settings.mode, esps=[_out(s) for s in statuses]).model_dump()


@blueprint.post("/esps/<string:name>/pause", responses={200: EspOut})
def pause(path: EspPath, body: PauseIn) -> dict[str, Any]:
    """Give an ESP no more mail."""
    until = body.until.timestamp() if body.until else None
    if until is not None and until <= house().clock():
        raise Invalid.of("until", "must be in the future")
    lane = Lane(body.lane) if body.lane else None
    _control().pause(path.name, by=actor(), reason=body.reason, until=until, lane=lane)
    return _out(_control().status(path.name)).model_dump()


@blueprint.post("/esps/<string:name>/resume", responses={200: EspOut})
def resume(path: EspPath, body: ResumeIn) -> dict[str, Any]:
    """Let an ESP take mail again; also lifts a suspension that the ESP itself has ended."""
    _control().resume(path.name, by=actor(), reason=body.reason)
    return _out(_control().status(path.name)).model_dump()


@blueprint.patch("/esps/<string:name>", responses={200: EspOut})
def change(path: EspPath, body: EspPatch) -> dict[str, Any]:
    """Change how an ESP is used while everything runs; what is left out stays."""
    changes = body.model_dump(include=body.model_fields_set)
    if not changes:
        raise Invalid.of("body", "give priority, weight, daily_limit or rate_per_second")
    if "rate_per_second" in changes:
        changes["rate"] = changes.pop("rate_per_second")
    _control().override(path.name, changes, by=actor())
    return _out(_control().status(path.name)).model_dump()


@blueprint.get("/esps/<string:name>/log", responses={200: LogOut})
def esp_log(path: EspPath) -> dict[str, Any]:
    """The last decisions about an ESP, with their reasons."""
    lines = _control().log_of(path.name)
    items = [
        LineOut(at=moment(line["at"]) or "", what=line["what"], why=line["why"]) for line in lines
    ]
    return LogOut(items=items).model_dump()


def _control() -> EspControl:
    parts = house()
    return EspControl(parts.db, parts.manager, parts.settings.esp_names, parts.clock)


def _out(status: Status) -> EspOut:
    state, standing, policy = status.record.state, status.standing, status.policy
    eligible = standing is not None and standing.room != 0
    return EspOut(
        name=status.name, configured=policy is not None, eligible=eligible,
        why_not=None if eligible else standing.why_not if standing else "not configured",
        until=moment(standing.until) if standing and not eligible else None,
        paused_by=status.paused_by, state=status.state,
        priority=policy.priority if policy else None, weight=policy.weight if policy else None,
        reputation=status.reputation, band=status.band,
        alert=state.alert or house().settings.unheard.get(status.name),
        daily_limit=status.daily_limit,
        limit_source=status.limit_source,
        sent_today=status.record.used_today, remaining_today=status.remaining_today,
        resets_at=moment(status.resets_at),
        rate_per_second=status.limits.rate if status.limits else None, account=_account(status),
        left_alone=[
            ShutOut(mailbox_provider=one.mailbox_provider, state=one.state, why=one.why,
                    until=moment(one.until))
            for one in status.shut
        ],
        events=_events(status),
        last_error=_error(status),
        next_probe_at=moment(status.next_probe_at),
    )  # fmt: skip


def _account(status: Status) -> AccountOut | None:
    its = status.record.state.account
    if not its.asked_at:
        return None
    return AccountOut(
        told_at=moment(its.told_at or None), rate_per_second=its.rate, quota=its.quota,
        used=its.used if its.told_at else None, closed=its.closed or None, error=its.error or None,
    )  # fmt: skip


def _events(status: Status) -> EventsOut:
    heard = status.heard
    return EventsOut(
        last_at=moment(heard.last_at), last_24h=heard.last_24h, refused_24h=heard.refused_24h,
        feedback="judging" if status.judging else "none",
    )  # fmt: skip


def _error(status: Status) -> ErrorOut | None:
    state = status.record.state
    if not state.last_error:
        return None
    return ErrorOut(at=moment(state.last_error_at), message=state.last_error)
