"""The dictionary of nouns: the seven tables and the words in their columns. Decides nothing."""

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


class Mode(StrEnum):
    """Whether a campaign went to the simulator or to real ESPs."""

    SANDBOX = "sandbox"
    LIVE = "live"


class SendStatus(StrEnum):
    """Where one send stands; who may become what is in `database.lifecycle`."""

    QUEUED = "queued"  #: waiting to be claimed
    SENDING = "sending"  #: claimed under a lease; handed to an ESP once `handed_over_at` is set
    ACCEPTED = "accepted"  #: the ESP took it
    DELIVERED = "delivered"  #: the receiving server took it
    BOUNCED = "bounced"  #: the receiving server, or the ESP for it, gave it back for good
    COMPLAINED = "complained"  #: the person called it spam
    FAILED = "failed"  #: certainly not accepted, and not to be tried again by itself
    SUPPRESSED = "suppressed"  #: the person may not be mailed
    CANCELLED = "cancelled"  #: the campaign was cancelled before hand-over
    IN_DOUBT = "in_doubt"  #: may have been accepted; never resent by itself


class CampaignStatus(StrEnum):
    """Where a campaign stands."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"  #: nothing is left to do; some sends may be in doubt
    FAILED = "failed"  #: nothing is left and nobody was reached
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a campaign that is `sending` is busy with."""

    BUILDING = "building"  #: rows of `sends` are being made; nothing is claimed yet
    DRAINING = "draining"  #: rows are claimed and handed over
    DONE = "done"


class CampaignKind(StrEnum):
    """Transactional and test mails are campaigns of one send, hidden from lists."""

    CAMPAIGN = "campaign"
    TRANSACTIONAL = "transactional"
    TEST = "test"


#: Hidden campaigns of one send each, on the lane of transactional mail.
SINGLE = (CampaignKind.TRANSACTIONAL, CampaignKind.TEST)


class Lane(StrEnum):
    """Which queue a send waits in: transactional mail waits for no campaign."""

    CAMPAIGN = "campaign"
    TRANSACTIONAL = "transactional"


class SubscriberStatus(StrEnum):
    """Whether a person may be mailed. Campaigns reach only `active`."""

    PENDING = "pending"  #: not confirmed yet
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    INACTIVE = "inactive"  #: sunset: long silent
    ERASED = "erased"  #: only a keyed hash of the address is left, so that it stays suppressed


