"""`flask library import`: what it prints, and its exit status for scripts."""

from pathlib import Path
from typing import Any

import pytest

from tests.catalog_import.manifests import GOOD, files_in, stored


def test_it_prints_what_was_done(command: Any, write: Any, files: Path, content: Path) -> None:
    manifest = write(GOOD | {"file_path": "audio/one.mp3"}, GOOD | {"title": "another"})
    first, second = command(manifest, "--files", files), command(manifest, "--files", files)
    assert first.output.splitlines()[-1] == "2 rows: 2 added, 0 updated, 0 left as they are, 0 bad; 1 files copied."
    assert second.output.splitlines()[-1] == "2 rows: 0 added, 0 updated, 2 left as they are, 0 bad; 0 files copied."
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert files_in(content).keys() == {"audio/one.mp3"}


def test_it_updates_and_runs_dry_when_told(command: Any, write: Any, sql: Any) -> None:
    command(write(GOOD))
    manifest = write(GOOD | {"description": "new"}, GOOD | {"title": "another"})
    dry = command(manifest, "--update", "--dry-run")
    assert dry.output.splitlines()[-1] == (
        "2 rows: 1 would be added, 1 would be updated, 0 left as they are, 0 bad; 0 files copied."
    )
    assert (dry.exit_code, [item["description"] for item in stored(sql)]) == (0, [None])
    assert command(manifest, "--update").exit_code == 0
    assert [item["description"] for item in stored(sql)] == ["new", None]


def test_it_tells_bad_rows_in_their_order_and_ends_with_1(command: Any, write: Any, files: Path) -> None:
    rows = [GOOD | {"title": f"{n}", "age_range": "old"} for n in range(150)]
    rows[1] = GOOD | {"title": "no file", "file_path": "audio/none.mp3"}
    result = command(write(*rows, GOOD), "--files", files)
    lines = [line for line in result.output.splitlines() if line.startswith("line ")]
    assert [int(line.removeprefix("line ").partition(":")[0]) for line in lines] == list(range(2, 102))
    assert lines[1] == "line 3: file_path: there is no file audio/none.mp3 in the folder of files"
    assert result.output.splitlines()[-2:] == [
        "… and 50 more bad rows.",
        "151 rows: 1 added, 0 updated, 0 left as they are, 150 bad; 0 files copied.",
    ]
    assert result.exit_code == 1


@pytest.mark.parametrize("shape", ["guide"])
@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ("colour\nred\n", "Error: the first line must name the columns (unknown: colour); known are content_type, "),
        (b"\xff\xfe", "Error: the manifest is not CSV in UTF-8: "),
        ("", "Error: the first line must name the columns (missing: content_type, "),
    ],
    ids=["unknown column", "not UTF-8", "empty"],
)
def test_it_says_why_a_manifest_cannot_be_read_and_ends_with_1(
    manifest: Any, sentence: str, command: Any, write: Any
) -> None:
    result = command(write(manifest))
    assert result.output.splitlines()[-1].startswith(sentence)
    assert result.exit_code == 1


@pytest.mark.parametrize("shape", ["guide"])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["missing.csv"],
        ["."],
        ["MANIFEST", "MANIFEST"],
        ["MANIFEST", "--files", "missing"],
        ["MANIFEST", "--files", "MANIFEST"],
        ["MANIFEST", "--force"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(words: list[str], command: Any, write: Any, sql: Any) -> None:
    manifest = write(GOOD)
    assert command(*(manifest if word == "MANIFEST" else word for word in words)).exit_code == 2
    assert stored(sql) == []
