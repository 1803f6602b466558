"""Counts of what is used, and a note of every change to the catalogue, whoever makes it.

The note is a row that the change's own transaction leaves, so it is seen when the change is, and not before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TRIGGER = """
CREATE TRIGGER library_note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON content_library
FOR EACH STATEMENT WHEN (current_setting('library.counting', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION library_note_change()
"""

# With the rights of its owner: whoever writes to the catalogue need not be allowed to write here.
FUNCTION = """
CREATE FUNCTION library_note_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
  INSERT INTO library_change DEFAULT VALUES;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "library_usage",
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(10), nullable=False),
        sa.Column("hour", sa.DateTime(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("reported", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("content_id", "event", "hour", name="pk_library_usage"),
    )
    op.create_index("ix_library_usage_hour", "library_usage", ["hour"])
    # every flush looks for hours that are over and not in the analytics yet
    op.create_index(
        "ix_library_usage_unreported", "library_usage", ["hour"], postgresql_where=sa.text("reported < count")
    )
    op.create_table(
        "library_usage_batch",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("written_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_library_usage_batch"),
    )
    op.create_table(
        "library_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_library_change"),
    )
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(FUNCTION.format(schema=schema))
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER IF EXISTS library_note_change ON content_library")
    op.execute("DROP FUNCTION IF EXISTS library_note_change()")
    for table in ("library_change", "library_usage_batch", "library_usage"):
        op.execute(f"DROP TABLE IF EXISTS {table}")