class EventKind(StrEnum):
    """What an ESP, or our own tracking, told us about a send, in one vocabulary."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    RESUBSCRIBE = "resubscribe"
    FAILED = "failed"  #: the ESP took it and then could not render or would not send it
    REPLY = "reply"
    UNKNOWN = "unknown"  #: a word we do not know; kept raw


class BounceKind(StrEnum):
    """Whose fault a bounce is."""

    HARD = "hard"  #: the address does not exist: suppress
    SOFT = "soft"  #: temporary: count
    BLOCK = "block"  #: refused for policy or reputation: never the person's fault


class Label(StrEnum):
    """Who opened or clicked."""

    HUMAN = "human"
    MACHINE = "machine"
    PRIVACY = "privacy"


#: Names constraints, so that Alembic's batch mode can drop them on SQLite.
NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=NAMES)

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Time = sa.Double  # Unix seconds, UTC; clocks are compared as numbers on both databases


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """An index over the few rows that match `where`, on both databases."""
    condition = sa.text(where)
    return sa.Index(
        name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, Big, nullable=False, server_default="0")


subscribers = sa.Table(
    "subscribers",
    metadata,
    sa.Column("id", Big, primary_key=True),
    # Canonical (contract: NFC, casefolded, A-label); `erased:<keyed hash>` once erased.
    sa.Column("address", sa.Text, nullable=False, unique=True),
    sa.Column("email", sa.Text, nullable=False),  # as given: mail goes here
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("status_at", Time, nullable=False),
    sa.Column("tags", Json, nullable=False, server_default="{}"),  # {tag: since}
    sa.Column("attributes", Json, nullable=False, server_default="{}"),
    sa.Column("topic_opt_outs", Json, nullable=False, server_default="{}"),  # {tag: since}
    sa.Column("history", Json, nullable=False, server_default="[]"),  # append-only
    sa.Column("opt_in_at", Time),
    sa.Column("opt_in_ip", sa.Text),
    sa.Column("engagement", Time),  # log2 of the forward-decayed sum; NULL = never
    sa.Column("last_delivered_at", Time),
    sa.Column("last_open_at", Time),  # human only
    sa.Column("last_click_at", Time),  # human only
    sa.Column("soft_bounce_run", sa.Integer, nullable=False, server_default="0"),
    sa.Column("soft_bounce_since", Time),
    sa.Column("import_id", sa.Text),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Index("ix_subscribers_status_engagement", "status", "engagement"),
)

#: One counter column of `campaigns` for each state: the ledger, moved in the rows' transaction.
LEDGER = tuple(f"n_{status}" for status in SendStatus)
#: Counters of `campaigns` for what people and machines did.
ENGAGEMENT_COUNTERS = (
    "opens_human", "opens_machine", "opens_privacy", "unique_opens",
    "clicks_human", "clicks_machine", "clicks_privacy", "unique_clicks",
    "unsubscribes", "replies",
)  # fmt: skip

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, server_default=CampaignKind.CAMPAIGN),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("phase", sa.Text),
    sa.Column("mode", sa.Text, nullable=False),
    # Random: makes send ids and tokens of two databases, or of a restored one, never meet. An edit
    # before the launch gives a new one: it is the version of the content, too.
    sa.Column("nonce", sa.Text, nullable=False, unique=True),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("idempotency_hash", sa.Text),  # of the request body
    sa.Column("idempotency_answer", Json),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("html", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("from_email", sa.Text, nullable=False),
    sa.Column("from_name", sa.Text, nullable=False, server_default=""),
    sa.Column("reply_to", sa.Text),
    # As its author gave it, from the launch on the rule tree it was resolved to; NULL = everybody
    sa.Column("segment", Json),
    sa.Column("topic", sa.Text),  # the tag whose topic opt-outs apply
    # track_opens, track_clicks, allow_missing, esp; before the launch: open (fields that the
    # settings decide then); of transactional mail: to, variables, tags, metadata, expires_at,
    # on_doubt; of tests: to, reader (a subscriber's number)
    sa.Column("options", Json, nullable=False, server_default="{}"),
    # [{filename, content_type, content (base64)}] of transactional mail; not in `options`, which
    # every claim reads
    sa.Column("attachments", Json),
    sa.Column("links", Json, nullable=False, server_default="[]"),  # click targets by number
    sa.Column("scheduled_at", Time),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("launched_at", Time),
    sa.Column("finished_at", Time),
    sa.Column("max_subscriber_id", Big),  # later arrivals are not in the audience
    sa.Column("build_cursor", Big, nullable=False, server_default="0"),
    _counter("audience"),
    *(_counter(name) for name in LEDGER),
    *(_counter(name) for name in ENGAGEMENT_COUNTERS),
    _partial("uq_campaigns_idempotency_key", "idempotency_key",
             where="idempotency_key IS NOT NULL", unique=True),
    _partial("ix_campaigns_open", "status", "id",
             where="status IN ('scheduled', 'sending', 'paused')"),
    _partial("ix_campaigns_leases", "id", where="n_sending > 0"),
    _partial("ix_campaigns_cancelling", "id", where="status = 'cancelled' AND n_queued > 0"),
    sa.Index("ix_campaigns_kind_id", "kind", "id"),
)  # fmt: skip

sends = sa.Table(
    "sends",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("campaign_id", Big, sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("subscriber_id", Big),
    sa.Column("lane", sa.Text, nullable=False, server_default=Lane.CAMPAIGN),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("lease_token", sa.Text),
    sa.Column("lease_until", Time),
    sa.Column("handed_over_at", Time),  # set: may be at the ESP; not set: certainly is not
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("esp", sa.Text),
    sa.Column("message_id", sa.Text),
    sa.Column("reason", sa.Text),  # why it stopped, with the ESP's own words
    sa.Column("trail", Json),  # [{at, esp, what, words}], only off the happy path
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("opened_at", Time),  # first human open
    sa.Column("clicked_at", Time),  # first human click
    sa.UniqueConstraint("campaign_id", "address"),
    # The only rows a worker or the sweep ever looks for; every finished send leaves these. One
    # state each: SQLite does not see that `status = 'queued'` implies `status IN ('queued', …)`.
    _partial("ix_sends_queued", "campaign_id", "id", where="status = 'queued'"),
    _partial("ix_sends_sending", "campaign_id", "id", where="status = 'sending'"),
    _partial("ix_sends_transactional", "id",
             where="status = 'queued' AND lane = 'transactional'"),
    _partial("ix_sends_in_doubt", "campaign_id", "id", where="status = 'in_doubt'"),
    # Transactional mail to who is no subscriber; a campaign's rows never enter it.
    _partial("ix_sends_strangers", "address", "id", where="subscriber_id IS NULL"),
    sa.Index("ix_sends_subscriber_id", "subscriber_id"),
)  # fmt: skip


def _evidence(name: str, *columns: sa.Column[str]) -> sa.Table:
    """A table of events that count against an address, each applied once by (esp, event_key)."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Big, primary_key=True),
        sa.Column("esp", sa.Text, nullable=False),
        sa.Column("event_key", sa.Text, nullable=False),
        sa.Column("at", Time, nullable=False),  # by the ESP's clock
        sa.Column("received_at", Time, nullable=False),
        sa.Column("send_id", Big),
        sa.Column("campaign_id", Big),
        sa.Column("subscriber_id", Big),
        sa.Column("address", sa.Text, nullable=False, server_default=""),
        *columns,
        sa.Column("raw", Json),
        sa.UniqueConstraint("esp", "event_key"),
        sa.Index(f"ix_{name}_subscriber_id", "subscriber_id"),
    )


