"""The files that a manifest names: copied beside the rows, never over others, never from or to elsewhere."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from library_server.catalog.importing import Report
from tests.catalog_import.manifests import GOOD, files_in, stored

ONE = "the bytes of audio/one.mp3"

on_one_shape = pytest.mark.parametrize("shape", ["backend"])


def test_files_are_copied_into_the_content_folder(run: Any, sql: Any, files: Path, content: Path) -> None:
    paths = ["audio/one.mp3", "images/three.png", "audio/one.mp3", ""]
    rows = [GOOD | {"title": f"{number}", "file_path": path} for number, path in enumerate(paths)]
    assert run(*rows, files=files) == Report(rows=4, added=4, files=2)
    assert files_in(content) == {name: (files / name).read_bytes() for name in ("audio/one.mp3", "images/three.png")}
    assert [item["file_path"] for item in stored(sql)] == ["audio/one.mp3", "images/three.png", "audio/one.mp3", None]
    assert {path.stat().st_mode & 0o777 for path in content.rglob("*.*")} == {0o644}
    assert len(files_in(files)) == 3


@on_one_shape
def test_without_a_folder_of_files_paths_are_only_noted(run: Any, sql: Any, content: Path) -> None:
    assert run(GOOD | {"file_path": "audio/elsewhere.mp3"}) == Report(rows=1, added=1)
    assert stored(sql)[0]["file_path"] == "audio/elsewhere.mp3"
    assert not content.exists()


def test_the_same_bytes_again_are_fine(run: Any, files: Path, content: Path) -> None:
    row = GOOD | {"file_path": "audio/one.mp3"}
    assert run(row, files=files).files == 1
    before = (content / "audio/one.mp3").stat()
    assert run(row, files=files) == Report(rows=1, unchanged=1)
    after = (content / "audio/one.mp3").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@on_one_shape
@pytest.mark.parametrize("there", ["other bytes", "the bytes of audio/no!.mp3", ""], ids=["other", "as long", "empty"])
def test_a_file_is_never_overwritten(there: str, run: Any, sql: Any, files: Path, content: Path) -> None:
    (content / "audio").mkdir(parents=True)
    (content / "audio/one.mp3").write_text(there)
    report = run(*(GOOD | {"title": name, "file_path": f"audio/{name}.mp3"} for name in ("one", "two")), files=files)
    assert report.problems == [(2, "file_path: another file is audio/one.mp3 in the content folder already")]
    assert (report.added, report.files) == (1, 1)
    assert [item["title"] for item in stored(sql)] == ["two"]
    assert (content / "audio/one.mp3").read_text() == there
    assert files_in(content).keys() == {"audio/one.mp3", "audio/two.mp3"}


@on_one_shape
@pytest.mark.parametrize("path", ["audio/none.mp3", "audio", "audio/one.mp3/x", "x" * 250])
def test_a_file_that_is_not_there_makes_the_row_bad(path: str, run: Any, sql: Any, files: Path, content: Path) -> None:
    report = run(GOOD | {"file_path": path}, GOOD | {"title": "good", "file_path": "audio/one.mp3"}, files=files)
    assert report.problems == [(2, f"file_path: there is no file {path} in the folder of files")]
    assert [item["title"] for item in stored(sql)] == ["good"]
    assert files_in(content).keys() == {"audio/one.mp3"}


@on_one_shape
def test_a_bad_row_brings_no_file(run: Any, files: Path, content: Path) -> None:
    run(GOOD | {"file_path": "audio/one.mp3", "age_range": "old"}, files=files)
    assert files_in(content) == {}


@on_one_shape
@pytest.mark.parametrize("path", ["../outside.txt", "audio/../../outside.txt", "/etc/hostname"])
def test_a_path_never_leaves_the_folder_of_files(
    path: str, run: Any, sql: Any, files: Path, content: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    assert [line for line, _ in run(GOOD | {"file_path": path}, files=files).problems] == [2]
    assert (stored(sql), files_in(content)) == ([], {})


@on_one_shape
@pytest.mark.parametrize("path", ["audio/link.mp3", "folder/outside.txt"], ids=["to a file", "to a folder"])
def test_a_link_never_leaves_the_folder_of_files(
    path: str, run: Any, sql: Any, files: Path, content: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "outside.txt").write_text("a secret of this machine")
    (files / "audio/link.mp3").symlink_to(outside / "outside.txt")
    (files / "folder").symlink_to(outside)
    assert [line for line, _ in run(GOOD | {"file_path": path}, files=files).problems] == [2]
    assert (stored(sql), files_in(content)) == ([], {})


@on_one_shape
def test_a_link_never_leaves_the_content_folder(run: Any, sql: Any, files: Path, content: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    content.mkdir()
    (content / "audio").symlink_to(outside)
    rows = [GOOD | {"title": path, "file_path": path} for path in ("audio/one.mp3", "images/three.png")]
    assert [line for line, _ in run(*rows, files=files).problems] == [2]
    assert [item["title"] for item in stored(sql)] == ["images/three.png"]
    assert files_in(outside) == {}


@on_one_shape
def test_a_file_where_a_folder_is_needed_makes_the_row_bad(run: Any, sql: Any, files: Path, content: Path) -> None:
    content.mkdir()
    (content / "audio").write_text("not a folder")
    rows = [GOOD | {"title": path, "file_path": path} for path in ("audio/one.mp3", "images/three.png")]
    assert [line for line, _ in run(*rows, files=files).problems] == [2]
    assert [item["title"] for item in stored(sql)] == ["images/three.png"]
    assert (content / "audio").read_text() == "not a folder"


@on_one_shape
@pytest.mark.parametrize(
    "there",
    [
        pytest.param(lambda path: path.write_text("another file"), id="another file"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(lambda path: path.symlink_to("elsewhere"), id="a link to nothing"),
        pytest.param(lambda path: (path.with_name("1").write_text(ONE), path.symlink_to("1")), id="a link to the same"),
        pytest.param(lambda path: (path.parent.rmdir(), path.parent.write_text("")), id="a file for a folder"),
        pytest.param(
            lambda path: (path.parent.rmdir(), path.parent.symlink_to(path.parent.parent.parent)),
            id="a folder elsewhere",
        ),
    ],
)
def test_a_dry_run_finds_what_stands_in_a_file_s_way(there: Any, run: Any, files: Path, content: Path) -> None:
    (content / "audio").mkdir(parents=True)
    there(content / "audio/one.mp3")
    row = GOOD | {"file_path": "audio/one.mp3"}
    real = run(row, files=files)
    assert [line for line, _ in real.problems] == [2]
    assert run(row, files=files, dry_run=True) == real


@on_one_shape
def test_a_dry_run_does_not_mind_the_same_bytes(run: Any, files: Path, content: Path) -> None:
    run(GOOD | {"file_path": "audio/one.mp3"}, files=files)
    row = GOOD | {"title": "another", "file_path": "audio/one.mp3"}
    assert run(row, files=files, dry_run=True) == Report(rows=1, added=1)


def test_a_full_disk_leaves_neither_rows_nor_files(run: Any, sql: Any, files: Path, content: Path) -> None:
    (files / "audio/large.mp3").write_bytes(b"x" * 3_000_000)
    rows = [GOOD | {"title": name, "file_path": f"audio/{name}.mp3"} for name in ("one", "large", "two")]
    with largest_file(2_000_000), pytest.raises(OSError, match="File too large"):
        run(*rows, files=files)
    assert (stored(sql), files_in(content)) == ([], {})


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """While open, the kernel lets this process write no file larger than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
