"""The list: its shape, filters, windows and order, who sees what, and that a page costs the same however deep it is."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import bearer, make_parent

FILTERS = ["subject_area", "age_range", "content_type", "difficulty_level"]
CHANGED = {"message": "Content has been changed since; fetch it again"}
NO_FILTERS = dict.fromkeys(FILTERS)
one_shape = pytest.mark.parametrize("shape", ["backend"])

# query, first and last row from 1, then what `pagination` says: page, per_page, pages, has_next, has_prev
WINDOWS_OF_55 = [
    ("", (1, 20), 1, 20, 3, True, False),
    ("page=1", (1, 20), 1, 20, 3, True, False),
    ("page=2", (21, 40), 2, 20, 3, True, True),
    ("page=3", (41, 55), 3, 20, 3, False, True),
    ("page=4", None, 4, 20, 3, False, True),
    ("page=1000000", None, 1_000_000, 20, 3, False, True),
    ("per_page=50", (1, 50), 1, 50, 2, True, False),
    ("per_page=51", (1, 50), 1, 50, 2, True, False),
    ("per_page=1000000&page=2", (51, 55), 2, 50, 2, False, True),
    ("per_page=99999999999999999999", (1, 50), 1, 50, 2, True, False),
    ("per_page=55", (1, 50), 1, 50, 2, True, False),
    ("per_page=11&page=5", (45, 55), 5, 11, 5, False, True),
    ("per_page=1&page=55", (55, 55), 55, 1, 55, False, True),
    ("per_page=007", (1, 7), 1, 7, 8, True, False),
    ("limit=7", (1, 7), 1, 7, 8, True, False),
    ("limit=51", (1, 50), 1, 50, 2, True, False),
    ("limit=10&page=3", (21, 30), 3, 10, 6, True, True),
    ("offset=0", (1, 20), 1, 20, 3, True, False),
    ("offset=20", (21, 40), 2, 20, 3, True, True),
    ("limit=5&offset=0", (1, 5), 1, 5, 11, True, False),
    ("limit=5&offset=10", (11, 15), 3, 5, 11, True, True),
    ("limit=5&offset=12", (13, 17), 3, 5, 11, True, True),
    ("limit=50&offset=5", (6, 55), 1, 50, 2, False, True),
    ("limit=51&offset=51", (52, 55), 2, 50, 2, False, True),
    ("limit=1&offset=54", (55, 55), 55, 1, 55, False, True),
    ("limit=5&offset=55", None, 12, 5, 11, False, True),
    ("per_page=5&offset=10", (11, 15), 3, 5, 11, True, True),
]


def test_a_list_has_the_contracts_shape(client, as_child, make_item):
    item = make_item(title="The Itsy Bitsy Spider", file_path="audio/spider.mp3", difficulty_level="beginner")
    response = client.get("/content", headers=as_child)
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert list(body) == ["content", "filters_applied", "pagination"]
    assert body["content"] == [client.get(f"/content/{item}", headers=as_child).get_json()["content"]]
    assert body["filters_applied"] == NO_FILTERS
    assert body["pagination"] == _pagination(1, 20, 1, 1, False, False)


def test_an_empty_library_is_an_empty_list(client, as_child):
    body = client.get("/content", headers=as_child).get_json()
    assert body["content"] == []
    assert body["pagination"] == _pagination(1, 20, 0, 0, False, False)


def test_both_slashes_answer_the_same_without_a_redirect(client, as_child, make_item):
    make_item()
    plain, slashed = (client.get(path, headers=as_child) for path in ("/content", "/content/"))
    assert plain.status_code == slashed.status_code == 200
    assert plain.get_data() == slashed.get_data()
    assert client.get("/content/?per_page=1&q=story", headers=as_child).get_json()["pagination"]["total"] == 1


@one_shape
def test_nobody_gets_a_list_without_signing_in(client):
    for query in ("", "?active=true", "?active=all", "?page=0"):
        response = client.get(f"/content{query}")
        assert response.status_code == 401
        assert response.get_json() == {"message": "Authentication token is missing"}


def test_a_filter_is_exact(client, as_child, make_item):
    for name in FILTERS:
        wanted = make_item(**{name: f"wanted {name[0]}"})
        for other in (f"Wanted {name[0]}", f"wanted {name[0]} ", f"wanted {name[0]}x", "wanted", ""):
            make_item(**{name: other})
        body = client.get("/content", query_string={name: f"wanted {name[0]}"}, headers=as_child).get_json()
        assert [item["content_id"] for item in body["content"]] == [wanted]
        assert body["filters_applied"] == NO_FILTERS | {name: f"wanted {name[0]}"}


def test_filters_combine(client, as_child, make_item):
    wanted = {"subject_area": "math", "age_range": "13+", "content_type": "game", "difficulty_level": "easy"}
    both = make_item(**wanted)
    for name in FILTERS:
        make_item(**wanted | {name: "other"})
    assert _ids(client, as_child, **wanted) == [both]
    assert len(_ids(client, as_child, age_range="13+", content_type="game")) == 3
    body = client.get("/content", query_string=wanted, headers=as_child).get_json()
    assert body["filters_applied"] == wanted
    assert body["pagination"]["total"] == 1


@one_shape
def test_an_unknown_filter_value_finds_nothing(client, as_child, make_item):
    make_item(difficulty_level=None)
    for name in FILTERS:
        for value in ("unknown", "%", "_", "' OR ''='", "null", "None", "математика", "\\", "a\nb"):
            body = client.get("/content", query_string={name: value}, headers=as_child).get_json()
            assert body["content"] == []
            assert body["pagination"]["total"] == body["pagination"]["pages"] == 0
            assert body["filters_applied"] == NO_FILTERS | {name: value}


def test_an_empty_filter_and_an_unknown_parameter_are_no_filter(client, as_child, make_item):
    item = make_item()
    query = dict.fromkeys([*FILTERS, "q"], "") | {"colour": "red", "title": "x", "id": "9", "page[]": "0"}
    assert _ids(client, as_child, **query) == [item]


def test_q_finds_text_of_title_and_description_literally(client, as_child, make_item):
    ids = {
        "title": make_item(title="The Itsy Bitsy Spider"),
        "described": make_item(title="Another", description="A Rhyme about rain"),
        "accented": make_item(title="À l'école"),
        "percent": make_item(title="100% fun"),
        "underscore": make_item(title="snake_case"),
        "backslash": make_item(title="back\\slash"),
        "slash": make_item(description="and/or"),
    }
    found = {
        "spider": "title",
        "SPIDER": "title",
        "tsy b": "title",
        "rhyme about": "described",
        "ÉCOLE": "accented",
        "100%": "percent",
        "%": "percent",
        "_": "underscore",
        "\\": "backslash",
        "/": "slash",
    }
    assert {q: _ids(client, as_child, q=q) for q in found} == {q: [ids[name]] for q, name in found.items()}
    for nowhere in ("nowhere", "' OR true --", "%%", "spider%", "\ufffd", "😀"):
        assert _ids(client, as_child, q=nowhere) == []


@one_shape
def test_q_finds_the_title_that_the_backend_keeps_in_the_metadata(client, as_child, make_item, sql):
    make_item(title="", content_metadata={"title": "Other", "spider": "spider"})
    make_item(title="Own", content_metadata={"title": "Hidden Spider"})
    for title, q in {
        "Hidden Spider": "SPIDER",
        "Die Blätter": "BLÄTTER",
        "Паучок": "паучок",
        "Party 😀": "party",
    }.items():
        item = make_item()
        for stored in (json.dumps({"week": 1, "title": title}), json.dumps({"title": title}, ensure_ascii=False)):
            sql("UPDATE content_library SET title = '', content_metadata = %s WHERE id = %s", (stored, item))
            assert _ids(client, as_child, q=q) == [item]


@one_shape
def test_q_lives_with_whatever_the_metadata_holds(client, as_child, make_item, sql):
    for stored in (
        "5",
        '"text"',
        "[]",
        "null",
        r'{"title": "a\u0000b"}',
        r'{"title": "\ud800"}',
        r'"\\u0000"',
        "[" * 300 + "]" * 300,
    ):
        make_item(title="")
        sql("UPDATE content_library SET content_metadata = %s WHERE content_metadata IS NULL", (stored,))
    assert _ids(client, as_child, q="nowhere") == []


def test_q_combines_with_filters_and_windows(client, as_child, make_item):
    for subject in ("math", "math", "science"):
        make_item(title="A spider", subject_area=subject)
    make_item(title="A fly", subject_area="math")
    body = client.get("/content?q=spider&subject_area=math&per_page=1&page=2", headers=as_child).get_json()
    assert [item["content_id"] for item in body["content"]] == [2]
    assert body["pagination"] == _pagination(2, 1, 2, 2, False, True)


@one_shape
def test_nul_in_a_filter_is_refused_by_name(client, as_child):
    for name in (*FILTERS, "q"):
        response = client.get(f"/content?{name}=a%00b", headers=as_child)
        assert response.status_code == 400
        assert [problem["field"] for problem in response.get_json()["errors"]] == [name]


@one_shape
def test_a_q_that_is_too_long_is_refused_in_characters(client, as_child):
    assert client.get("/content", query_string={"q": "é" * 200}, headers=as_child).status_code == 200
    response = client.get("/content", query_string={"q": "é" * 201}, headers=as_child)
    assert response.status_code == 400
    assert "200 characters" in response.get_json()["message"]


@one_shape
def test_every_spelling_of_a_window_gives_its_rows_and_says_where_they_are(client, as_child, sql):
    _add_rows(sql, [None] * 55)
    for query, rows, page, per_page, pages, has_next, has_prev in WINDOWS_OF_55:
        body = client.get(f"/content?{query}", headers=as_child).get_json()
        ids = [item["content_id"] for item in body["content"]]
        assert (query, ids) == (query, list(range(rows[0], rows[1] + 1)) if rows else [])
        assert (query, body["pagination"]) == (query, _pagination(page, per_page, 55, pages, has_next, has_prev))


@one_shape
def test_a_page_beyond_every_number_is_empty(client, as_child, make_item):
    make_item()
    for name in ("page", "offset"):
        for digits in (10, 18, 19, 30, 5000):
            response = client.get(f"/content?{name}={'9' * digits}", headers=as_child)
            assert response.status_code == 200
            assert response.get_json()["content"] == []
            assert response.get_json()["pagination"]["total"] == 1


@one_shape
@pytest.mark.parametrize("name", ["page", "per_page", "limit", "offset"])
def test_what_is_not_a_whole_number_is_refused_by_name(client, as_child, name):
    for value in (
        "-1",
        "-0",
        "1.5",
        "1.0",
        "abc",
        "1e3",
        "+1",
        " 1",
        "1 ",
        "0x10",
        "1,0",
        "1_0",
        "٣",
        "１",
        "²",
        "null",
        "",
    ):
        response = client.get("/content", query_string={name: value}, headers=as_child)
        assert (value, response.status_code) == (value, 400)
        assert response.get_json()["message"].startswith(f"{name} must be a ")
        assert [problem["field"] for problem in response.get_json()["errors"]] == [name]


@one_shape
def test_zero_is_no_page_and_no_width(client, as_child):
    for query in ("page=0", "per_page=0", "limit=0", "page=00", "limit=0&offset=0", "page=0&offset=3"):
        response = client.get(f"/content?{query}", headers=as_child)
        assert (query, response.status_code) == (query, 400)
        assert "must be a positive whole number" in response.get_json()["message"]


@one_shape
def test_every_wrong_number_is_told(client, as_child):
    body = client.get("/content?page=0&per_page=x&limit=-1&offset=y", headers=as_child).get_json()
    assert [problem["field"] for problem in body["errors"]] == ["page", "per_page", "limit", "offset"]


def test_the_order_is_priority_then_id_and_missing_priorities_come_last(client, as_child, sql):
    _add_rows(sql, [5, None, 1, 10, 1, 5, None, 2])
    assert _ids(client, as_child) == [3, 5, 8, 1, 6, 4, 2, 7]
    assert _ids(client, as_child, limit=3, offset=5) == [4, 2, 7]


@one_shape
@pytest.mark.parametrize("width", [7, 50])
def test_walking_the_pages_from_either_end_gives_every_item_once(client, as_child, sql, width):
    expected = _add_random_rows(sql, rows=101, seed=width)
    pages = [_ids(client, as_child, page=page, per_page=width) for page in range(1, -(-len(expected) // width) + 1)]
    assert [item for page in pages for item in page] == expected
    from_the_end = [_ids(client, as_child, page=page, per_page=width) for page in range(len(pages), 0, -1)]
    assert from_the_end == pages[::-1]


def test_any_window_is_that_slice_of_the_whole(client, as_child, sql):
    expected = _add_random_rows(sql, rows=120, seed=0)

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(offset=st.integers(0, 130), limit=st.integers(1, 60))
    def check(offset, limit):
        body = client.get(f"/content?offset={offset}&limit={limit}", headers=as_child).get_json()
        width = min(limit, 50)
        assert [item["content_id"] for item in body["content"]] == expected[offset : offset + width]
        assert body["pagination"]["has_next"] == (offset + width < len(expected))
        assert body["pagination"]["has_prev"] == (offset > 0)

    check()


def test_a_missing_active_counts_as_true(client, as_child, make_item):
    shown = [make_item(active=None), make_item(active=True)]
    make_item(active=False)
    body = client.get("/content", headers=as_child).get_json()
    assert [(item["content_id"], item["active"]) for item in body["content"]] == [(item, True) for item in shown]
    assert body["pagination"]["total"] == 2


def test_an_editor_may_ask_for_retired_items(client, as_parent, make_item):
    for value in (True, None, False):
        make_item(active=value)
    for active, expected in {"true": [1, 2], "false": [3], "all": [1, 2, 3]}.items():
        body = client.get(f"/content?active={active}", headers=as_parent).get_json()
        assert [item["content_id"] for item in body["content"]] == expected
        assert [item["active"] for item in body["content"]] == [item != 3 for item in expected]
        assert body["pagination"]["total"] == len(expected)


def test_an_editor_who_does_not_ask_sees_no_retired_item(client, as_parent, make_item):
    make_item(active=False)
    assert _ids(client, as_parent) == []
    assert _ids(client, as_parent, q="story") == []


@one_shape
def test_a_child_may_not_ask_for_retired_items(client, as_child):
    for active in ("false", "all"):
        response = client.get(f"/content?active={active}", headers=as_child)
        assert response.status_code == 403
        assert response.get_json() == {"message": "Parent access required"}


@one_shape
def test_a_parent_who_is_no_editor_may_not_ask_for_retired_items(make_app, database_url, redis, sql):
    editor, other = (bearer(user_id=make_parent(sql), user_type="parent") for _ in range(2))
    client = make_app(database_url, CONTENT_EDITORS="1").test_client()
    for active in ("false", "all"):
        assert client.get(f"/content?active={active}", headers=editor).status_code == 200
        response = client.get(f"/content?active={active}", headers=other)
        assert response.status_code == 403
        assert response.get_json() == {"message": "Editor access required"}
    assert client.get("/content?active=true", headers=other).status_code == 200


@one_shape
def test_another_word_for_active_is_refused(client, as_parent):
    for active in ("TRUE", "yes", "1", "0", "retired", "true "):
        response = client.get("/content", query_string={"active": active}, headers=as_parent)
        assert (active, response.status_code) == (active, 400)
        assert [problem["field"] for problem in response.get_json()["errors"]] == ["active"]


def test_the_number_of_statements_does_not_grow_with_the_page(client, as_child, sql, statements):
    _add_rows(sql, [None] * 50)
    client.get("/content?per_page=2", headers=as_child)
    counts = []
    for query in ("per_page=1", "per_page=50", "per_page=49&q=story&subject_area=math", "per_page=5&page=9"):
        statements.clear()
        assert client.get(f"/content?{query}", headers=as_child).get_json()["content"]
        counts.append(len(statements))
    assert counts == [1, 1, 2, 1]


def test_a_list_that_is_known_already_is_304_without_a_body(client, as_child, make_item):
    make_item()
    first = client.get("/content", headers=as_child)
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    again = client.get("/content", headers=as_child | {"If-None-Match": etag})
    assert (again.status_code, again.get_data()) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]


@one_shape
def test_if_none_match_on_a_list(client, as_child, make_item):
    make_item()
    etag = client.get("/content", headers=as_child).headers["ETag"]
    matching, other = (etag, f"W/{etag}", f'"x", {etag}', "*"), ('"x"', 'W/"x"', "x", '"*"')
    for headers, status in [(header, 304) for header in matching] + [(header, 200) for header in other]:
        response = client.get("/content", headers=as_child | {"If-None-Match": headers})
        assert (headers, response.status_code) == (headers, status)


def test_a_change_through_the_api_changes_the_etag_of_the_list(client, as_parent, make_item):
    item = make_item()
    etag = client.get("/content", headers=as_parent).headers["ETag"]
    client.patch(f"/content/{item}", json={"title": "Changed"}, headers=as_parent)
    again = client.get("/content", headers=as_parent | {"If-None-Match": etag})
    assert again.status_code == 200
    assert again.get_json()["content"][0]["title"] == "Changed"


@one_shape
def test_a_list_is_for_its_asker_alone(client, as_child):
    headers = client.get("/content", headers=as_child).headers
    assert "private" in headers["Cache-Control"]
    assert headers["Vary"] == "Authorization"
    assert headers["X-Content-Type-Options"] == "nosniff"


@one_shape
def test_head_has_the_headers_of_get_and_no_body(client, as_child, make_item):
    make_item()
    got, head = client.get("/content", headers=as_child), client.head("/content", headers=as_child)
    assert (head.status_code, head.get_data()) == (200, b"")
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(got.get_data()))


@one_shape
def test_a_failed_if_match_on_a_list_is_an_error_like_any_other(client, as_child, make_item):
    make_item()
    response = client.get("/content", headers=as_child | {"If-Match": '"other"'})
    assert (response.status_code, response.get_json()) == (412, CHANGED)
    etag = client.get("/content", headers=as_child).headers["ETag"]
    for header in (etag, "*", f'"other", {etag}'):
        assert client.get("/content", headers=as_child | {"If-Match": header}).status_code == 200


def _ids(client, headers, **query):
    response = client.get("/content", query_string=query, headers=headers)
    assert response.status_code == 200, response.get_json()
    return [item["content_id"] for item in response.get_json()["content"]]


def _pagination(*values):
    return dict(zip(("page", "per_page", "total", "pages", "has_next", "has_prev"), values, strict=True))


def _add_rows(sql, priorities):
    sql(
        "INSERT INTO content_library (content_type, subject_area, age_range, title, download_priority) "
        "SELECT 'story', 'math', '3-5', 'A story', priority "
        "FROM unnest(%s::integer[]) WITH ORDINALITY AS given (priority, n) ORDER BY n",
        (priorities,),
    )


def _add_random_rows(sql, rows, seed):
    """Adds rows with equal and missing priorities, and returns the ids in the order that the list must have."""
    dice = random.Random(seed)
    priorities = [dice.choice([None, 1, 2, 5, 5, 10]) for _ in range(rows)]
    _add_rows(sql, priorities)
    return [n + 1 for n in sorted(range(rows), key=lambda n: (priorities[n] is None, priorities[n] or 0, n))]


@one_shape
def test_a_row_with_a_time_beyond_pythons_years_is_listed(client, as_child, make_item, sql):
    make_item()
    sql("UPDATE content_library SET created_at = '0044-03-15 BC', updated_at = '294276-01-01'")
    [item] = client.get("/content", headers=as_child).get_json()["content"]
    assert (item["created_at"], item["updated_at"]) == (None, None)
