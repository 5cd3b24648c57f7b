"""The seven tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bounces",
        sa.Column("id", Big, nullable=False),
        sa.Column("esp", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("send_id", Big, nullable=True),
        sa.Column("campaign_id", Big, nullable=True),
        sa.Column("subscriber_id", Big, nullable=True),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("raw", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounces")),
        sa.UniqueConstraint("esp", "event_key", name=op.f("uq_bounces_esp")),
    )
    op.create_index("ix_bounces_subscriber_id", "bounces", ["subscriber_id"], unique=False)

    op.create_table(
        "campaigns",
        sa.Column("id", Big, nullable=False),
        sa.Column("kind", sa.Text(), server_default="campaign", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("idempotency_hash", sa.Text(), nullable=True),
        sa.Column("idempotency_answer", Json, nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("from_email", sa.Text(), nullable=False),
        sa.Column("from_name", sa.Text(), server_default="", nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("segment", Json, nullable=True),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("options", Json, server_default="{}", nullable=False),
        sa.Column("links", Json, server_default="[]", nullable=False),
        sa.Column("scheduled_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("launched_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("max_subscriber_id", Big, nullable=True),
        sa.Column("build_cursor", Big, server_default="0", nullable=False),
        sa.Column("audience", Big, server_default="0", nullable=False),
        sa.Column("n_queued", Big, server_default="0", nullable=False),
        sa.Column("n_sending", Big, server_default="0", nullable=False),
        sa.Column("n_accepted", Big, server_default="0", nullable=False),
        sa.Column("n_delivered", Big, server_default="0", nullable=False),
        sa.Column("n_bounced", Big, server_default="0", nullable=False),
        sa.Column("n_complained", Big, server_default="0", nullable=False),
        sa.Column("n_failed", Big, server_default="0", nullable=False),
        sa.Column("n_suppressed", Big, server_default="0", nullable=False),
        sa.Column("n_cancelled", Big, server_default="0", nullable=False),
        sa.Column("n_in_doubt", Big, server_default="0", nullable=False),
        sa.Column("opens_human", Big, server_default="0", nullable=False),
        sa.Column("opens_machine", Big, server_default="0", nullable=False),
        sa.Column("opens_privacy", Big, server_default="0", nullable=False),
        sa.Column("unique_opens", Big, server_default="0", nullable=False),
        sa.Column("clicks_human", Big, server_default="0", nullable=False),
        sa.Column("clicks_machine", Big, server_default="0", nullable=False),
        sa.Column("clicks_privacy", Big, server_default="0", nullable=False),
        sa.Column("unique_clicks", Big, server_default="0", nullable=False),
        sa.Column("unsubscribes", Big, server_default="0", nullable=False),
        sa.Column("replies", Big, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("nonce", name=op.f("uq_campaigns_nonce")),
    )
    op.create_index(
        "ix_campaigns_cancelling",
        "campaigns",
        ["id"],
        unique=False,
        sqlite_where=sa.text("status = 'cancelled' AND n_queued > 0"),
        postgresql_where=sa.text("status = 'cancelled' AND n_queued > 0"),
    )
    op.create_index("ix_campaigns_kind_id", "campaigns", ["kind", "id"], unique=False)
    op.create_index(
        "ix_campaigns_leases",
        "campaigns",
        ["id"],
        unique=False,
        sqlite_where=sa.text("n_sending > 0"),
        postgresql_where=sa.text("n_sending > 0"),
    )
    op.create_index(
        "ix_campaigns_open",
        "campaigns",
        ["status", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('scheduled', 'sending', 'paused')"),
        postgresql_where=sa.text("status IN ('scheduled', 'sending', 'paused')"),
    )
    op.create_index(
        "uq_campaigns_idempotency_key",
        "campaigns",
        ["idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )

    op.create_table(
        "complaints",
        sa.Column("id", Big, nullable=False),
        sa.Column("esp", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("send_id", Big, nullable=True),
        sa.Column("campaign_id", Big, nullable=True),
        sa.Column("subscriber_id", Big, nullable=True),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("feedback_type", sa.Text(), server_default="", nullable=False),
        sa.Column("raw", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_complaints")),
        sa.UniqueConstraint("esp", "event_key", name=op.f("uq_complaints_esp")),
    )
    op.create_index("ix_complaints_subscriber_id", "complaints", ["subscriber_id"], unique=False)

    op.create_table(
        "engagement",
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("esp", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("send_id", Big, nullable=True),
        sa.Column("campaign_id", Big, nullable=True),
        sa.Column("subscriber_id", Big, nullable=True),
        sa.Column("link", sa.Integer(), nullable=True),
        sa.Column("detail", Json, nullable=True),
        sa.Column("folded", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.PrimaryKeyConstraint("at", "esp", "event_key", name=op.f("pk_engagement")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_engagement_subscriber_id_at", "engagement", ["subscriber_id", "at"], unique=False
    )
    op.create_index(
        "ix_engagement_unfolded",
        "engagement",
        ["received_at"],
        unique=False,
        sqlite_where=sa.text("NOT folded"),
        postgresql_where=sa.text("NOT folded"),
    )

    op.create_table(
        "esp_performance",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("used", Big, server_default="0", nullable=False),
        sa.Column("requests_ok", Big, server_default="0", nullable=False),
        sa.Column("requests_failed", Big, server_default="0", nullable=False),
        sa.Column("throttled", Big, server_default="0", nullable=False),
        sa.Column("accepted", Big, server_default="0", nullable=False),
        sa.Column("delivered", Big, server_default="0", nullable=False),
        sa.Column("bounced", Big, server_default="0", nullable=False),
        sa.Column("complained", Big, server_default="0", nullable=False),
        sa.Column("failed", Big, server_default="0", nullable=False),
        sa.Column("in_doubt", Big, server_default="0", nullable=False),
        sa.Column("deferred", Big, server_default="0", nullable=False),
        sa.Column("hard", Big, server_default="0", nullable=False),
        sa.Column("soft", Big, server_default="0", nullable=False),
        sa.Column("block", Big, server_default="0", nullable=False),
        sa.Column("opened", Big, server_default="0", nullable=False),
        sa.Column("clicked", Big, server_default="0", nullable=False),
        sa.Column("unsubscribed", Big, server_default="0", nullable=False),
        sa.Column("refused", Big, server_default="0", nullable=False),
        sa.Column("state", Json, server_default="{}", nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", "period", name=op.f("pk_esp_performance")),
    )
    op.create_table(
        "subscribers",
        sa.Column("id", Big, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("status_at", sa.Double(), nullable=False),
        sa.Column("tags", Json, server_default="{}", nullable=False),
        sa.Column("attributes", Json, server_default="{}", nullable=False),
        sa.Column("topic_opt_outs", Json, server_default="{}", nullable=False),
        sa.Column("history", Json, server_default="[]", nullable=False),
        sa.Column("opt_in_at", sa.Double(), nullable=True),
        sa.Column("opt_in_ip", sa.Text(), nullable=True),
        sa.Column("engagement", sa.Double(), nullable=True),
        sa.Column("last_delivered_at", sa.Double(), nullable=True),
        sa.Column("last_open_at", sa.Double(), nullable=True),
        sa.Column("last_click_at", sa.Double(), nullable=True),
        sa.Column("soft_bounce_run", sa.Integer(), server_default="0", nullable=False),
        sa.Column("soft_bounce_since", sa.Double(), nullable=True),
        sa.Column("import_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscribers")),
        sa.UniqueConstraint("address", name=op.f("uq_subscribers_address")),
    )
    op.create_index(
        "ix_subscribers_status_engagement", "subscribers", ["status", "engagement"], unique=False
    )

    op.create_table(
        "sends",
        sa.Column("id", Big, nullable=False),
        sa.Column("campaign_id", Big, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("subscriber_id", Big, nullable=True),
        sa.Column("lane", sa.Text(), server_default="campaign", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("handed_over_at", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("esp", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("trail", Json, nullable=True),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("clicked_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_sends_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sends")),
        sa.UniqueConstraint("campaign_id", "address", name=op.f("uq_sends_campaign_id")),
    )
    op.create_index(
        "ix_sends_in_doubt",
        "sends",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'in_doubt'"),
        postgresql_where=sa.text("status = 'in_doubt'"),
    )
    op.create_index(
        "ix_sends_queued",
        "sends",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_sends_sending",
        "sends",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'sending'"),
        postgresql_where=sa.text("status = 'sending'"),
    )
    op.create_index("ix_sends_subscriber_id", "sends", ["subscriber_id"], unique=False)
    op.create_index(
        "ix_sends_transactional",
        "sends",
        ["id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued' AND lane = 'transactional'"),
        postgresql_where=sa.text("status = 'queued' AND lane = 'transactional'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_sends_transactional",
        table_name="sends",
        sqlite_where=sa.text("status = 'queued' AND lane = 'transactional'"),
        postgresql_where=sa.text("status = 'queued' AND lane = 'transactional'"),
    )
    op.drop_index("ix_sends_subscriber_id", table_name="sends")
    op.drop_index(
        "ix_sends_sending",
        table_name="sends",
        sqlite_where=sa.text("status = 'sending'"),
        postgresql_where=sa.text("status = 'sending'"),
    )
    op.drop_index(
        "ix_sends_queued",
        table_name="sends",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_index(
        "ix_sends_in_doubt",
        table_name="sends",
        sqlite_where=sa.text("status = 'in_doubt'"),
        postgresql_where=sa.text("status = 'in_doubt'"),
    )

    op.drop_table("sends")
    op.drop_index("ix_subscribers_status_engagement", table_name="subscribers")

    op.drop_table("subscribers")
    op.drop_table("esp_performance")
    op.drop_index(
        "ix_engagement_unfolded",
        table_name="engagement",
        sqlite_where=sa.text("NOT folded"),
        postgresql_where=sa.text("NOT folded"),
    )
    op.drop_index("ix_engagement_subscriber_id_at", table_name="engagement")

    op.drop_table("engagement")
    op.drop_index("ix_complaints_subscriber_id", table_name="complaints")

    op.drop_table("complaints")
    op.drop_index(
        "uq_campaigns_idempotency_key",
        table_name="campaigns",
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.drop_index(
        "ix_campaigns_open",
        table_name="campaigns",
        sqlite_where=sa.text("status IN ('scheduled', 'sending', 'paused')"),
        postgresql_where=sa.text("status IN ('scheduled', 'sending', 'paused')"),
    )
    op.drop_index(
        "ix_campaigns_leases",
        table_name="campaigns",
        sqlite_where=sa.text("n_sending > 0"),
        postgresql_where=sa.text("n_sending > 0"),
    )
    op.drop_index(
        "ix_campaigns_cancelling",
        table_name="campaigns",
        sqlite_where=sa.text("status = 'cancelled' AND n_queued > 0"),
        postgresql_where=sa.text("status = 'cancelled' AND n_queued > 0"),
    )
    op.drop_index("ix_campaigns_kind_id", table_name="campaigns")

    op.drop_table("campaigns")
    op.drop_index("ix_bounces_subscriber_id", table_name="bounces")

    op.drop_table("bounces")
