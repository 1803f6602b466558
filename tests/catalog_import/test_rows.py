"""What a manifest may look like, and what is wrong with a row or with the whole."""

import json
from typing import Any

import pytest

from library_server.catalog.importing import ManifestError, Report
from tests.catalog_import.manifests import COLUMNS, GOOD, NEEDED, as_csv, stored

pytestmark = pytest.mark.parametrize("shape", ["guide"])  # reading does not depend on the database

OUTSIDE = "file_path must be a relative path inside the content folder"
BAD_CELLS = [
    ("content_type", "", "Missing required fields: content_type"),
    ("title", " ", "Missing required fields: title"),
    (
        "content_type",
        "Story",
        "content_type must be one of activity, nursery_rhyme, assessment, lesson, story, game",
    ),
    ("age_range", "3–5", "age_range must be one of 3-5, 6-8, 9-12, 13+, all"),
    ("difficulty_level", "hard", "difficulty_level must be one of beginner, intermediate, advanced, easy, "),
    ("subject_area", "Math", "subject_area should match pattern"),
    ("subject_area", "m" * 51, "subject_area should match pattern"),
    ("title", "x" * 201, "title should have at most 200 characters"),
    ("description", "x" * 20_001, "description should have at most 20000 characters"),
    ("file_path", "../secret.mp3", OUTSIDE),
    ("file_path", "audio/../../x.mp3", OUTSIDE),
    ("file_path", "/etc/passwd", OUTSIDE),
    ("file_path", "audio\\x.mp3", OUTSIDE),
    ("file_path", "audio//x.mp3", OUTSIDE),
    ("file_path", "./x.mp3", OUTSIDE),
    ("file_path", "audio/.hidden.mp3", OUTSIDE),
    ("file_path", "audio/", OUTSIDE),
    ("file_path", "audio/x\ny.mp3", OUTSIDE),
    ("file_path", "a/" * 250 + "b", "file_path should have at most 500 characters"),
    ("skill_objectives", "[1, 2", "skill_objectives is not JSON: "),
    ("prerequisite_skills", '{"a"}', "prerequisite_skills is not JSON: "),
    ("skill_objectives", "[NaN]", "skill_objectives is not JSON: "),
    ("skill_objectives", "[1e999]", "skill_objectives is not JSON: "),
    ("skill_objectives", '["\\u0000"]', "skill_objectives is not JSON: "),
    ("skill_objectives", '["\\ud800"]', "skill_objectives is not JSON: "),
    ("skill_objectives", "[" * 300 + "]" * 300, "skill_objectives is not JSON: "),
    ("skill_objectives", json.dumps(["x" * 262_144]), "skill_objectives must be at most 256 KiB of JSON"),
    ("content_metadata", "week 1", "content_metadata is not JSON: "),
    ("content_metadata", "[1]", "content_metadata should be a valid dictionary"),
    ("download_priority", "0", "download_priority should be greater than or equal to 1"),
    ("download_priority", "11", "download_priority should be less than or equal to 10"),
    ("download_priority", "9" * 5_000, "download_priority should be less than or equal to 10"),
    ("download_priority", "-1", "download_priority should be"),
    ("download_priority", "1.5", "download_priority should be a valid integer"),
    ("download_priority", "٣", "download_priority should be a valid integer"),
    ("active", "yes", "active should be a valid boolean"),
    ("active", "1", "active should be a valid boolean"),
    ("title", "nul\0", "must not contain NUL"),
]


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[::-1]], ids=["forwards", "backwards"])
def test_blank_cells_are_defaults_in_any_order_of_columns(columns: tuple[str, ...], run: Any, sql: Any) -> None:
    assert run(as_csv([{name: f"  {GOOD.get(name, '')} " for name in columns}], columns)).added == 1
    [item] = stored(sql)
    assert {name: item[name] for name in COLUMNS} == {
        **GOOD,
        "description": None,
        "file_path": None,
        "skill_objectives": [],
        "prerequisite_skills": [],
        "content_metadata": {},
        "download_priority": 5,
        "difficulty_level": None,
        "active": True,
    }


