"""Reports for editors."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from library_server.lib.clock import utc_now

SUMMARY = "/content/analytics/summary"
JANUARY = {"start": "2026-01-05", "end": "2026-01-07"}


@pytest.fixture
def used(make_item: Any, sql: Any) -> None:
    """Three items, used in three days of January; one of them is purged since."""
    make_item(title="=cmd|' /C calc'!A0", subject_area="math", age_range="3-5")
    make_item(title='Öl, "Salz"', subject_area="science", age_range="6-8", active=False)
    for content_id, event, hour, count in (
        (1, "view", "2026-01-05T10:00", 5),
        (1, "download", "2026-01-05T11:00", 1),
        (1, "view", "2026-01-07T23:00", 2),
        (2, "view", "2026-01-06T00:00", 3),
        (3, "download", "2026-01-06T01:00", 4),
        (1, "view", "2026-01-08T00:00", 100),
        (1, "view", "2026-01-04T23:00", 100),
    ):
        sql("INSERT INTO library_usage VALUES (%s, %s, %s, %s, 0)", (content_id, event, hour, count))


@pytest.mark.usefixtures("used")
def test_the_summary_tells_of_those_days_alone(client: Any, as_parent: Any) -> None:
    answer = client.get(SUMMARY, query_string=JANUARY, headers=as_parent).get_json()
    assert answer == {
        "start": "2026-01-05",
        "end": "2026-01-07",
        "views": 10,
        "downloads": 5,
        "top_items": [
            {"content_id": 1, "title": "=cmd|' /C calc'!A0", "views": 7, "downloads": 1},
            {"content_id": 3, "title": None, "views": 0, "downloads": 4},
            {"content_id": 2, "title": 'Öl, "Salz"', "views": 3, "downloads": 0},
        ],
        "by_subject": {"math": {"views": 7, "downloads": 1}, "science": {"views": 3, "downloads": 0}},
        "by_age_range": {"3-5": {"views": 7, "downloads": 1}, "6-8": {"views": 3, "downloads": 0}},
        "per_day": [
            {"date": "2026-01-05", "views": 5, "downloads": 1},
            {"date": "2026-01-06", "views": 3, "downloads": 4},
            {"date": "2026-01-07", "views": 2, "downloads": 0},
        ],
    }


@pytest.mark.usefixtures("used")
def test_an_item_s_report(client: Any, as_parent: Any) -> None:
    answer = client.get("/content/analytics/items/2/", query_string=JANUARY, headers=as_parent).get_json()
    assert {name: answer[name] for name in ("content_id", "title", "views", "downloads")} == {
        "content_id": 2,
        "title": 'Öl, "Salz"',
        "views": 3,
        "downloads": 0,
    }
    assert [day["views"] for day in answer["per_day"]] == [0, 3, 0]
    assert client.get("/content/analytics/items/3", headers=as_parent).status_code == 404


@pytest.mark.usefixtures("used")
def test_a_spreadsheet_runs_nothing(client: Any, as_parent: Any) -> None:
    answer = client.get(SUMMARY, query_string=JANUARY | {"format": "csv"}, headers=as_parent)
    assert (answer.mimetype, answer.headers["Content-Disposition"]) == (
        "text/csv",
        'attachment; filename="library-usage.csv"',
    )
    assert list(csv.reader(io.StringIO(answer.get_data(as_text=True)))) == [
        ["content_id", "title", "subject_area", "age_range", "views", "downloads"],
        ["1", "'=cmd|' /C calc'!A0", "math", "3-5", "7", "1"],
        ["3", "", "", "", "0", "4"],
        ["2", 'Öl, "Salz"', "science", "6-8", "3", "0"],
    ]
    query = JANUARY | {"format": "csv"}
    days = client.get("/content/analytics/items/1", query_string=query, headers=as_parent).get_data(as_text=True)
    assert days.splitlines() == ["date,views,downloads", "2026-01-05,5,1", "2026-01-06,0,0", "2026-01-07,2,0"]


def test_thirty_days_are_the_default(client: Any, as_parent: Any) -> None:
    answer = client.get(SUMMARY, headers=as_parent).get_json()
    assert (len(answer["per_day"]), answer["views"], answer["top_items"]) == (30, 0, [])
    today = utc_now().date()
    assert datetime.fromisoformat(answer["end"]).date() in (today, today - timedelta(days=1))


@pytest.mark.parametrize("shape", ["guide"])
@pytest.mark.parametrize(
    "query",
    [
        "start=yesterday",
        "start=1767571200",
        "end=2026-02-30",
        "start=2026-01-02&end=2026-01-01",
        "start=2024-01-01&end=2026-01-01",
        "end=0001-01-01",
        "end=9999-12-31",
        "start=9999-12-31",
        "start=0001-01-01",
        "start=2026-01-01%00",
        "format=xml",
    ],
)
def test_a_query_that_cannot_be_is_refused(query: str, client: Any, as_parent: Any) -> None:
    answer = client.get(f"{SUMMARY}?{query}", headers=as_parent)
    assert (answer.status_code, bool(answer.get_json()["message"])) == (400, True)


def test_the_number_of_statements_does_not_grow(
    client: Any, as_parent: Any, make_item: Any, sql: Any, statements: Any
) -> None:
    def asked() -> int:
        statements.clear()
        assert client.get(SUMMARY, query_string=JANUARY, headers=as_parent).status_code == 200
        return len(statements)

    asked()
    few = asked()
    for item in [make_item() for _ in range(30)]:
        sql("INSERT INTO library_usage VALUES (%s, 'view', '2026-01-06', 1, 0)", (item,))
    assert asked() == few
