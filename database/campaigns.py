"""Campaigns: their content, their state, and which of them a worker should look at."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import ledger
from database.lifecycle import sources_of
from database.models import LEDGER, SINGLE, CampaignKind, Phase, campaigns, sends, subscribers
from database.models import CampaignStatus as C
from database.models import SendStatus as S
from utils.errors import NotFound

_t = campaigns
#: Rows of `sends` are made in transactions of this many subscriber ids.
SLICE = 5_000


def insert(connection: sa.Connection, values: Mapping[str, Any]) -> int:
    """Store a new campaign; returns its id."""
    return int(connection.execute(_t.insert().values(**values).returning(_t.c.id)).scalar_one())


def get(connection: sa.Connection, campaign_id: int) -> sa.RowMapping | None:
    """One campaign with all its columns."""
    return connection.execute(sa.select(_t).where(_t.c.id == campaign_id)).mappings().one_or_none()


def shown(connection: sa.Connection, campaign_id: int) -> sa.RowMapping:
    """The same for whoever asks by number. Raises NotFound when there is none; the hidden one of a
    single mail is nobody's to see, as it is nobody's to act on: `/sends/{id}` shows the mail."""
    row = get(connection, campaign_id)
    if row is None or row["kind"] != CampaignKind.CAMPAIGN:
        raise NotFound(f"there is no campaign {campaign_id}")
    return row


class Brief(NamedTuple):
    """What a claim needs to know of a campaign, without its content."""

    status: str
    kind: str
    n_queued: int
    audience: int
    nonce: str
    options: dict[str, Any]


_BRIEF = sa.text(
    "SELECT status, kind, n_queued, audience, nonce, options FROM campaigns WHERE id = :id"
).columns(options=_t.c.options.type)


def brief(connection: sa.Connection, campaign_id: int) -> Brief | None:
    """The few columns that every claim reads."""
    row = connection.execute(_BRIEF, {"id": campaign_id}).one_or_none()
    return Brief._make(row) if row else None


def shown_brief(connection: sa.Connection, campaign_id: int) -> Brief:
    """The same under the rule of `shown`."""
    campaign = brief(connection, campaign_id)
    if campaign is None or campaign.kind != CampaignKind.CAMPAIGN:
        raise NotFound(f"there is no campaign {campaign_id}")
    return campaign


def page(
    connection: sa.Connection, limit: int, before: int | None = None, status: str | None = None
) -> Sequence[sa.RowMapping]:
    """Campaigns, newest first, without transactional and test mails."""
    query = sa.select(_t).where(_t.c.kind == CampaignKind.CAMPAIGN)
    if before is not None:
        query = query.where(_t.c.id < before)
    if status is not None:
        query = query.where(_t.c.status == status)
    return connection.execute(query.order_by(_t.c.id.desc()).limit(limit)).mappings().all()


def by_idempotency_key(connection: sa.Connection, key: str) -> sa.RowMapping | None:
    """The campaign that a request with this key made."""
    return (
        connection.execute(sa.select(_t).where(_t.c.idempotency_key == key))
        .mappings()
        .one_or_none()
    )


def forget_idempotency_key(connection: sa.Connection, key: str, before: float) -> None:
    """Free a key whose request was made before this moment. Only the key that is wanted again:
    nobody asks for the others, and looking for old ones would read all that there are."""
    connection.execute(
        _t.update()
        .where(_t.c.idempotency_key == key, _t.c.created_at < before)
        .values(idempotency_key=None, idempotency_hash=None, idempotency_answer=None)
    )


def set_links(connection: sa.Connection, campaign_id: int, links: Sequence[str]) -> None:
    """Fix where clicks lead."""
    connection.execute(_t.update().where(_t.c.id == campaign_id).values(links=list(links)))


def set_idempotency_answer(
    connection: sa.Connection, campaign_id: int, answer: Mapping[str, Any]
) -> None:
    """Keep what the first request was answered."""
    connection.execute(
        _t.update().where(_t.c.id == campaign_id).values(idempotency_answer=dict(answer))
    )


def move(
    connection: sa.Connection, campaign_id: int, target: C, *, reason: str = "",
    only_from: Sequence[C] | None = None, nonce: str | None = None, **values: Any,
) -> bool:  # fmt: skip
    """Change a campaign's state if it may change so; False = someone was first or it may not.
    With a `nonce` only as long as nobody has edited it: every edit gives a new one."""
    sources = [s for s in sources_of(target) if only_from is None or s in only_from]
    unedited = [] if nonce is None else [_t.c.nonce == nonce]
    files = _NO_FILES if target is C.CANCELLED else {}
    changed = connection.execute(
        _t.update()
        .where(_t.c.id == campaign_id, _t.c.status.in_(sources), *unedited)
        .values(status=target, status_reason=reason, **values, **files)
    ).rowcount
    return changed == 1


#: The files of a mail are kept for nothing but its sending: once it has ended, they go.
_NO_FILES: Mapping[str, Any] = {"attachments": None}


def forget_attachments(connection: sa.Connection, campaign_ids: Collection[int]) -> None:
    """For mails that were in doubt when their campaign ended, and now are so no more."""
    if campaign_ids:
        mails = _t.c.id.in_(sorted(campaign_ids))
        connection.execute(_t.update().where(mails).values(**_NO_FILES))


def highest_subscriber_id(connection: sa.Connection) -> int:
    """The last subscriber that a campaign launched now can reach."""
    return int(connection.execute(sa.select(sa.func.max(subscribers.c.id))).scalar() or 0)


def lock_building(connection: sa.Connection, campaign_id: int) -> sa.RowMapping | None:
    """Lock a campaign whose rows are not all made; None when there is nothing to make."""
    return (
        connection.execute(
            sa.select(_t)
            .where(
                _t.c.id == campaign_id, _t.c.phase == Phase.BUILDING,
                _t.c.status.in_([C.SENDING, C.PAUSED]),
            )
            .with_for_update()
        )
        .mappings()
        .one_or_none()
    )  # fmt: skip


def built(connection: sa.Connection, campaign_id: int, cursor: int, last: int) -> None:
    """Remember how far the rows are made; past the last id the campaign may be drained."""
    done = cursor >= last
    connection.execute(
        _t.update()
        .where(_t.c.id == campaign_id)
        .values(build_cursor=cursor, **({"phase": Phase.DRAINING} if done else {}))
    )


#: In the very words of `ix_campaigns_open`, so that old campaigns are not looked at.
_OPEN = sa.text("status IN ('scheduled', 'sending', 'paused')")


def to_build(connection: sa.Connection) -> list[int]:
    """Campaigns whose rows are not all made."""
    return _ids(connection, _OPEN, _t.c.status == C.SENDING, _t.c.phase == Phase.BUILDING)


def to_drain(connection: sa.Connection) -> list[int]:
    """Campaigns with sends that may be claimed; single mails have a lane of their own."""
    return _ids(
        connection, _OPEN, _t.c.status == C.SENDING, _t.c.phase == Phase.DRAINING,
        _t.c.n_queued > 0, _t.c.kind.not_in(SINGLE),
    )  # fmt: skip


def with_leases(connection: sa.Connection) -> list[int]:
    """Campaigns, whatever their state, with claimed sends: their leases may run out."""
    return _ids(connection, sa.text("n_sending > 0"))


def to_finish(connection: sa.Connection) -> list[int]:
    """Campaigns with nothing left to do."""
    return _ids(
        connection, _OPEN, _t.c.status.in_([C.SENDING, C.PAUSED]), _t.c.phase == Phase.DRAINING,
        _t.c.n_queued == 0, _t.c.n_sending == 0,
    )  # fmt: skip


def _ids(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool] | sa.TextClause
) -> list[int]:
    query = sa.select(_t.c.id).where(*conditions).order_by(_t.c.id)
    return [int(id_) for id_ in connection.execute(query).scalars()]


#: Somebody was, or may have been, reached.
_REACHED = _t.c.n_accepted + _t.c.n_delivered + _t.c.n_bounced + _t.c.n_complained + _t.c.n_in_doubt


def finish(connection: sa.Connection, campaign_id: int, now: float) -> str | None:
    """End a campaign when nothing is queued or sending: `sent`, or `failed` when nobody was
    reached. Returns the new state, None when it is not over. What is in doubt has not ended, and
    keeps its files."""
    over = (_t.c.phase == Phase.DRAINING, _t.c.n_queued == 0, _t.c.n_sending == 0)
    row = connection.execute(
        sa.select(_REACHED, _t.c.n_in_doubt).where(_t.c.id == campaign_id, *over).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    files = {} if row.n_in_doubt else _NO_FILES
    target, reason = (C.SENT, "") if row[0] else (C.FAILED, _why_nobody(connection, campaign_id))
    moved = connection.execute(
        _t.update()
        .where(_t.c.id == campaign_id, _t.c.status.in_([C.SENDING, C.PAUSED]), *over)
        .values(status=target, status_reason=reason, phase=Phase.DONE, finished_at=now, **files)
    ).rowcount
    return target if moved else None


def _why_nobody(connection: sa.Connection, campaign_id: int) -> str:
    """The most frequent reason among the first sends of a campaign that reached nobody."""
    some = (
        sa.select(sends.c.reason, sends.c.status)
        .where(sends.c.campaign_id == campaign_id)
        .limit(1000)
        .subquery()
    )
    row = connection.execute(
        sa.select(some.c.status, some.c.reason, sa.func.count().label("n"))
        .group_by(some.c.status, some.c.reason)
        .order_by(sa.desc("n"))
        .limit(1)
    ).one_or_none()
    if row is None:
        return "nobody was left to mail"
    return f"nobody was reached; mostly {row.status}: {row.reason or 'no reason given'}"


def cancel_queued(connection: sa.Connection, campaign_id: int, now: float, limit: int) -> int:
    """Move a slice of a cancelled campaign's queued sends to `cancelled`; returns how many."""
    some = (
        sa.select(sends.c.id)
        .where(sends.c.campaign_id == campaign_id, sends.c.status == sa.literal_column("'queued'"))
        .order_by(sends.c.id)
        .limit(limit)
        .with_for_update()
    )
    cancelled = connection.execute(
        sends.update()
        .where(sends.c.id.in_(some), sends.c.status == S.QUEUED)
        .values(status=S.CANCELLED, reason="the campaign was cancelled", updated_at=now)
    ).rowcount
    ledger.move(connection, campaign_id, S.QUEUED, S.CANCELLED, cancelled)
    return cancelled


def cancelled_with_queued(connection: sa.Connection) -> list[int]:
    """Cancelled campaigns that still hold queued sends: a crash cut the cancelling short."""
    return _ids(connection, sa.text("status = 'cancelled' AND n_queued > 0"))


def balanced(campaign: Mapping[str, Any]) -> bool:
    """Whether every send is in exactly one state (contract promise 2)."""
    return bool(campaign["audience"] == sum(campaign[name] for name in LEDGER))


def of_other_mode(connection: sa.Connection, mode: str) -> int:
    """How many campaigns the database holds that were made in the other mode."""
    query = sa.select(sa.func.count()).select_from(_t).where(_t.c.mode != mode)
    return int(connection.execute(query).scalar_one())
