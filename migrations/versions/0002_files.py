"""Find the items that own a file: asked on every request for one."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_library_file_path ON content_library (file_path)")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_library_file_path")
