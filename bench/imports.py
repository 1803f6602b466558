"""Bulk import against what PostgreSQL needs at least for the same rows.

Run: ``python -m bench.imports [rows]``.

Two references: COPY into an equal table without indexes and the building of its indexes; and the same with what search
needs at least: one tsvector a row in a table of its own, and its GIN index. The import makes rows, indexes and search.
"""

import csv
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from bench.harness import Case, Options, Want, scratch_app
from library_server.catalog.importing import import_manifest
from library_server.extensions import db

HEADER = ("content_type", "subject_area", "age_range", "title", "description", "skill_objectives", "download_priority")
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'content_library'"
SEARCH = (
    "CREATE TABLE reference_search AS SELECT id, to_tsvector('pg_catalog.english', "
    "concat_ws(' ', title, description, skill_objectives::text)) AS document FROM reference",
    "CREATE INDEX ON reference_search USING gin (document)",
)


def main(rows: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder:
        for case in cases(Options(Path(folder), rows, rounds=3)):
            print(case)


def cases(given: Options) -> Iterator[Case]:
    """The import, beside the least that PostgreSQL needs for the rows."""
    with tempfile.TemporaryDirectory() as folder, scratch_app():
        manifest = _write_manifest(Path(folder) / "manifest.csv", given.rows)

        candidates = {
            "COPY and indexes": lambda: _copy(manifest, ()),
            "COPY, indexes and search": lambda: _copy(manifest, SEARCH),
            "library import": lambda: import_manifest(manifest),
        }
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(given.rounds):
            for name, run in candidates.items():
                _clear()
                started = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - started)
    wants = [Want("library import", 3, name, at_most=True) for name in times if name != "library import"]
    yield Case(f"import of {given.rows} rows", "s", times, wants)


def _write_manifest(path: Path, rows: int) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(rows):
            subject = ("math", "science", "geography")[number % 3]
            age = ("3-5", "6-8", "9-12")[number % 7 % 3]
            objectives = '["counting","rhyming"]'
            words = f"A description of item {number} that is as long as such descriptions usually are."
            writer.writerow(["story", subject, age, f"Title {number}", words, objectives, number % 10 + 1])
    return path


def _copy(manifest: Path, more: tuple[str, ...]) -> None:
    """The rows by COPY into a table without indexes, then the indexes, then what `more` says."""
    connection = db.session.connection()
    indexes = connection.execute(text(INDEXES)).scalars().all()
    connection.execute(text("CREATE TABLE reference (LIKE content_library INCLUDING DEFAULTS INCLUDING GENERATED)"))
    with manifest.open() as rows:
        cursor = connection.connection.cursor()
        cursor.copy_expert(f"COPY reference ({', '.join(HEADER)}) FROM STDIN (FORMAT csv, HEADER)", rows)
    for definition in indexes:
        made = re.sub(r"INDEX \S+ ON public\.content_library", "INDEX ON reference", definition)
        connection.execute(text(made))
    for statement in more:
        connection.execute(text(statement))
    db.session.commit()


def _clear() -> None:
    """Everything as before the first round."""
    db.session.execute(text("DROP TABLE IF EXISTS reference, reference_search"))
    db.session.execute(text("TRUNCATE content_library, library_search"))
    db.session.commit()
    db.session.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else Options.rows)
