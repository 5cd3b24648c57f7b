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
    op.drop_index(
        "ix_sends_strangers",
        table_name="sends",
        sqlite_where=_STRANGERS,
        postgresql_where=_STRANGERS,
    )
    op.drop_column("campaigns", "attachments")
