"""How `flask db` reaches the shared database."""

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import text

from library_server.shared.schema import VERSION_TABLE

# Two replicas that migrate at once take turns; the number is ours alone.
ADVISORY_LOCK = 7_305_801_142
# Better to fail and be run again than to stand in a queue that stops the backend.
LOCK_TIMEOUT = "10s"


def run() -> None:
    """Runs the migrations in one transaction: all of them or none."""
    if context.is_offline_mode():
        raise CommandError("migrations look at the database they adopt; --sql is not possible")
    database = current_app.extensions["migrate"].db
    with database.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            version_table=VERSION_TABLE,  # the backend may use Alembic's own name for its migrations
            include_name=lambda name, kind, _: kind != "table" or name in database.metadata.tables,
        )
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            context.run_migrations()


run()