bounces = _evidence(
    "bounces",
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)
complaints = _evidence(
    "complaints",
    sa.Column("feedback_type", sa.Text, nullable=False, server_default=""),
)

engagement = sa.Table(
    "engagement",
    metadata,
    # Clustered by the ESP's time: a redelivered event has the same time, so finding it
    # again touches a warm page, whatever its random key is.
    sa.Column("at", Time, primary_key=True),
    sa.Column("esp", sa.Text, primary_key=True),  # `own` for our pixel and links
    sa.Column("event_key", sa.Text, primary_key=True),
    sa.Column("received_at", Time, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("label", sa.Text),
    sa.Column("send_id", Big),
    sa.Column("campaign_id", Big),
    sa.Column("subscriber_id", Big),
    sa.Column("link", sa.Integer),
    sa.Column("detail", Json),
    sa.Column("folded", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("ix_engagement_subscriber_id_at", "subscriber_id", "at"),
    _partial("ix_engagement_unfolded", "received_at", where="NOT folded"),
    sqlite_with_rowid=False,
)

#: Counters of `esp_performance`. In scope `campaign` they count states of sends (`by_esp`),
#: in the other scopes events.
PERFORMANCE_COUNTERS = (
    "used", "requests_ok", "requests_failed", "throttled",
    "accepted", "delivered", "bounced", "complained", "failed", "in_doubt",
    "deferred", "hard", "soft", "block", "opened", "clicked", "unsubscribed", "refused",
)  # fmt: skip

#: scope · key · period:
#: esp · name · `live`: all that is known of it in `state` (services/esp_state.py), its cells (ESP x
#: mailbox provider) included: they are read and written with it; esp · name · day: its counters
#: campaign · name · campaign id: states of the campaign's sends at that ESP
#: hour · esp · hour; domain · domain · `live`: DNS verdicts
#: instance · `keys` · `live`: key fingerprints; outgoing · endpoint · `live`: cursors and turns
#: mx · domain · `live`: its mailbox provider, as its MX records said
#: canary · campaign id · `live`: the pace of its careful start
#: guard · campaign id · `live`: what the campaign guard has counted
#: import · import id · `live`: how far an import got; import-errors · import id · number: bad rows
esp_performance = sa.Table(
    "esp_performance",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    *(_counter(name) for name in PERFORMANCE_COUNTERS),
    sa.Column("state", Json, nullable=False, server_default="{}"),
    sa.Column("updated_at", Time, nullable=False),
)
