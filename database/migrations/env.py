"""Alembic's entry: runs every migration in one transaction, one process at a time."""

from contextlib import nullcontext

from alembic import context

from database.models import metadata

#: PostgreSQL advisory lock that migrating processes take: any number nobody else uses.
_LOCK = 7_315_219_004

database = context.config.attributes["database"]
#: A caller's transaction, whose end is the caller's matter.
given = context.config.attributes.get("connection")
with nullcontext(given) if given is not None else database.write() as connection:
    if not database.is_sqlite:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transaction_per_migration=False,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
