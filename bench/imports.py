"""Bulk import against a bare COPY of the same rows and the building of the same indexes.

Run: ``python -m bench.imports [rows]``.
"""

import csv
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from bench.harness import Case, Want, scratch_app, take_turns
from library_server.catalog.importing import import_manifest
from library_server.extensions import db

ROUNDS = 3
HEADER = ("content_type", "subject_area", "age_range", "title", "description", "skill_objectives", "download_priority")
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'content_library'"


def main(rows: int) -> None:
    for case in cases(rows):
        print(case)


def cases(rows: int) -> Iterator[Case]:
    """The import, beside the least that PostgreSQL needs for the rows."""
    with tempfile.TemporaryDirectory() as folder, scratch_app():
        manifest = _write_manifest(Path(folder) / "manifest.csv", rows)

        def ours() -> None:
            db.session.execute(text("TRUNCATE content_library"))
            db.session.commit()
            assert import_manifest(manifest).added == rows
            db.session.remove()

        times = take_turns({"COPY and indexes": lambda: _copy(manifest), "library import": ours}, ROUNDS)
    yield Case(f"import of {rows} rows", "s", times, [Want("library import", 3, "COPY and indexes", at_most=True)])


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


def _copy(manifest: Path) -> None:
    """What PostgreSQL needs at least: the rows by COPY into a table without indexes, then the indexes."""
    connection = db.session.connection()
    indexes = connection.execute(text(INDEXES)).scalars().all()
    connection.execute(text("CREATE TABLE reference (LIKE content_library INCLUDING DEFAULTS INCLUDING GENERATED)"))
    with manifest.open() as rows:
        cursor = connection.connection.cursor()
        cursor.copy_expert(f"COPY reference ({', '.join(HEADER)}) FROM STDIN (FORMAT csv, HEADER)", rows)
    for definition in indexes:
        made = re.sub(r"INDEX \S+ ON public\.content_library", "INDEX ON reference", definition)
        connection.execute(text(made))
    db.session.commit()
    db.session.execute(text("DROP TABLE reference"))
    db.session.commit()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
