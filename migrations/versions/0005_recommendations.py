"""Find some items of every age range, subject, skill and step of difficulty without reading the rest.

The skill is the first name in the JSON, whatever its form. It is cut out of the text, because PostgreSQL cannot read
JSON that holds NUL or half a surrogate pair, and an index must not refuse a row of the backend's.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_FIRST_NAME = "left(split_part(CAST(skill_objectives AS text), '\"', 2), 60)"
SKILL = f"coalesce(translate(lower({_FIRST_NAME}), ' -', '__'), '')"
STEP = (
    "CASE WHEN difficulty_level IN ('beginner', 'easy') THEN 0 WHEN difficulty_level IN ('intermediate', 'standard') "
    "THEN 1 WHEN difficulty_level IN ('advanced', 'challenging') THEN 2 ELSE 3 END"
)


def upgrade() -> None:
    op.execute(
        f"CREATE INDEX ix_library_recommend ON content_library (age_range, subject_area, ({SKILL}), ({STEP}), "
        "download_priority, id) WHERE active IS NOT FALSE"
    )


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_library_recommend")
