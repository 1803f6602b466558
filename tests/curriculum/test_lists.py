"""The lists: the catalogue's shape and windows, each resource's own filters and order, neighbours of units."""

import random
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.curriculum.conftest import KINDS, LESSON, RHYME, UNIT, every_kind, one_shape

ODD = ["", "%", "_", "\\", "'", '"', "9" * 30, "9" * 5000, "-1", "1.5", "٣", "\0", "null", "x" * 10_000, "😀", "%00"]


@every_kind
def test_a_list_has_the_catalogues_shape(kind, client, create, get, as_child):
    for number in range(3):
        create(kind, **{kind.required[0]: number if kind is LESSON else f"{number}"})
    body = get(kind.path, page=2, per_page=2)
    response = client.get(kind.path, headers=as_child)
    assert set(body) == {kind.many, "filters_applied", "pagination"}
    assert [row["id"] for row in body[kind.many]] == [3]
    assert body["filters_applied"] == dict.fromkeys(kind.filters)
    assert body["pagination"] == {
        "page": 2, "per_page": 2, "total": 3, "pages": 2, "has_next": False, "has_prev": True,
    }  # fmt: skip
    assert "private" in response.headers["Cache-Control"]
    known = client.get(kind.path, headers=as_child | {"If-None-Match": response.headers["ETag"]})
    assert (known.status_code, known.get_data()) == (304, b"")


@one_shape
def test_windows_are_the_catalogues(client, as_child, as_parent, sql, make_item):
    """Every spelling of a window, good or bad, is answered as the catalogue does on as many rows."""
    for number in range(55):
        make_item()
        sql(f"INSERT INTO {LESSON.table} (lesson_number, skill_focus, activity_type) VALUES (%s, 'a', 'b')", (number,))
        sql(f"INSERT INTO {RHYME.table} (rhyme_name) VALUES (%s)", (f"{number:02}",))
        sql(f"INSERT INTO {UNIT.table} (subject, grade_level, unit_title, lesson_sequence) "
            "VALUES ('a', 'b', 'c', %s)", (number,))  # fmt: skip
    for query in (
        "", "page=3", "page=4", "per_page=51", "per_page=50&page=2", "limit=7&offset=12", "offset=54", "limit=5&page=3",
        "offset=999999999999999999999", "page=99999999999999999999", "per_page=007", "page=0", "per_page=0", "limit=-1",
        "offset=x", "page=1.5", "limit=0&offset=0", "page=&limit=", "page=٣", "offset=1e3", "page=%00",
    ):  # fmt: skip
        wanted = client.get(f"/content?{query}", headers=as_child)
        for kind in KINDS:
            found = client.get(f"{kind.path}?{query}", headers=as_child)
            assert (query, found.status_code) == (query, wanted.status_code)
            if found.status_code == 200:
                assert found.get_json()["pagination"] == wanted.get_json()["pagination"]
                ids = [item["content_id"] for item in wanted.get_json()["content"]]
                assert (query, [row["id"] for row in found.get_json()[kind.many]]) == (query, ids)
            else:
                assert found.get_json() == wanted.get_json()


def test_lessons_by_number_range_skill_and_activity(create, get):
    for number in (5, 1, 3, 2, 3, 10):
        create(LESSON, lesson_number=number)
    create(LESSON, lesson_number=4, skill_focus="blending", activity_type="game")
    create(LESSON, lesson_number=4, skill_focus="blending ", activity_type="Game")

    def found(**query):
        body = get(LESSON.path, **query)
        assert body["filters_applied"] == dict.fromkeys(LESSON.filters) | query
        return [(row["lesson_number"], row["id"]) for row in body["lessons"]]

    assert found() == [(1, 2), (2, 4), (3, 3), (3, 5), (4, 7), (4, 8), (5, 1), (10, 6)]
    assert found(lesson_number=3) == [(3, 3), (3, 5)]
    assert found(lesson_from=5) == [(5, 1), (10, 6)]
    assert found(lesson_to=2) == [(1, 2), (2, 4)]
    assert found(lesson_from=2, lesson_to=3) == [(2, 4), (3, 3), (3, 5)]
    assert found(lesson_from=3, lesson_to=2) == found(lesson_number=10**17) == []
    assert found(skill_focus="blending") == [(4, 7), (4, 8)]
    assert found(skill_focus="blending", activity_type="game") == [(4, 7)]
    assert found(skill_focus="blend") == found(activity_type="GAME") == []


