"""Manifests of the curriculum: the items' import, told of other tables, and what a dry run says will differ."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from library_server.catalog.importing import MAX_DIFFERENCES, import_manifest
from library_server.catalog.manifests import Report
from library_server.curriculum.importing import TABLES
from library_server.curriculum.services import curriculum_changed
from library_server.dev.command import SAMPLE
from tests.curriculum.conftest import KINDS, LESSON, RHYME, UNIT, Kind, every_kind, one_shape

KEYS = {
    LESSON.path: ("lesson_number", "skill_focus", "activity_type"),
    RHYME.path: ("rhyme_name",),
    UNIT.path: ("subject", "grade_level", "unit_title", "lesson_sequence"),
}


@pytest.fixture
def app(make_app: Any, database_url: str, redis: Any, tmp_path: Path) -> Any:
    """The application with a content folder of this test's own."""
    return make_app(database_url, CONTENT_STORAGE_PATH=str(tmp_path / "content"))


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """``manifest(row, row…)``: a CSV file of rows; what is no text is written as JSON."""

    def write(*rows: dict[str, Any]) -> Path:
        path = tmp_path / "manifest.csv"
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        return path

    return write


@pytest.fixture
def run(app: Flask, manifest: Callable[..., Path]) -> Callable[..., Report]:
    """``run(LESSON, row, row…, update=True)``: imports a manifest of these rows."""

    def do(kind: Kind, *rows: dict[str, Any], **options: Any) -> Report:
        with app.app_context():
            return import_manifest(manifest(*rows), table=TABLES[_name(kind)], **options)

    return do


@pytest.fixture
def command(app: Flask) -> Callable[..., Result]:
    """``command(LESSON, "manifest.csv", "--update")``: `flask library import` with these words."""
    return lambda kind, *words: app.test_cli_runner().invoke(
        args=["library", "import", "--kind", _name(kind), *map(str, words)]
    )


@every_kind
def test_an_imported_row_is_what_the_api_would_have_made(kind: Kind, run: Any, create: Any, get: Any) -> None:
    assert run(kind, kind.whole, kind.least | _another(kind)) == Report(rows=2, added=2)
    create(kind, **kind.whole), create(kind, **_another(kind))
    rows = [_without_id(get(f"{kind.path}/{number}")[kind.one]) for number in (1, 2, 3, 4)]
    assert rows[:2] == rows[2:]


@every_kind
def test_twice_adds_nothing_and_update_changes_what_differs(kind: Kind, run: Any, sql: Any) -> None:
    run(kind, kind.whole)
    [before] = sql(f"SELECT * FROM {kind.table}")
    name = next(name for name in reversed(kind.whole) if name not in KEYS[kind.path])
    new = "new" if isinstance(kind.whole[name], str) else 9
    changed = kind.whole | {name: new}
    assert run(kind, changed) == Report(rows=1, unchanged=1)
    assert run(kind, kind.whole, update=True) == Report(rows=1, unchanged=1)
    assert sql(f"SELECT * FROM {kind.table}") == [before]
    assert run(kind, changed, update=True) == Report(rows=1, updated=1)
    [after] = sql(f"SELECT * FROM {kind.table}")
    assert (
        after == before | {name: new, "updated_at": after["updated_at"]} and after["updated_at"] > before["updated_at"]
    )


@one_shape
@every_kind
def test_an_empty_cell_is_the_null_that_the_api_stores(kind: Kind, run: Any, create: Any, sql: Any) -> None:
    create(kind)
    before = sql(f"SELECT * FROM {kind.table}")
    assert run(kind, dict.fromkeys(kind.whole, "") | kind.least, update=True) == Report(rows=1, unchanged=1)
    run(kind, dict.fromkeys(kind.whole, "") | kind.least | _another(kind))
    nulls = ", ".join(f"{name} IS NULL AS {name}" for name in kind.whole)
    made, imported = sql(f"SELECT {nulls} FROM {kind.table} ORDER BY id")
    assert made == imported
    assert sql(f"SELECT * FROM {kind.table} WHERE id = 1") == before