@pytest.mark.parametrize(
    ("cell", "skills"),
    [
        ("rhyming", ["rhyming"]),
        ("rhyming;blending", ["rhyming", "blending"]),
        (" rhyming ; ;größe;", ["rhyming", "größe"]),
        (";", []),
        ("[]", []),
        ('["rhyming", "a; b"]', ["rhyming", "a; b"]),
        ('{"week": {"1": ["a"]}}', {"week": {"1": ["a"]}}),
        ('[1, null, true, 0.5, "\\u00e9"]', [1, None, True, 0.5, "é"]),
    ],
)
def test_skills_are_json_or_words_between_semicolons(cell: str, skills: Any, run: Any, sql: Any) -> None:
    assert run(GOOD | {"skill_objectives": cell, "prerequisite_skills": cell}).problems == []
    [item] = stored(sql)
    assert (item["skill_objectives"], item["prerequisite_skills"]) == (skills, skills)


@pytest.mark.parametrize(("cell", "active"), [("true", True), ("TRUE", True), ("False", False), ("", True)])
def test_active_is_true_or_false_in_any_case(cell: str, active: bool, run: Any, sql: Any) -> None:
    run(GOOD | {"active": cell})
    assert stored(sql)[0]["active"] is active


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(f"\ufeff{NEEDED}\nstory,math,6-8,A story\n", id="byte order mark"),
        pytest.param(f"{NEEDED}\r\nstory,math,6-8,A story\r\n", id="CRLF"),
        pytest.param(f"{NEEDED}\rstory,math,6-8,A story\r", id="CR"),
        pytest.param(f"{NEEDED}\nstory,math,6-8,A story", id="no end of line"),
        pytest.param(f"{NEEDED}\n\n\nstory,math,6-8,A story\n\n", id="empty lines"),
        pytest.param('"content_type",subject_area,age_range,"title"\n"story",math,"6-8",A story\n', id="quotes"),
    ],
)
def test_every_spelling_of_csv_is_read(manifest: str, run: Any, sql: Any) -> None:
    assert run(manifest) == Report(rows=1, added=1)
    assert {name: stored(sql)[0][name] for name in GOOD} == GOOD


def test_the_ends_of_lines_in_a_cell_stay_as_they_are(run: Any, sql: Any) -> None:
    run(f'{NEEDED},description\r\nstory,math,6-8,A story,"one\r\ntwo\nthree\rfour"\r\n')
    assert stored(sql)[0]["description"] == "one\r\ntwo\nthree\rfour"


def test_a_cell_may_be_as_large_as_the_api_allows(run: Any, sql: Any) -> None:
    assert run(GOOD | {"content_metadata": json.dumps({"text": "x" * 200_000})}) == Report(rows=1, added=1)
    assert len(stored(sql)[0]["content_metadata"]["text"]) == 200_000


def test_words_that_mean_something_to_sql_or_copy_are_only_words(run: Any, sql: Any) -> None:
    odd = ["\\N", "\\.", "NULL", "%s", "100%", ":now", "'; DROP TABLE content_library; --", '"', "a\tb", "''"]
    assert run(*(GOOD | {"title": word, "description": f"one\n{word}\nthree"} for word in odd)).added == len(odd)
    assert [(row["title"], row["description"]) for row in stored(sql)] == [
        (word, f"one\n{word}\nthree") for word in odd
    ]


@pytest.mark.parametrize(
    ("column", "cell", "sentence"), BAD_CELLS, ids=[f"{column} {cell[:12]!r}" for column, cell, _ in BAD_CELLS]
)
def test_a_bad_row_is_told_and_the_others_come_in(column: str, cell: str, sentence: str, run: Any, sql: Any) -> None:
    report = run(GOOD | {"title": "before"}, GOOD | {column: cell}, GOOD | {"title": "after"})
    [(line, problem)] = report.problems
    assert line == 3
    assert problem.startswith(sentence)
    assert (report.rows, report.added) == (3, 2)
    assert [item["title"] for item in stored(sql)] == ["before", "after"]