def test_rhymes_by_age_and_name(create, get):
    for name, age in (("Twinkle", "3-5"), ("Humpty 100%", "3-5"), ("À la claire fontaine", "6-8"), ("humpty_x", None)):
        create(RHYME, rhyme_name=name, age_appropriate=age)

    def found(**query):
        body = get(RHYME.path, **query)
        assert body["filters_applied"] == dict.fromkeys(RHYME.filters) | query
        return {row["rhyme_name"] for row in body["rhymes"]}

    assert found(age_appropriate="3-5") == {"Twinkle", "Humpty 100%"}
    assert found(q="HUMPTY") == {"Humpty 100%", "humpty_x"}
    assert found(q="humpty", age_appropriate="3-5") == {"Humpty 100%"}
    assert found(q="%") == {"Humpty 100%"}
    assert found(q="_") == {"humpty_x"}
    assert found(q="FONTAINE") == {"À la claire fontaine"}
    assert found(q="nowhere") == found(age_appropriate="3") == set()


@one_shape
def test_rhymes_come_by_name(create, get):
    for name in ("b", "c", "a", "b"):
        create(RHYME, rhyme_name=name)
    assert [row["id"] for row in get(RHYME.path)["rhymes"]] == [3, 1, 4, 2]


@one_shape
def test_units_by_subject_and_grade_in_their_sequence(create, get):
    for subject, grade, sequence in (("math", "K", 2), ("math", "K", 1), ("math", "1", 1), ("art", "K", 1)):
        create(UNIT, subject=subject, grade_level=grade, lesson_sequence=sequence)

    def found(**query):
        body = get(UNIT.path, **query)
        assert body["filters_applied"] == dict.fromkeys(UNIT.filters) | query
        return [row["id"] for row in body["units"]]

    assert found() == [2, 3, 4, 1]
    assert found(subject="math") == [2, 3, 1]
    assert found(subject="math", grade_level="K") == [2, 1]
    assert found(grade_level="1") == [3]
    assert found(subject="Math") == found(grade_level="k") == []


@one_shape
@every_kind
def test_odd_filters_are_answered_or_refused_by_name(kind, client, as_child, create):
    create(kind)
    for name in kind.filters:
        for value in ODD:
            response = client.get(f"{kind.path}?{name}={quote(value)}", headers=as_child)
            expected = (200, 400) if value else (200,)
            assert (name, value, response.status_code in expected) == (name, value, True), response.status_code
            if response.status_code == 400:
                assert [problem["field"] for problem in response.get_json()["errors"]] == [name]
        for value in ("\0", "x" * 10_000):
            assert client.get(f"{kind.path}?{name}={quote(value)}", headers=as_child).status_code == 400
    for number in ("-1", "x", "1.5", "+1", "1e3", " 1"):
        for name in ("lesson_number", "lesson_from", "lesson_to"):
            response = client.get(LESSON.path, query_string={name: number}, headers=as_child)
            assert (name, number, response.status_code) == (name, number, 400)


