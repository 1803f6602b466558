"""`flask library sweep`: what crashes left goes once it is old, what does not match is told, all else stays."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from library_server.storage.local import LocalStorage
from tests.conftest import SECRET, Servers
from tests.uploads.faults import blocked, unreadable, wait_for
from tests.uploads.folders import Folders, sha256
from tests.uploads.forms import ITEM
from tests.uploads.server import PROJECT

Run = Callable[..., Result]
HOUR = 3600
NONE = [
    "0 leftovers removed, 0 broken uploads taken back.",
    "0 files without items.",
    "0 items without files.",
]
one_shape = pytest.mark.parametrize("shape", ["backend"])


@one_shape
def test_where_nothing_is_nothing_is_told(run: Run, folders: Folders) -> None:
    for _ in ("without folders", "with folders"):
        result = run()
        assert (result.exit_code, result.output.splitlines()) == (0, NONE)
        folders.content.mkdir(exist_ok=True)
        folders.uploads.mkdir(exist_ok=True)


@one_shape
@pytest.mark.parametrize(
    ("words", "minutes"), [((), 60), (("--older-than", "5"), 5), (("--older-than", "1440"), 1440)], ids=str
)
def test_leftovers_go_when_they_are_old_enough(
    words: tuple[str, ...], minutes: int, run: Run, folders: Folders
) -> None:
    old, young = (minutes + 1) * 60, (minutes - 1) * 60
    age(folders.wait("upload-old"), old)
    age(folders.wait("upload-young"), young)
    age(folders.put(".partial-old"), old)
    age(folders.put("audio/.partial-old"), old)
    age(folders.put("audio/deep/.partial-young"), young)
    result = run(*words)
    assert result.output.startswith("3 leftovers removed, 0 broken uploads")
    assert folders.waiting() == ["upload-young"]
    assert folders.kept() == ["audio/deep/.partial-young"]


@one_shape
def test_none_is_too_young_for_zero(run: Run, folders: Folders) -> None:
    folders.wait("upload-now")
    folders.put("audio/.partial-now")
    assert run("--older-than", "0").output.startswith("2 leftovers removed")
    assert (folders.kept(), folders.waiting()) == ([], [])


@one_shape
def test_what_is_not_ours_stays(run: Run, folders: Folders) -> None:
    for name in ("notes.txt", ".hidden", "intentions", "uploads.tar", "partial-x"):
        age(folders.wait(name), 99 * HOUR)
    for path in (".hidden", "audio/partial-x.mp3", "audio/upload-x.mp3", "audio/intent-x.mp3", ".git/x"):
        age(folders.put(path), 99 * HOUR)
    (folders.uploads / "upload-folder").mkdir()
    result = run("--older-than", "0")
    assert result.output.startswith("0 leftovers removed, 0 broken uploads")
    assert len(folders.waiting()) == len(folders.kept()) == 5
    assert (folders.uploads / "upload-folder").is_dir()


@one_shape
def test_a_link_among_the_leftovers_is_not_followed(run: Run, folders: Folders, tmp_path: Path) -> None:
    outside = age(folders.put("../outside/.partial-x"), 99 * HOUR)
    (folders.content / "audio").mkdir(parents=True)
    (folders.content / "audio" / "linked").symlink_to(outside.parent)
    (folders.content / ".partial-link").symlink_to(outside)
    run("--older-than", "0")
    assert outside.exists()


def test_an_upload_that_crashed_is_taken_back(run: Run, folders: Folders) -> None:
    intend(folders, "documents/x-01234567.txt")
    result = run()
    assert result.output.splitlines() == ["0 leftovers removed, 1 broken uploads taken back.", *NONE[1:]]
    assert result.exit_code == 0
    assert (folders.kept(), folders.waiting()) == ([], [])


@one_shape
def test_an_upload_that_may_still_run_is_left_alone(run: Run, folders: Folders) -> None:
    intent = intend(folders, "documents/x-01234567.txt")
    age(intent, 59 * 60)
    assert run().output.startswith("0 leftovers removed, 0 broken uploads taken back.")
    assert (len(folders.kept()), len(folders.waiting())) == (1, 1)


@pytest.mark.parametrize("active", [True, False, None])
def test_a_file_that_an_item_came_to_use_is_not_taken_back(
    active: bool | None, run: Run, folders: Folders, make_item: Callable[..., int]
) -> None:
    intend(folders, "documents/x-01234567.txt")
    make_item(file_path="documents/x-01234567.txt", active=active)
    result = run()
    assert (result.exit_code, result.output.splitlines()) == (0, NONE)
    assert (folders.kept(), folders.waiting()) == (["documents/x-01234567.txt"], [])


def test_a_file_of_the_curriculum_is_neither_taken_back_nor_told_of(
    run: Run, folders: Folders, sql: Callable[..., Any]
) -> None:
    intend(folders, "audio/lesson.mp3")
    folders.put("audio/rhyme.mp3")
    add_lesson(sql, "heggerty_curriculum_data", "audio/lesson.mp3")
    add_lesson(sql, "nursery_rhyme_data", "audio/rhyme.mp3")
    result = run("--verify")
    assert (result.exit_code, result.output.splitlines()) == (0, [*NONE, "0 files that have changed."])
    assert (folders.kept(), folders.waiting()) == (["audio/lesson.mp3", "audio/rhyme.mp3"], [])


@one_shape
def test_a_file_of_others_in_the_place_of_an_upload_that_crashed_stays(run: Run, folders: Folders) -> None:
    """The crash came before the upload had found that its name is taken."""
    intend(folders, "documents/x-01234567.txt", sha256(b"other words"))
    assert run().output.startswith("0 leftovers removed, 0 broken uploads taken back.")
    assert (folders.kept(), folders.waiting()) == (["documents/x-01234567.txt"], [])


@one_shape
def test_an_odd_intent_does_no_harm(run: Run, folders: Folders) -> None:
    outside = folders.content.parent / "outside.txt"
    outside.write_bytes(b"words")
    folders.put("audio/x.mp3")
    written = [
        "",
        "../outside.txt",
        str(outside),
        "documents/gone.txt",
        "audio/x.mp3/",
        "audio\\x.mp3",
        "audio/x.mp3\n",
    ]
    for number, path in enumerate(written):
        age(folders.wait(f"intent-{number}", path.encode()), 2 * HOUR)
    result = run()
    assert result.exit_code == 0, result.exception
    assert result.output.startswith("0 leftovers removed, 0 broken uploads taken back.")
    assert outside.exists()
    assert (folders.kept(), folders.waiting()) == (["audio/x.mp3"], [])


@one_shape
@pytest.mark.parametrize("fields", [{}, ITEM], ids=["a file", "an item"])
def test_a_file_that_is_uploaded_again_after_a_crash_is_not_taken_back(
    fields: dict[str, str], run: Run, upload: Callable[..., Any], folders: Folders
) -> None:
    path = f"documents/x-{sha256(b'words')[:8]}.txt"
    intend(folders, path)
    assert upload(b"words", "y.txt", **fields).json["file_path"] == path
    assert run("--older-than", "0").output.startswith("0 leftovers removed, 0 broken uploads taken back.")
    assert (folders.kept(), folders.waiting()) == ([path], [])


@one_shape
def test_a_file_that_is_uploaded_again_during_a_sweep_stays(
    run: Run, upload: Callable[..., Any], folders: Folders, database_url: str
) -> None:
    """The sweep has found that no item uses the file of a crashed upload, and is about to take it back."""
    intend(folders, f"documents/x-{sha256(b'words')[:8]}.txt")
    with ThreadPoolExecutor(2) as pool:
        with unreadable(database_url, "heggerty_curriculum_data"):
            swept = pool.submit(run)
            wait_for(lambda: blocked(database_url, "heggerty_curriculum_data"))
            uploaded = pool.submit(upload, b"words", "x.txt", **ITEM)
            wait([uploaded], timeout=1)
        assert (swept.result(20).exit_code, uploaded.result(20).status_code) == (0, 201)
    assert folders.kept() == [uploaded.result().json["file_path"]]


def test_files_and_items_that_do_not_match_are_told(run: Run, folders: Folders, make_item: Callable[..., int]) -> None:
    folders.put("audio/good.mp3")
    folders.put("audio/lonely.mp3")
    folders.put("lonely.txt")
    make_item(file_path="audio/good.mp3")
    make_item(file_path=None)
    make_item(file_path="")
    missing = make_item(file_path="audio/gone.mp3")
    retired = make_item(file_path="audio/gone too.mp3", active=False)
    result = run()
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        NONE[0],
        "2 files without items:",
        "  audio/lonely.mp3",
        "  lonely.txt",
        "2 items without files:",
        f"  item {missing}: audio/gone.mp3",
        f"  item {retired}: audio/gone too.mp3",
    ]
    assert folders.kept() == ["audio/good.mp3", "audio/lonely.mp3", "lonely.txt"]


@one_shape
def test_files_without_items_are_no_failure(run: Run, folders: Folders) -> None:
    folders.put("lonely.txt")
    assert run("--verify").exit_code == 0


@one_shape
@pytest.mark.parametrize("path", ["../x.txt", "/etc/passwd", "audio", "audio/", "audio/x.mp3/y", "audio/link.mp3"])
def test_an_item_whose_path_leads_nowhere_good_has_no_file(
    path: str, run: Run, folders: Folders, make_item: Callable[..., int]
) -> None:
    folders.put("../x.txt")
    folders.put("audio/x.mp3")
    (folders.content / "audio/link.mp3").symlink_to(folders.content.parent / "x.txt")
    item = make_item(file_path=path)
    result = run("--verify")
    assert result.exit_code == 1
    assert f"  item {item}: {path}\n" in result.output


@one_shape
@pytest.mark.parametrize("owners", [1, 2])
def test_a_flipped_bit_is_found(owners: int, run: Run, folders: Folders, make_item: Callable[..., int]) -> None:
    data = bytearray(os.urandom(300_000))
    for path in ("audio/x.mp3", "audio/y.mp3"):
        for _ in range(owners):
            make_item(file_path=path, content_metadata={"media": {"sha256": sha256(data)}})
        folders.put(path, bytes(data))
    assert run("--verify").exit_code == 0
    data[150_000] ^= 1
    folders.put("audio/x.mp3", bytes(data))
    assert run().exit_code == 0
    result = run("--verify")
    assert result.exit_code == 1
    assert result.output.splitlines() == [*NONE, "1 files that have changed:", "  audio/x.mp3"]


@one_shape
def test_a_file_that_cannot_be_read_is_told_and_ends_nothing(
    run: Run, folders: Folders, make_item: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    descend = LocalStorage._descend

    def on_a_bad_disk(storage: LocalStorage, path: str) -> Any:
        if path in bad:
            raise OSError(errno.EIO, "Input/output error")
        return descend(storage, path)

    monkeypatch.setattr(LocalStorage, "_descend", on_a_bad_disk)
    for path in ("audio/bad.mp3", "audio/good.mp3"):
        folders.put(path, b"words")
        make_item(file_path=path, content_metadata={"media": {"sha256": sha256(b"words")}})
    folders.put("audio/lonely.mp3")
    bad = {"audio/bad.mp3"}
    told = [NONE[0], "1 files without items:", "  audio/lonely.mp3", NONE[2]]
    for words in ([], ["--verify"]):
        result = run(*words)
        changed = ["0 files that have changed."] if words else []
        assert result.output.splitlines() == [*told, *changed, "1 files that cannot be read:", "  audio/bad.mp3"]
        assert result.exit_code == 1


@one_shape
def test_what_an_upload_told_is_what_is_verified(run: Run, upload: Callable[..., Any], folders: Folders) -> None:
    path = upload(b"words", "x.txt", **ITEM).json["file_path"]
    assert run("--verify").exit_code == 0
    (folders.content / path).write_bytes(b"Words")
    assert run("--verify").exit_code == 1


@one_shape
def test_an_item_that_knows_no_digest_is_not_verified(
    run: Run, folders: Folders, make_item: Callable[..., int]
) -> None:
    odd = [None, {}, {"media": None}, {"media": []}, {"media": {}}, {"media": {"sha256": 5}}, [], "x", {"media": "x"}]
    for number, metadata in enumerate(odd):
        folders.put(f"{number}.txt")
        make_item(file_path=f"{number}.txt", content_metadata=metadata)
    result = run("--verify")
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "0 files that have changed.")


@one_shape
def test_a_long_list_is_cut(run: Run, folders: Folders) -> None:
    for number in range(120):
        folders.put(f"x{number:03}.txt")
    lines = run().output.splitlines()
    assert "120 files without items:" in lines
    assert [line for line in lines if line.startswith("  x")] == [f"  x{number:03}.txt" for number in range(100)]
    assert "  … and 20 more." in lines


@pytest.mark.parametrize("owned", [True, False], ids=["all owned", "all lonely"])
def test_many_files_are_quick(
    owned: bool, run: Run, folders: Folders, sql: Callable[..., Any], statements: list[str]
) -> None:
    folders.put("x.txt")
    for number in range(4000):
        os.link(folders.content / "x.txt", folders.content / f"x{number}.txt")
    if owned:
        sql(
            "INSERT INTO content_library (title, content_type, subject_area, age_range, file_path) "
            "SELECT 'x', 'story', 'math', '3-5', 'x' || number || '.txt' FROM generate_series(0, 3999) number"
        )
    started = time.monotonic()
    result = run()
    assert time.monotonic() - started < 10
    assert f"{1 if owned else 4001} files without items:" in result.output
    assert len(statements) < 50


@one_shape
def test_wrong_usage_is_told(run: Run) -> None:
    for words in (["--older-than", "-1"], ["--older-than", "soon"], ["--older-than"], ["--verify", "x"], ["--purge"]):
        assert run(*words).exit_code == 2


@one_shape
def test_the_command_runs_as_operators_run_it(
    database_url: str, servers: Servers, folders: Folders, make_item: Callable[..., int]
) -> None:
    folders.wait("upload-x")
    item = make_item(file_path="gone.txt")
    settings = {"DATABASE_URL": database_url, "REDIS_URL": servers.redis_url, "SECRET_KEY": SECRET, **folders.settings}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "library", "sweep", "--older-than", "0"]
    result = subprocess.run(command, cwd=PROJECT, env=os.environ | settings, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines() == [
        "1 leftovers removed, 0 broken uploads taken back.",
        NONE[1],
        "1 items without files:",
        f"  item {item}: gone.txt",
    ]


@pytest.fixture
def run(app: Flask) -> Run:
    """``run("--verify")``: the command with these words."""
    return lambda *words: app.test_cli_runner().invoke(args=["library", "sweep", *words])


def age(path: Path, seconds: int) -> Path:
    """Makes the file so old."""
    past = time.time() - seconds
    os.utime(path, (past, past))
    return path


def intend(folders: Folders, path: str, digest: str = sha256(b"words")) -> Path:
    """The file and the intent that a server leaves when it crashes between the file and its row, two hours ago."""
    folders.put(path)
    return age(folders.wait(f"intent-{digest}", path.encode()), 2 * HOUR)


def add_lesson(sql: Callable[..., Any], table: str, path: str) -> None:
    """Adds a row that names the file to a curriculum table, whatever else that table wants."""
    wanted = sql(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s "
        "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'",
        (table,),
    )
    values = {"integer": 1, "json": json.dumps([]), "jsonb": json.dumps([]), "ARRAY": []}
    row = {each["column_name"]: values.get(each["data_type"], "x") for each in wanted} | {"audio_file_path": path}
    places = ", ".join(["%s"] * len(row))
    sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
