"""Attachments, and who was mailed without being a subscriber."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STRANGERS = sa.text("subscriber_id IS NULL")


#: Mails that an ESP certainly does not have. Each is the only send of its campaign.
_WAITING = "status = '{status}' AND handed_over_at IS NULL"
_COUNT_AS_FAILED = f"""
    UPDATE campaigns SET n_failed = n_failed + n_{{status}}, n_{{status}} = 0
    WHERE attachments IS NOT NULL
    AND id IN (SELECT campaign_id FROM sends WHERE {_WAITING})
"""
_FAIL = f"""
    UPDATE sends SET status = 'failed', reason = 'its files were dropped by a downgrade',
    esp = NULL, lease_token = NULL, lease_until = NULL
    WHERE {_WAITING} AND campaign_id IN (SELECT id FROM campaigns WHERE attachments IS NOT NULL)
"""


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("attachments", Json, nullable=True))
    op.create_index(
        "ix_sends_strangers",
        "sends",
        ["address", "id"],
        unique=False,
        sqlite_where=_STRANGERS,
        postgresql_where=_STRANGERS,
    )


def downgrade() -> None:
    """A mail that waits with files would leave without them, so it ends."""
    for status in ("queued", "sending"):
        op.execute(sa.text(_COUNT_AS_FAILED.format(status=status)))
        op.execute(sa.text(_FAIL.format(status=status)))
    op.drop_index(
        "ix_sends_strangers",
        table_name="sends",
        sqlite_where=_STRANGERS,
        postgresql_where=_STRANGERS,
    )
    op.drop_column("campaigns", "attachments")