def test_everything_wrong_with_a_row_is_told_at_once(run: Any) -> None:
    [(_, problem)] = run(GOOD | {"content_type": "x", "age_range": "y", "download_priority": "z"}).problems
    assert [found.split()[0] for found in problem.split("; ")] == ["content_type", "age_range", "download_priority"]
    [(_, problem)] = run(GOOD | {"content_type": "", "subject_area": " "}).problems
    assert problem == "Missing required fields: content_type, subject_area"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("story,math,6-8", "has 3 cells, the first line has 4"),
        ("story,math,6-8,A,B", "has 5 cells, the first line has 4"),
        (" ", "has 1 cells, the first line has 4"),
    ],
)
def test_a_row_of_another_width_is_bad(line: str, sentence: str, run: Any) -> None:
    assert run(f"{NEEDED}\n{line}\nstory,math,6-8,Good\n") == Report(rows=2, added=1, problems=[(2, sentence)])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_bad_row_s_line_is_counted_as_an_editor_counts_it(end: str, run: Any) -> None:
    lines = [
        f"{NEEDED},description",
        "bad,math,6-8,line 2,",
        "",
        'story,math,6-8,line 4,"three',
        "",
        'lines"',
        'bad,math,6-8,line 7,"two',
        'lines"',
        "bad,math,6-8,line 9,",
    ]
    assert [line for line, _ in run(end.join(lines)).problems] == [2, 7, 9]


def test_the_same_item_twice_in_a_manifest_is_added_once(run: Any, sql: Any) -> None:
    others = [GOOD | change for change in ({"content_type": "game"}, {"age_range": "all"}, {"title": "a story"})]
    report = run(GOOD, *others, GOOD | {"description": "again"}, GOOD | {"title": " A story "})
    sentence = "the same item as line 2 (type, subject, age range and title)"
    assert report.problems == [(6, sentence), (7, sentence)]
    assert report.added == 4
    assert stored(sql)[0]["description"] is None


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        pytest.param("", "missing: content_type, subject_area, age_range, title", id="empty"),
        pytest.param("\ufeff", "missing: content_type, subject_area, age_range, title", id="only a byte order mark"),
        pytest.param(f"\n{NEEDED}\n", "missing: content_type, subject_area, age_range, title", id="empty first line"),
        pytest.param("content_type,age_range,title\n", "missing: subject_area", id="missing"),
        pytest.param("story,math,6-8,A\n", "unknown: story, math, 6-8, A", id="no header"),
        pytest.param(f"{NEEDED},colour\n", "unknown: colour", id="unknown"),
        pytest.param(f"{NEEDED},id\n", "unknown: id", id="id"),
        pytest.param(f"{NEEDED},usage_count\n", "unknown: usage_count", id="usage_count"),
        pytest.param(f"{NEEDED.upper()}\n", "unknown: CONTENT_TYPE, SUBJECT_AREA, AGE_RANGE, TITLE", id="capitals"),
        pytest.param(f"{NEEDED};description\n", "unknown: title;description", id="semicolons"),
        pytest.param(f"{NEEDED},\n", "unknown: ", id="nameless"),
        pytest.param(f"{NEEDED},title\n", "twice", id="twice"),
    ],
)
def test_the_first_line_must_name_known_columns(manifest: str, sentence: str, run: Any) -> None:
    with pytest.raises(ManifestError) as caught:
        run(manifest)
    assert str(caught.value) == f"the first line must name the columns ({sentence}); known are {', '.join(COLUMNS)}"


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(f"{NEEDED}\nstory,math,6-8,Größe\n".encode("latin-1"), id="Latin-1"),
        pytest.param(f"{NEEDED}\nstory,math,6-8,A\n".encode("utf-16"), id="UTF-16"),
        pytest.param(f"{NEEDED}\nstory,math,6-8,".encode() + b"\xed\xa0\x80\n", id="half a surrogate pair"),
        pytest.param(f'{NEEDED}\nstory,math,6-8,A\nstory,math,6-8,"B\n'.encode(), id="a quote that never ends"),
        pytest.param(f'{NEEDED}\nstory,math,6-8,A\nstory,math,6-8,"B"C\n'.encode(), id="text after a quote"),
        pytest.param(b"\x50\x4b\x03\x04\xff\xfe\x00\x00", id="a spreadsheet"),
    ],
)
def test_what_is_not_csv_in_utf_8_is_refused_whole(manifest: bytes, run: Any, sql: Any) -> None:
    with pytest.raises(ManifestError, match="the manifest is not CSV in UTF-8"):
        run(manifest)
    assert stored(sql) == []


def test_a_header_alone_brings_nothing(run: Any, sql: Any) -> None:
    assert run(f"{NEEDED}\n") == Report()
    assert stored(sql) == []


def test_progress_adds_up_to_the_manifest_s_lines(run: Any) -> None:
    lines: list[int] = []
    run(f'{NEEDED}\n\nbad,math,6-8,A\nstory,math,6-8,"two\nlines"\n', progress=lines.append)
    assert sum(lines) == 4
