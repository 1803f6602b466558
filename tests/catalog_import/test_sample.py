"""The sample library of the package: a first look at every feature, without a bad row."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from library_server.catalog.importing import Report, import_manifest
from library_server.dev.command import SAMPLE
from tests.catalog_import.manifests import files_in, stored

TYPES = {"activity", "nursery_rhyme", "assessment", "lesson", "story", "game"}
SUBJECTS = {"phonemic_awareness", "math", "science", "geography", "language_arts", "social_studies"}
DIFFICULTIES = {"beginner", "intermediate", "advanced", "easy", "standard", "challenging"}


@pytest.fixture
def report(app: Flask) -> Report:
    """What importing the sample reports."""
    return import_manifest(SAMPLE / "manifest.csv", SAMPLE / "files")


def test_it_imports_without_a_bad_row_and_only_once(report: Report) -> None:
    assert report.problems == []
    assert report.rows == report.added >= 60
    again = import_manifest(SAMPLE / "manifest.csv", SAMPLE / "files", update=True)
    assert again == Report(rows=report.rows, unchanged=report.rows)


def test_it_covers_every_subject_age_type_and_difficulty(report: Report, sql: Any) -> None:
    items = stored(sql)
    assert {item["subject_area"] for item in items} >= SUBJECTS
    assert {item["age_range"] for item in items} >= {"3-5", "6-8", "9-12", "13+"}
    assert {item["content_type"] for item in items} == TYPES
    assert {item["difficulty_level"] for item in items} >= DIFFICULTIES
    assert all(item["active"] and item["description"] and item["skill_objectives"] for item in items)


def test_its_files_are_all_there_and_all_used(report: Report, sql: Any, content: Path) -> None:
    named = {item["file_path"] for item in stored(sql)} - {None}
    assert len(named) >= 20
    assert named == files_in(content).keys() == files_in(SAMPLE / "files").keys()
    assert all(files_in(content).values())
    assert {path.partition("/")[0] for path in named} == {"audio", "video", "images", "documents"}


def test_every_prerequisite_is_taught_by_another_item(report: Report, sql: Any) -> None:
    items = stored(sql)
    assert any(item["prerequisite_skills"] for item in items)
    for item in items:
        taught = {skill for other in items if other["id"] != item["id"] for skill in other["skill_objectives"]}
        assert {*item["prerequisite_skills"]} <= taught, item["title"]


def test_every_item_of_it_is_served(report: Report, client: FlaskClient, as_child: dict[str, str]) -> None:
    pages = [client.get(f"/content?per_page=50&page={page}", headers=as_child).json for page in (1, 2, 3)]
    assert sum(len(page["content"]) for page in pages) == pages[0]["pagination"]["total"] == report.rows