@one_shape
@every_kind
def test_a_row_is_known_by_its_whole_key(kind: Kind, run: Any, sql: Any) -> None:
    rows = [kind.least] + [
        kind.least | {name: 77 if isinstance(kind.whole[name], int) else "other"} for name in KEYS[kind.path]
    ]
    assert run(kind, *rows) == Report(rows=len(rows), added=len(rows))
    assert run(kind, *rows, update=True) == Report(rows=len(rows), unchanged=len(rows))
    report = run(kind, *rows, kind.least)
    assert report.problems == [(len(rows) + 2, f"the same {kind.one} as line 2 ({', '.join(KEYS[kind.path])})")]


@one_shape
def test_bad_rows_are_told_by_line_and_the_others_come_in(run: Any, sql: Any) -> None:
    good = UNIT.least
    report = run(
        UNIT,
        good,
        good | {"lesson_sequence": ""},
        good | {"lesson_sequence": "9" * 5_000},
        good | {"lesson_sequence": "-1"},
        good | {"lesson_sequence": 3, "estimated_duration": "soon"},
        good | {"lesson_sequence": 3, "resources": "5"},
        good | {"lesson_sequence": 3, "content_structure": "{"},
        good | {"lesson_sequence": 3, "subject": "x" * 51},
        good | {"lesson_sequence": 4, "learning_objectives": "counting; adding"},
    )
    assert [line for line, _ in report.problems] == [3, 4, 5, 6, 7, 8, 9]
    sentences = [sentence for _, sentence in report.problems]
    assert sentences[0] == "Missing required fields: lesson_sequence"
    assert sentences[1] == "lesson_sequence should be less than or equal to 2147483647"
    assert [sentence.split()[0] for sentence in sentences[2:]] == [
        "lesson_sequence", "estimated_duration", "resources", "content_structure", "subject",
    ]  # fmt: skip
    stored = sql(f"SELECT lesson_sequence, learning_objectives FROM {UNIT.table} ORDER BY id")
    assert [tuple(row.values()) for row in stored] == [(2, None), (4, ["counting", "adding"])]


@one_shape
def test_recordings_come_along(run: Any, tmp_path: Path) -> None:
    files = tmp_path / "files/audio"
    files.mkdir(parents=True)
    (files / "one.mp3").write_bytes(b"sound")
    rows = [RHYME.least | {"rhyme_name": name, "audio_file_path": f"audio/{name}.mp3"} for name in ("one", "none")]
    dry = run(RHYME, *rows, files=files.parent, dry_run=True)
    assert not (tmp_path / "content").exists()
    report = run(RHYME, *rows, files=files.parent)
    assert (report.added, report.files, report.problems) == (1, 1, dry.problems)
    assert report.problems == [(3, "audio_file_path: there is no file audio/none.mp3 in the folder of files")]
    assert (tmp_path / "content/audio/one.mp3").read_bytes() == b"sound"
    assert run(LESSON, LESSON.least | {"audio_file_path": "audio/one.mp3"}, files=files.parent).files == 0
    assert run(UNIT, UNIT.least, files=files.parent) == Report(rows=1, added=1)


@one_shape
def test_caches_are_told_once_and_only_of_changes(run: Any) -> None:
    heard: list[object] = []
    with curriculum_changed.connected_to(lambda sender, name, row_id: heard.append((name, row_id))):
        run(UNIT, UNIT.least, dry_run=True)
        run(UNIT, UNIT.least, UNIT.least | {"lesson_sequence": 7})
        run(UNIT, UNIT.least)
    assert heard == [("multi-subject", None)]