def test_neighbours_are_of_the_same_subject_and_grade(create, get, client, as_parent):
    for title, subject, grade, sequence in (
        ("third", "math", "K", 3),
        ("first", "math", "K", 1),
        ("other grade", "math", "1", 2),
        ("other subject", "art", "K", 2),
        ("second", "math", "K", 2),
        ("second again", "math", "K", 2),
    ):
        create(UNIT, unit_title=title, subject=subject, grade_level=grade, lesson_sequence=sequence)
    beside = {"first": (None, "second"), "second": ("first", "second again"), "second again": ("second", "third"),
              "third": ("second again", None), "other grade": (None, None), "other subject": (None, None)}  # fmt: skip
    rows = get(UNIT.path)["units"]
    assert {row["unit_title"]: _beside(row) for row in rows} == beside
    for page in range(1, 7):  # a neighbour may be on another page
        [row] = get(UNIT.path, per_page=1, page=page)["units"]
        assert _beside(row) == beside[row["unit_title"]]
        for link in filter(None, (row["previous"], row["next"])):
            assert set(link) == {"id", "title", "url"}
            linked = get(link["url"])["unit"]
            assert (linked["id"], linked["unit_title"]) == (link["id"], link["title"])
            assert row["id"] in [there["id"] for there in (linked["previous"], linked["next"]) if there]
        assert get(f"{UNIT.path}/{row['id']}")["unit"] == row
    moved = client.patch(f"{UNIT.path}/1", json={"lesson_sequence": 0}, headers=as_parent).get_json()["unit"]
    assert _beside(moved) == (None, "first")
    client.delete(f"{UNIT.path}/2", headers=as_parent)
    assert _beside(get(f"{UNIT.path}/1")["unit"]) == (None, "second")


@one_shape
def test_neighbours_of_many_units_are_the_order_of_their_list(sql, get):
    dice = random.Random(5)
    sql(
        f"INSERT INTO {UNIT.table} (subject, grade_level, unit_title, lesson_sequence) "
        "SELECT * FROM unnest(%s, %s, %s, %s)",
        tuple(map(list, zip(*((dice.choice("ab"), dice.choice("12"), f"{n}", dice.randrange(9)) for n in range(60)),
                            strict=True))),
    )  # fmt: skip
    seen = 0
    for subject in "ab":
        for grade in "12":
            rows = get(UNIT.path, subject=subject, grade_level=grade, per_page=50)["units"]
            titles = [None, *(row["unit_title"] for row in rows), None]
            assert [_beside(row) for row in rows] == list(zip(titles[:-2], titles[2:], strict=True))
            seen += len(rows)
    assert seen == 60


@every_kind
def test_the_number_of_statements_does_not_grow_with_the_page(kind, client, as_child, sql, statements):
    names = ", ".join(kind.required)
    sql(f"INSERT INTO {kind.table} ({names}) SELECT {', '.join('%s' for _ in kind.required)} "
        "FROM generate_series(1, 120)", tuple(kind.least.values()))  # fmt: skip
    client.get(kind.path, headers=as_child)  # that the user exists is remembered from here
    most = 3 if kind is UNIT else 2
    for query in (
        "per_page=1",
        "per_page=50",
        "per_page=50&page=3",
        "offset=7&limit=30",
    ):
        statements.clear()
        assert client.get(f"{kind.path}?{query}", headers=as_child).get_json()[kind.many]
        assert len(statements) == most, statements
    statements.clear()
    assert client.get(f"{kind.path}/1", headers=as_child).status_code == 200
    assert len(statements) == most - 1, statements


@one_shape
def test_whatever_is_asked_or_sent_is_answered(client, as_parent, create):
    """Never 500: made-up bodies, addresses and queries."""
    names = sorted({name for kind in KINDS for name in (*kind.whole, *kind.filters, "page", "id")})
    words = st.text(max_size=8) | st.sampled_from(ODD)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from([10**400, 2**31, -0.0])
    nested = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2))
    bodies = st.dictionaries(st.sampled_from(names) | words, nested, max_size=4)
    queries = st.dictionaries(st.sampled_from(names), words, max_size=3)

    @settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(kind=st.sampled_from(KINDS), method=st.sampled_from(["GET", "POST", "PUT", "PATCH"]), body=bodies,
           whole=st.booleans(), one=st.booleans(), query=queries)  # fmt: skip
    def check(kind, method, body, whole, one, query):
        path = f"{kind.path}/1" if one or method in ("PUT", "PATCH") else kind.path
        if method == "POST":
            path = kind.path
        query = {name: value.encode(errors="surrogatepass") for name, value in query.items()}
        sent = kind.least | body if whole else body
        response = client.open(path, method=method, query_string=query, json=sent, headers=as_parent)
        assert response.status_code in (200, 201, 400), (response.status_code, response.get_data())
        assert response.mimetype == "application/json"

    for kind in KINDS:
        create(kind)
    check()


def _beside(row):
    return tuple(link and link["title"] for link in (row["previous"], row["next"]))
