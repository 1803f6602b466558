"""What an upload gives: the file, what is known about it, its item, and the same again for the same bytes."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import bearer, make_parent
from tests.uploads import samples
from tests.uploads.conftest import UPLOAD
from tests.uploads.folders import Folders, sha256
from tests.uploads.forms import HEADERS, ITEM, field, file, form

Upload = Callable[..., TestResponse]
MIME = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
}
MEASURES = {
    "mp3": {"duration": 14.968, "bit_rate": 24_000},
    "wav": {"duration": 0.5, "bit_rate": 128_704},
    "mp4": {"duration": 18.4, "bit_rate": 67_424},
    "webm": {"duration": 17.508, "bit_rate": 52_439},
    "jpg": {"width": 760, "height": 760},
    "jpeg": {"width": 760, "height": 760},
    "png": {"width": 3, "height": 2},
    "gif": {"width": 520, "height": 240},
    "pdf": {"pages": 1},
    "txt": {},
    "json": {},
}
UNUSUAL = {
    "a recorder's WAV": ("wav", samples.streamed_wav()),
    "a browser's WebM": ("webm", samples.streamed_webm()),
    "an MP3 with a tag": ("mp3", samples.silent_mp3(tag=b"TIT2 a song")),
    "an MP3 without a tag": ("mp3", samples.silent_mp3()),
    "a copy-protected PDF": ("pdf", samples.COPY_PROTECTED_PDF),
    "a PNG of many pixels": ("png", samples.png(4000, 4000)),
    "a text with a mark": ("txt", b"\xef\xbb\xbfwords"),
    "a JSON value": ("json", b"null"),
}
one_shape = pytest.mark.parametrize("shape", ["guide"])


@one_shape
@pytest.mark.parametrize("extension", samples.TYPES)
def test_every_type_is_taken_and_told_of(
    extension: str, upload: Upload, client: FlaskClient, as_parent: dict[str, str], folders: Folders
) -> None:
    data, mime = samples.genuine(extension), MIME[extension]
    answer = upload(data, f"My Song.{extension.upper()}", **ITEM)
    assert answer.status_code == 201, answer.json
    told, digest = answer.json, sha256(data)
    name = f"my-song-{digest[:8]}.{extension}"
    path = f"{samples.folder_of(extension)}/{name}"
    assert (
        told.items()
        >= {
            "message": "File uploaded successfully",
            "file_path": path,
            "filename": name,
            "original_filename": f"My Song.{extension.upper()}",
            "size": len(data),
            "sha256": digest,
            "duplicate": False,
        }.items()
    )
    item = client.get(f"/content/{told['content_id']}", headers=as_parent).json["content"]
    assert told["content"] == item
    assert item["file_path"] == path
    media = item["content_metadata"]["media"]
    assert {name: media.pop(name) for name in ("mime", "sha256")} == {"mime": mime, "sha256": digest}
    assert media == pytest.approx(MEASURES[extension] | {"size": len(data)}, rel=0.01)
    assert (folders.kept(), folders.waiting()) == ([path], [])
    assert (folders.content / path).read_bytes() == data
    assert (folders.content / path).stat().st_mode & 0o777 == 0o644
    assert fetch(client, told["access_url"]) == (mime, data)
    assert fetch(client, item["file_url"]) == (mime, data)


@one_shape
@pytest.mark.parametrize("what", UNUSUAL)
def test_unusual_but_genuine_files_are_taken(what: str, upload: Upload) -> None:
    extension, data = UNUSUAL[what]
    answer = upload(data, f"x.{extension}", **ITEM)
    assert answer.status_code == 201, answer.json
    media = answer.json["content"]["content_metadata"]["media"]
    assert media.get("duration") is None or 0 < media["duration"] < 60


def test_the_item_has_what_the_form_says(upload: Upload) -> None:
    fields = ITEM | {
        "title": "  The Itsy Bitsy Spider  ",
        "description": "Eine Spinne – 日本 🕷 <b>",
        "difficulty_level": "beginner",
        "skill_objectives": '["rhyming", {"week": 1}]',
        "download_priority": "1",
    }
    answer = upload(samples.text(), "x.txt", **fields)
    assert answer.status_code == 201, answer.json
    assert (
        answer.json["content"].items()
        >= {
            "title": "The Itsy Bitsy Spider",
            "description": "Eine Spinne – 日本 🕷 <b>",
            "content_type": "story",
            "subject_area": "math",
            "age_range": "3-5",
            "difficulty_level": "beginner",
            "skill_objectives": ["rhyming", {"week": 1}],
            "prerequisite_skills": [],
            "download_priority": 1,
            "active": True,
            "usage_count": 0,
        }.items()
    )
    assert answer.json["filename"].startswith("the-itsy-bitsy-spider-")
    assert answer.json["content"]["created_at"] == answer.json["content"]["updated_at"]


def test_the_item_has_defaults_for_what_the_form_does_not_say(upload: Upload) -> None:
    item = upload(samples.text(), "The Lost Mitten.txt", **ITEM, description="", title=" ").json["content"]
    assert (
        item.items()
        >= {
            "title": "The Lost Mitten",
            "description": None,
            "difficulty_level": None,
            "skill_objectives": [],
            "download_priority": 5,
        }.items()
    )


@one_shape
def test_skills_are_json(upload: Upload) -> None:
    for written, skills in (("[]", []), ("{}", {}), ('{"a": {"b": 2}}', {"a": {"b": 2}}), (" [1] ", [1])):
        item = upload(b"words", "x.txt", **ITEM, title=written, skill_objectives=written).json["content"]
        assert item["skill_objectives"] == skills


@one_shape
@pytest.mark.parametrize("fields", [{}, {"title": "A title", "description": "…", "download_priority": "2"}], ids=len)
def test_without_the_three_fields_it_is_just_a_file(
    fields: dict[str, str], upload: Upload, sql: Callable[..., Any], folders: Folders
) -> None:
    answer = upload(b"words", "story.txt", **fields)
    assert answer.status_code == 201
    assert (answer.json["content_id"], answer.json["content"]) == (None, None)
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0
    assert folders.kept() == [answer.json["file_path"]]


@one_shape
@pytest.mark.parametrize("order", ["fields first", "file first", "file between"])
def test_the_form_may_have_any_order(
    order: str, client: FlaskClient, as_parent: dict[str, str], folders: Folders
) -> None:
    fields = [field(name, value) for name, value in (ITEM | {"title": "Ordered"}).items()]
    at = {"fields first": 4, "file first": 0, "file between": 2}[order]
    body = form(*fields[:at], file(b"words", "x.txt"), *fields[at:])
    answer = client.post(UPLOAD, data=body, headers=as_parent | HEADERS)
    assert answer.status_code == 201
    assert answer.json["content"]["title"] == "Ordered"
    assert (len(folders.kept()), folders.waiting()) == (1, [])


@one_shape
def test_only_the_part_named_file_is_taken(client: FlaskClient, as_parent: dict[str, str], folders: Folders) -> None:
    body = form(
        file(b"not this", "a.txt", "picture"),
        field("submit", "Send"),
        file(b"words", "b.txt"),
        file(b"nor this", "c.txt", "files"),
        file(b"nor its second", "d.txt"),
    )
    answer = client.post(UPLOAD, data=body, headers=as_parent | HEADERS)
    assert (answer.status_code, answer.json["original_filename"]) == (201, "b.txt")
    assert (folders.kept(), folders.waiting()) == ([answer.json["file_path"]], [])


@one_shape
def test_every_spelling_of_the_route_answers(upload: Upload) -> None:
    for path in (UPLOAD, f"{UPLOAD}/", "/upload", "/upload/"):
        answer = upload(b"words", "x.txt", path)
        assert (answer.status_code, answer.content_type) == (201, "application/json")


@one_shape
def test_other_methods_are_told_the_right_one(client: FlaskClient) -> None:
    for path in (UPLOAD, "/upload"):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = client.open(path, method=method)
            assert (answer.status_code, "POST" in answer.headers["Allow"]) == (405, True)
            assert answer.json["message"]


@one_shape
@pytest.mark.parametrize("first", [{}, ITEM], ids=["a file first", "an item first"])
@pytest.mark.parametrize("again", [{}, ITEM], ids=["a file again", "an item again"])
def test_the_same_bytes_are_kept_once(
    first: dict[str, str], again: dict[str, str], upload: Upload, sql: Callable[..., Any], folders: Folders
) -> None:
    one = upload(b"words", "one.txt", **first).json
    two = upload(b"words", "two.TXT", **again)
    assert two.status_code == 201
    assert (one["duplicate"], two.json["duplicate"]) == (False, True)
    assert (two.json["file_path"], two.json["sha256"]) == (one["file_path"], one["sha256"])
    assert two.json["original_filename"] == "two.TXT"
    assert (folders.kept(), folders.waiting()) == ([one["file_path"]], [])
    assert (two.json["content_id"] is None) == (not again)
    rows = sql("SELECT count(*) FROM content_library WHERE file_path = %s", (one["file_path"],))[0]["count"]
    assert rows == bool(first) + bool(again)  # two titles, two items


def test_the_same_item_of_the_same_bytes_is_made_once(upload: Upload, sql: Callable[..., Any]) -> None:
    fields = ITEM | {"title": "One"}
    one = upload(b"words", "x.txt", **fields).json
    same = upload(b"words", "y.txt", **fields, description="Other words").json
    assert (same["content_id"], same["duplicate"]) == (one["content_id"], True)
    others = {"content_type": "game", "subject_area": "art", "age_range": "all", "title": "Two"}
    for name, value in others.items():
        other = upload(b"words", "x.txt", **fields | {name: value}).json
        assert other["content_id"] != one["content_id"]
        assert other["file_path"] == one["file_path"]
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 1 + len(others)


@one_shape
def test_the_same_bytes_are_kept_once_whoever_sends_them(
    upload: Upload, client: FlaskClient, sql: Callable[..., Any], folders: Folders
) -> None:
    mine = upload(b"words", "x.txt", **ITEM).json
    another = bearer(user_id=make_parent(sql), user_type="parent")
    body = form(*(field(*each) for each in ITEM.items()), file(b"words", "x.txt"))
    theirs = client.post(UPLOAD, data=body, headers=another | HEADERS).json
    assert (theirs["file_path"], theirs["content_id"]) == (mine["file_path"], mine["content_id"])
    assert len(folders.kept()) == 1


@one_shape
def test_the_same_bytes_under_two_endings_of_one_type_are_kept_once(upload: Upload, folders: Folders) -> None:
    one = upload(samples.genuine("jpg"), "x.jpg").json
    two = upload(samples.genuine("jpg"), "x.jpeg").json
    assert two["file_path"] == one["file_path"]
    assert len(folders.kept()) == 1


@one_shape
def test_the_same_bytes_as_another_type_are_another_file(upload: Upload, client: FlaskClient, folders: Folders) -> None:
    as_text, as_json = upload(b"[1]", "x.txt").json, upload(b"[1]", "x.json").json
    assert len(folders.kept()) == 2
    assert fetch(client, as_text["access_url"]) == ("text/plain; charset=utf-8", b"[1]")
    assert fetch(client, as_json["access_url"]) == ("application/json", b"[1]")


@one_shape
def test_a_retired_item_is_not_given_back(upload: Upload, client: FlaskClient, as_parent: dict[str, str]) -> None:
    old = upload(b"words", "x.txt", **ITEM).json
    client.delete(f"/content/{old['content_id']}", headers=as_parent)
    new = upload(b"words", "x.txt", **ITEM).json
    assert new["content_id"] != old["content_id"]
    assert new["content"]["active"] is True
    assert fetch(client, new["access_url"])[1] == b"words"


@one_shape
def test_nothing_is_overwritten(upload: Upload, client: FlaskClient, folders: Folders) -> None:
    wanted = f"documents/x-{sha256(b'words')[:8]}.txt"
    other = folders.put(wanted, b"other bytes, that happen to begin with the same digits")
    answers = [upload(b"words", "x.txt", **ITEM).json, upload(b"words", "x.txt", **ITEM).json]
    assert other.read_bytes().startswith(b"other bytes")
    assert [each["duplicate"] for each in answers] == [False, True]
    assert answers[0]["file_path"] == answers[1]["file_path"] != wanted
    assert fetch(client, answers[0]["access_url"])[1] == b"words"
    assert sorted(folders.kept()) == sorted([wanted, answers[0]["file_path"]])
    assert folders.waiting() == []


@one_shape
def test_a_link_at_the_file_s_place_is_not_followed(upload: Upload, client: FlaskClient, folders: Folders) -> None:
    outside = folders.content.parent / "outside.txt"
    outside.write_bytes(b"words")
    link = folders.content / f"documents/x-{sha256(b'words')[:8]}.txt"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    answer = upload(b"words", "x.txt").json
    assert link.is_symlink()
    assert fetch(client, answer["access_url"])[1] == b"words"


@one_shape
def test_two_files_of_one_name_are_two_files(upload: Upload, folders: Folders) -> None:
    one, two = upload(b"one", "x.txt", **ITEM).json, upload(b"two", "x.txt", **ITEM).json
    assert one["content_id"] != two["content_id"]
    assert sorted(folders.kept()) == sorted([one["file_path"], two["file_path"]])


def fetch(client: FlaskClient, url: str) -> tuple[str, bytes]:
    """The type and the bytes behind a link."""
    with client.get(url) as answer:
        assert answer.status_code == 200
        return answer.headers["Content-Type"], answer.data