def test_a_dry_run_prints_what_differs_row_by_row(command: Any, run: Any, manifest: Any, sql: Any) -> None:
    kept = LESSON.least | {"lesson_number": 5, "audio_file_path": f"audio/{'o' * 70}.mp3"}
    run(LESSON, LESSON.whole, LESSON.least | {"lesson_number": 4}, kept)
    before = sql(f"SELECT * FROM {LESSON.table} ORDER BY id")
    path = manifest(
        LESSON.whole | {"content_data": {"minutes": 5, "words": ["cat", "größe", "🕷️"]}},  # the same, in another order
        LESSON.least | {"lesson_number": 4, "difficulty_progression": "new", "content_data": "[1]"},
        LESSON.least | {"lesson_number": 5, "audio_file_path": "audio/new.mp3"},
        LESSON.least | {"lesson_number": 6, "skill_focus": "two\nlines"},
    )
    added = "line 5 would add: 6 · two lines · song"
    last = "4 rows: 1 would be added, {}, 0 bad; 0 files copied."
    dry = command(LESSON, path, "--dry-run")
    assert dry.output.splitlines()[-2:] == [added, last.format("0 would be updated, 3 left as they are")]
    dry = command(LESSON, path, "--dry-run", "--update")
    assert dry.output.splitlines()[-7:] == [
        "line 3 would change: 4 · rhyming · song",
        "    content_data: nothing → [1]",
        "    difficulty_progression: nothing → new",
        "line 4 would change: 5 · rhyming · song",
        f"    audio_file_path: audio/{'o' * 54} → audio/new.mp3",
        added,
        last.format("2 would be updated, 1 left as they are"),
    ]
    assert dry.exit_code == 0
    assert sql(f"SELECT * FROM {LESSON.table} ORDER BY id") == before
    done = command(LESSON, path, "--update")
    assert done.output.splitlines()[-1] == ("4 rows: 1 added, 2 updated, 1 left as they are, 0 bad; 0 files copied.")
    assert "would" not in done.output


@one_shape
def test_a_dry_run_of_items_says_it_too_and_stops_somewhere(app: Flask, manifest: Any) -> None:
    items = [{"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": f"{n}"} for n in range(130)]
    result = app.test_cli_runner().invoke(args=["library", "import", str(manifest(*items)), "--dry-run"])
    lines = [line for line in result.output.splitlines() if " would add: " in line]
    assert len(lines) == MAX_DIFFERENCES
    assert lines[1] == "line 3 would add: story · math · 3-5 · 1"
    assert result.output.splitlines()[-2] == f"… and {130 - MAX_DIFFERENCES} more that would be added or changed."


@one_shape
def test_the_kind_says_which_columns_there_are(command: Any, manifest: Any) -> None:
    for kind in KINDS:
        for other in KINDS:
            result = command(kind, manifest(other.least), "--dry-run")
            assert (kind.many, other.many, result.exit_code) == (kind.many, other.many, 0 if kind is other else 1)
            if kind is not other:
                assert f"known are {', '.join(kind.whole)}" in result.output


@one_shape
def test_the_sample_is_good_and_served(app: Flask, get: Any) -> None:
    for kind, rows in ((LESSON, 10), (RHYME, 8), (UNIT, 12)):
        with app.app_context():
            report, again = (
                import_manifest(SAMPLE / f"{_name(kind)}.csv", SAMPLE / "files", table=TABLES[_name(kind)], update=True)
                for _ in range(2)
            )
        assert (report.problems, report.added, again.unchanged) == ([], rows, rows)
        shown = get(kind.path)[kind.many]
        assert len(shown) == rows
        for row in shown:
            if row.get("audio_url"):
                assert (SAMPLE / "files" / row["audio_file_path"]).is_file()


def _name(kind: Kind) -> str:
    return kind.path.rpartition("/")[2]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _another(kind: Kind) -> dict[str, Any]:
    name = kind.required[0]
    return {name: 8 if isinstance(kind.whole[name], int) else "another"}


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return row | dict.fromkeys(("id", "created_at", "updated_at", "previous", "next"))
