"""Adopt the shared database: make what the library lacks there, and touch nothing else.

Every table may be missing (an empty database), complete (the integration guide's) or half there (the backend's, whose
``content_library`` has another key and half the columns). What is added carries a comment, and downgrading removes
just what carries it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column, String, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MARK = "Added by the library server"

TIMES = (("created_at", sa.DateTime()), ("updated_at", sa.DateTime()))

# Column by column: name, type, and True where a new table requires a value. A column added to an existing table
# never does: the statements of whoever made that table do not name it.
TABLES = {
    "content_library": (
        ("content_type", String(50), True),
        ("subject_area", String(50), True),
        ("age_range", String(20), True),
        ("title", String(200)),
        ("description", Text()),
        ("file_path", String(500)),
        ("skill_objectives", sa.JSON()),
        ("prerequisite_skills", sa.JSON()),
        ("content_metadata", sa.JSON()),
        ("download_priority", sa.Integer()),
        ("difficulty_level", String(20)),
        ("active", sa.Boolean()),
        ("usage_count", sa.Integer()),
        ("average_completion_time", sa.Integer()),
        ("success_rate", sa.Integer()),
        *TIMES,
    ),
    "heggerty_curriculum_data": (
        ("lesson_number", sa.Integer(), True),
        ("skill_focus", String(100), True),
        ("activity_type", String(50), True),
        ("content_data", sa.JSON()),
        ("audio_file_path", String(500)),
        ("difficulty_progression", String(20)),
        *TIMES,
    ),
    "nursery_rhyme_data": (
        ("rhyme_name", String(100), True),
        ("lyrics", Text()),
        ("audio_file_path", String(500)),
        ("learning_objectives", sa.JSON()),
        ("motor_skills", sa.JSON()),
        ("age_appropriate", String(20)),
        *TIMES,
    ),
    "multi_subject_curriculum": (
        ("subject", String(50), True),
        ("grade_level", String(20), True),
        ("unit_title", String(200), True),
        ("lesson_sequence", sa.Integer(), True),
        ("learning_objectives", sa.JSON()),
        ("content_structure", sa.JSON()),
        ("assessment_criteria", sa.JSON()),
        ("resources", sa.JSON()),
        ("difficulty_progression", String(20)),
        ("estimated_duration", sa.Integer()),
        *TIMES,
    ),
}


def upgrade() -> None:
    for table, columns in TABLES.items():
        found = _columns(table)
        if found:
            _complete(table, columns, found)
        else:
            _create(table, columns)


def downgrade() -> None:
    for table in TABLES:
        if _scalar("SELECT obj_description(to_regclass(:table), 'pg_class')", table) == MARK:
            op.drop_table(table)
            continue
        for column in _marked_columns(table):
            op.drop_column(table, column)


def _create(table: str, columns: tuple) -> None:
    op.create_table(
        table,
        Column("id", sa.Integer(), primary_key=True),
        *(Column(name, kind, nullable=not required) for name, kind, *required in columns),
        comment=MARK,
    )


def _complete(table: str, columns: tuple, found: set[str]) -> None:
    for name, kind, *_ in columns:
        if name not in found:
            op.add_column(table, Column(name, kind, nullable=True, comment=MARK))
    if "id" not in found and "content_id" in found:
        # The backend's key. A generated column follows it without the backend knowing.
        op.execute(f"ALTER TABLE {table} ADD COLUMN id INTEGER GENERATED ALWAYS AS (content_id) STORED UNIQUE")
        op.execute(f"COMMENT ON COLUMN {table}.id IS '{MARK}'")
    elif "id" not in found:
        raise RuntimeError(f"{table} has neither id nor content_id: this is not a table that the library knows")


def _columns(table: str) -> set[str]:
    return set(_rows("SELECT attname FROM pg_attribute WHERE {of_table}", table))


def _marked_columns(table: str) -> list[str]:
    return _rows(
        f"SELECT attname FROM pg_attribute WHERE {{of_table}} AND col_description(attrelid, attnum) = '{MARK}'",
        table,
    )


def _rows(statement: str, table: str) -> list[str]:
    of_table = "attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
    rows = op.get_bind().execute(sa.text(statement.format(of_table=of_table)), {"table": table})
    return list(rows.scalars())


def _scalar(statement: str, table: str) -> str | None:
    return op.get_bind().execute(sa.text(statement), {"table": table}).scalar()
