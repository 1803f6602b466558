"""Manifests to import, and a look at what became of them."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "content_type",
    "subject_area",
    "age_range",
    "title",
    "description",
    "file_path",
    "skill_objectives",
    "prerequisite_skills",
    "content_metadata",
    "download_priority",
    "difficulty_level",
    "active",
)
GOOD = {"content_type": "story", "subject_area": "math", "age_range": "6-8", "title": "A story"}
NEEDED = ",".join(GOOD)
WHOLE = GOOD | {
    "description": "Long, with a comma,\nand “two” lines",
    "file_path": "audio/größe.mp3",
    "skill_objectives": '["rhyming", {"week": 1}]',
    "prerequisite_skills": "counting; telling_time",
    "content_metadata": '{"week": 1, "words": ["日本語", "🕷️"], "none": null}',
    "download_priority": "2",
    "difficulty_level": "challenging",
    "active": "false",
}


def numbered(count: int) -> list[dict[str, str]]:
    """So many good rows, titled by their numbers from 0."""
    return [GOOD | {"title": f"{number}"} for number in range(count)]


def as_csv(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> str:
    """A manifest of `rows`, with those of the `columns` that they name."""
    named = {name for row in rows for name in row}
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in columns if name in named], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def stored(sql: Callable[..., Any]) -> list[dict[str, Any]]:
    """The library's rows, by id, in the columns of both shapes."""
    names = ", ".join((*COLUMNS, "id, usage_count, average_completion_time, success_rate, created_at, updated_at"))
    return list(sql(f"SELECT {names} FROM content_library ORDER BY id"))


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, whatever its name, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
