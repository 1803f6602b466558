"""What the shared database has, lacks, and what a lack switches off, in plain words."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import column, select, table, text
from sqlalchemy.exc import ProgrammingError

from library_server.catalog import counts
from library_server.catalog.models import ContentItem
from library_server.catalog.queries import COUNTS
from library_server.config import current_config
from library_server.curriculum.models import CurriculumUnit, HeggertyLesson, NurseryRhyme
from library_server.extensions import db
from library_server.search import near
from library_server.shared.schema import VERSION_TABLE, columns

UPGRADE = "run `flask db upgrade`"
_LIST_INDEXES = text(
    "SELECT count(*) FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid "
    "WHERE i.relname IN ('ix_library_search_list', 'ix_library_search_kind') AND x.indisvalid"
)
LIST_INDEX_COUNT = 2
_FOUND_BY_CHILD = text(
    "SELECT count(*) FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] "
    "WHERE x.indrelid = to_regclass('progress') AND a.attname = 'child_id' AND x.indisvalid"
)


class Level(IntEnum):
    """The worst one is the exit status of ``flask library check-schema``."""

    FINE = 0
    DEGRADED = 1
    UNUSABLE = 2


class Finding(NamedTuple):
    """One sentence about one table."""

    table: str
    level: Level
    sentence: str


def report() -> list[Finding]:
    """Every finding, table by table. Raises sqlalchemy.exc.OperationalError when the database is away."""
    return [
        *_migrations(),
        *_content_library(),
        *_lists(),
        *_search(),
        *_curriculum(),
        *_parent(),
        *_child(),
        *_progress(),
    ]


def _migrations() -> Iterator[Finding]:
    script = ScriptDirectory(current_app.extensions["migrate"].directory)
    head = script.get_current_head()
    try:
        version = db.session.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    except ProgrammingError:
        db.session.rollback()
        version = None
    if version == head:
        yield Finding("migrations", Level.FINE, f"at {version}, the newest.")
    elif version is None:
        yield Finding("migrations", Level.DEGRADED, f"never run on this database: {UPGRADE}.")
    else:
        yield Finding("migrations", Level.DEGRADED, f"at {version}, the newest is {head}: {UPGRADE}.")


def _content_library() -> Iterator[Finding]:
    name, there = "content_library", columns("content_library")
    if not there:
        yield Finding(name, Level.UNUSABLE, f"not found: there is no library. To create it, {UPGRADE}.")
        return
    missing = _missing(ContentItem, there)
    origin = "the backend's, with its key content_id" if "content_id" in there else "as in the integration guide"
    if missing:
        yield Finding(
            name,
            Level.UNUSABLE,
            f"found ({origin}) without {missing}: items cannot be read. To add them, {UPGRADE}.",
        )
        return
    yield Finding(name, Level.FINE, f"found ({origin}), every column is there.")


def _lists() -> Iterator[Finding]:
    if _missing(ContentItem, columns("content_library")):
        return
    if not columns(COUNTS):
        yield Finding(COUNTS, Level.DEGRADED, f"not found: lists are slow. To create it, {UPGRADE}.")
        return
    if db.session.scalar(_LIST_INDEXES) != LIST_INDEX_COUNT:
        advice = "the two indexes of its lists are missing, or not valid: lists are slow (docs/operating.md)."
        yield Finding("library_search", Level.DEGRADED, advice)
    if wrong := counts.wrong():
        advice = "run `flask library recount`"
        yield Finding(COUNTS, Level.DEGRADED, f"out by {wrong} items: lists and their totals are wrong; {advice}.")
    else:
        yield Finding(COUNTS, Level.FINE, "found; the counts that lists go by add up.")


def _search() -> Iterator[Finding]:
    name = "library_search"
    if not all(columns(table) for table in (name, "library_kind", "library_word")):
        yield Finding(name, Level.DEGRADED, f"not found: search and suggestions are off. To create it, {UPGRADE}.")
        return
    able = near.abilities()
    lacking = [
        extension for extension, there in (("pg_trgm", able.trigrams), ("fuzzystrmatch", able.sounds)) if not there
    ]
    if not lacking:
        yield Finding(name, Level.FINE, "found; misspelt words are found by their letters and by their sound.")
    else:
        yield Finding(
            name,
            Level.DEGRADED,
            f"found, but without the extension {' and '.join(lacking)}: "
            f"{'fewer ' if len(lacking) == 1 else 'no '}misspelt words are found (docs/search.md says how to add it).",
        )


def _curriculum() -> Iterator[Finding]:
    for model in (HeggertyLesson, NurseryRhyme, CurriculumUnit):
        name, there = model.__tablename__, columns(model.__tablename__)
        missing = _missing(model, there)
        if not there:
            yield Finding(name, Level.DEGRADED, f"not found: its curriculum is off. To create it, {UPGRADE}.")
        elif missing:
            yield Finding(name, Level.DEGRADED, f"found without {missing}: its curriculum is off; {UPGRADE}.")
        else:
            yield Finding(name, Level.FINE, "found, every column is there.")


def _parent() -> Iterator[Finding]:
    there = columns("parent")
    if "id" not in there:
        yield Finding("parent", Level.UNUSABLE, "not found, or without id: no parent can sign in, nobody can edit.")
    elif "email" not in there and any("@" in entry for entry in current_config().content_editors):
        yield Finding("parent", Level.DEGRADED, "found without email: the e-mails in CONTENT_EDITORS name nobody.")
    else:
        yield Finding("parent", Level.FINE, "found; read only.")


def _child() -> Iterator[Finding]:
    there = columns("child")
    if "id" not in there:
        yield Finding("child", Level.DEGRADED, "not found, or without id: no child can sign in.")
    elif "parent_id" not in there:
        yield Finding("child", Level.DEGRADED, "found without parent_id: whose child it is cannot be checked.")
    else:
        yield Finding("child", Level.FINE, "found; read only.")


def _progress() -> Iterator[Finding]:
    if "content_id" in columns("progress"):
        yield Finding("progress", Level.FINE, "found; items that its rows name can be retired, not purged.")
    else:
        yield Finding("progress", Level.FINE, "no rows that name items: nothing keeps an item from being purged.")
    if "child_id" in columns("progress") and not db.session.scalar(_FOUND_BY_CHILD):
        advice = "without an index on child_id recommendations slow down with its rows (docs/recommendations.md)."
        yield Finding("progress", Level.FINE, advice)


def _missing(model: type, there: frozenset[str]) -> str:
    wanted = [found.name for found in model.__table__.columns]  # type: ignore[attr-defined]
    return ", ".join(name for name in wanted if name not in there)
