"""Search: what is found by which words, in which order, how it is shown, and who sees what."""

import random
import time
from collections import Counter

import pytest

from library_server.search import queries
from tests.conftest import bearer, make_parent, run_sql

FILTERS = ["subject_area", "age_range", "content_type", "difficulty_level"]
one_shape = pytest.mark.parametrize("shape", ["backend"])

LIBRARY = {
    "spider": {"title": "The Itsy Bitsy Spider", "description": "A rhyme with hand movements."},
    "cat": {"title": "The Cat in the Garden", "description": "It meets a spider and a snail."},
    "counting": {"title": "Counting to Twenty", "description": "Sheep, one by one."},
    "café": {"title": "Größe im Café", "description": "Señor Muñoz weighs apples."},
    "who": {"title": "Over and Under", "description": "Where things are."},
    "hyphen": {"title": "Humpty-Dumpty's wall", "description": "All the king's horses can't help."},
    "skills": {"title": "Sounds", "skill_objectives": ["phonemic_awareness", {"of": ["onset-rime"]}]},
    "lyrics": {"title": "Stars", "content_metadata": {"lyrics": "Like a diamond\nin the \u201csky\u201d", "week": 3}},
}

# what is typed, which items it finds
FINDS = [
    ("spider", {"spider", "cat"}),
    ("SPIDER", {"spider", "cat"}),
    ("spiders", {"spider", "cat"}),
    ("spider snail", {"cat"}),
    ("itsy bitsy", {"spider"}),
    ('"itsy bitsy"', {"spider"}),
    ('"bitsy itsy"', set()),
    ('"spider and a snail"', {"cat"}),
    ("spider -snail", {"spider"}),
    ('spider -"hand movements"', {"cat"}),
    ("snail or sheep", {"cat", "counting"}),
    ("snail OR sheep OR apples", {"cat", "counting", "café"}),
    ("-spider", {*LIBRARY} - {"spider", "cat"}),
    ("spi", {"spider", "cat"}),
    ("itsy bit", {"spider"}),
    ("countin", {"counting"}),
    ("count", {"counting"}),
    ('"coun"', set()),
    ("grosse", {"café"}),
    ("GRÖSSE", {"café"}),
    ("cafe\u0301", {"café"}),
    ("munoz", {"café"}),
    ("over and under", {"who"}),
    ("the", {"spider", "cat"}),
    ("humpty dumpty", {"hyphen"}),
    ("humpty-dumpty", {"hyphen"}),
    ("kings", {"hyphen"}),
    ("king\u2019s cant", {"hyphen"}),
    ("awareness", {"skills"}),
    ("phonemic_awareness", {"skills"}),
    ("onset rime", {"skills"}),
    ("diamond sky", {"lyrics"}),
    ("lyrics", set()),
    ("3", set()),
]


@pytest.fixture
def library(make_item):
    """The items of LIBRARY: their names by their ids."""
    return {make_item(**values): name for name, values in LIBRARY.items()}


def test_what_is_typed_finds_what_it_should(search, library):
    found = {}
    for q, _ in FINDS:
        body = search(q)
        found[q] = set() if body["fuzzy"] else {library[item["content_id"]] for item in body["content"]}
    assert found == dict(FINDS)


def test_an_unfinished_word_is_completed_however_many_words_begin_so(search, make_item, sql):
    texts = ["A lantern.", "Lanterns glow.", "By lanternlight.", "Another thing: a lan tern."]
    first, *others = [make_item(title="Light", description=text) for text in texts]
    numbered = make_item(title="Lantern7")
    [asked] = sql("SELECT library_query('lantern', 'lantern', '''lantern'':*', '')::text AS query")
    assert asked["query"] == "'lantern' | 'lanternlight' | '=lantern':*"  # nothing is looked up twice
    assert {each["content_id"] for each in search("lantern")["content"]} == {first, *others[:2], numbered}
    assert [each["content_id"] for each in search("lanternlig")["content"]] == [others[1]]
    many = make_item(title="Light", description=" ".join(f"lantern{a}{b}" for a in "abcdefgh" for b in "abcdefgh"))
    found = {each["content_id"] for each in search("lantern")["content"]}
    assert found == {first, *others[:2], numbered, many}


def test_a_search_has_the_contracts_shape(client, as_child, make_item, search):
    item = make_item(title="Tom & <b>Jerry</b>", description='The "tom" cat\'s <script>', difficulty_level="easy")
    body = search("tom")
    assert list(body) == ["query", "fuzzy", "content", "filters_applied", "pagination", "facets"]
    [found] = body["content"]
    score, highlight = found.pop("score"), found.pop("highlight")
    assert found == client.get(f"/content/{item}", headers=as_child).get_json()["content"]
    assert 0 < score <= 1
    assert highlight == {
        "title": "<mark>Tom</mark> &amp; &lt;b&gt;Jerry&lt;/b&gt;",
        "description": "The &quot;<mark>tom</mark>&quot; cat&#x27;s &lt;script&gt;",
    }
    assert (body["query"], body["fuzzy"]) == ("tom", False)
    assert body["filters_applied"] == dict.fromkeys(FILTERS)
    assert body["pagination"]["total"] == 1
    assert body["facets"] == {
        "subject_area": {"math": 1},
        "age_range": {"3-5": 1},
        "content_type": {"story": 1},
        "difficulty_level": {"easy": 1},
    }


@one_shape
def test_highlights_mark_what_was_meant_in_the_text_as_it_is(search, make_item):
    make_item(title="Größe und e\u0301toile", description="groß, GRÖSSE; “grosse” Großeltern")
    make_item(title="Jack's", description=None)
    assert search("grosse")["content"][0]["highlight"] == {
        "title": "<mark>Größe</mark> und e\u0301toile",
        "description": "<mark>groß</mark>, <mark>GRÖSSE</mark>; “<mark>grosse</mark>” <mark>Großeltern</mark>",
    }
    assert search("jacks")["content"][0]["highlight"] == {"title": "<mark>Jack&#x27;s</mark>", "description": ""}
    assert "<mark>e\u0301toile</mark>" in search('"etoile"')["content"][0]["highlight"]["title"].replace(
        "</mark>\u0301", ""
    )


def test_titles_weigh_more_than_objectives_descriptions_and_metadata(search, make_item):
    metadata = make_item(title="One", content_metadata={"theme": "volcano"}, download_priority=1)
    description = make_item(title="Two", description="A volcano.", download_priority=2)
    objective = make_item(title="Three", skill_objectives=["volcano"], download_priority=3)
    title = make_item(title="The volcano", download_priority=4)
    assert _ids(search("volcano")) == [title, objective, description, metadata]


def test_among_equals_priority_comes_first_then_popularity_then_the_older(search, make_item):
    last = make_item(title="Rain", download_priority=None, usage_count=900)
    older = make_item(title="Rain", download_priority=5)
    newer = make_item(title="Rain", download_priority=5, usage_count=0)
    popular = make_item(title="Rain", download_priority=5, usage_count=100)
    first = make_item(title="Rain", download_priority=1)
    assert _ids(search("rain")) == [first, popular, older, newer, last]


@one_shape
def test_of_very_many_the_best_are_ranked_and_no_item_is_lost_between_pages(search, make_item, sql, monkeypatch):
    monkeypatch.setattr(queries, "RANKED", 7)
    for number in range(30):
        make_item(
            title="Snow" if number % 5 == 0 else "x",
            description="snow " * (number % 3 + 1),
            download_priority=number % 4,
        )
    pages = [search("snow", limit=4, offset=offset)["content"] for offset in range(0, 32, 4)]
    assert all(0 < item["score"] < 1 for page in pages for item in page)
    found = [item["content_id"] for page in pages for item in page]
    assert sorted(found) == list(range(1, 31))
    assert set(found[:6]) == {item for item in range(1, 31) if item % 5 == 1}
    assert _ids(search("snow", page=9, per_page=4)) == []


def test_filters_pages_and_facets_are_those_of_the_whole(search, sql, make_item):
    chance = random.Random(4)
    values = {name: ["a", "b", "c"] for name in FILTERS}
    rows = []
    for _ in range(90):
        row = {name: chance.choice(options) for name, options in values.items()}
        row["difficulty_level"] = chance.choice(["a", "b", None])
        active = chance.choice([True, True, None, False])
        about = chance.choice(["moon", "sun"])
        rows.append((make_item(title=f"The {about}", active=active, **row), row, active, about))
    there = [(item, row) for item, row, active, about in rows if active is not False and about == "moon"]
    for wanted in ({}, {"subject_area": "a"}, {"age_range": "b", "difficulty_level": "a"}, {"content_type": "none"}):
        body = search("moon", per_page=50, **wanted)
        matching = [item for item, row in there if _fits(row, wanted)]
        assert sorted(_ids(body)) == sorted(matching)
        assert body["pagination"]["total"] == len(matching)
        assert body["filters_applied"] == dict.fromkeys(FILTERS) | wanted
        for name in FILTERS:
            others = {other: value for other, value in wanted.items() if other != name}
            counts = Counter(row[name] for _, row in there if row[name] and _fits(row, others))
            assert body["facets"][name] == counts
    first, second = (_ids(search("moon", per_page=5, page=page)) for page in (1, 2))
    assert len({*first, *second}) == 10


def test_a_title_that_is_missing_is_read_where_the_catalogue_reads_it(search, make_item, sql):
    told = make_item(title="", content_metadata={"title": "Zebra crossing"})
    empty = make_item(title="", content_metadata={"title": ["zebra"]}, file_path="audio/zebra-song.mp3")
    body = search("zebra")
    assert _ids(body) == [empty, told] or _ids(body) == [told, empty]
    assert {item["title"]: item["highlight"]["title"] for item in body["content"]} == {
        "Zebra crossing": "<mark>Zebra</mark> crossing",
        "zebra-song.mp3": "<mark>zebra</mark>-song.mp3",
    }


def test_retired_items_are_found_by_editors_who_ask_and_nobody_else(search, make_item, as_parent, client, as_child):
    make_item(title="Dinosaur", active=False)
    shown = make_item(title="Dinosaur", active=None)
    for q in ("dinosaur", "dinosar", "-moon"):
        assert _ids(search(q)) == _ids(search(q, as_parent)) == [shown]
        assert sorted(_ids(search(q, as_parent, active="all"))) == [1, 2]
        assert _ids(search(q, as_parent, active="false")) == [1]
    response = client.get("/content/search?q=dinosaur&active=all", headers=as_child)
    assert (response.status_code, response.get_json()) == (403, {"message": "Parent access required"})


@one_shape
@pytest.mark.parametrize("path", ["/content/search", "/api/content/search", "/content/suggest"])
@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("child", 200), ("parent", 200)])
def test_who_may_search(client, as_child, as_parent, path, who, status):
    headers = {"nobody": {}, "child": as_child, "parent": as_parent}[who]
    for slash in ("", "/"):
        assert client.get(f"{path}{slash}?q=cat", headers=headers).status_code == status


@one_shape
def test_a_parent_who_is_no_editor_may_search(make_app, database_url, redis, sql):
    _, other = (bearer(user_id=make_parent(sql), user_type="parent") for _ in range(2))
    client = make_app(database_url, CONTENT_EDITORS="1").test_client()
    assert client.get("/content/search?q=cat", headers=other).status_code == 200
    assert client.get("/content/search?q=cat&active=false", headers=other).status_code == 403


@one_shape
def test_without_words_there_is_nothing_to_search(client, as_child):
    for path in ("/content/search", "/api/content/search", "/content/suggest"):
        for query in ("", "?q=", "?q=%20%20", "?page=0"):
            response = client.get(f"{path}{query}", headers=as_child)
            assert (response.status_code, response.get_json()) == (400, {"message": "Missing required parameter: q"})


HOSTILE = [
    *("the a of", "or", "OR or or", "-", "--", "- -", '"', '""', '"""', '"unbalanced', 'a"b"c', "-or", "or -x"),
    *("& | ! ()", "a & !b", "cat:*", "a:b", "<->", "cat <2> dog", "!!", ":*", "'", "''", "\\", "\\'", "%", "%s", "$1"),
    *("🕷", "🕷 🕸 spider", "\ud800".encode("utf-8", "surrogatepass"), b"\xff\xfe", "\u202e\u0301", "ﬁ ß İ ı"),
    *("a" * 200, "a " * 100, '"a" ' * 50, "-a " * 66, "or " * 66, "x" * 50 + " -" + "y" * 50, "é" * 200, "=cat", "="),
    *("\u3316" * 200, "\ufdfa" * 200, "\u3316" * 100 + " cat"),  # a character of six letters, one of four words
    *("日本語", "كتاب", "123", "1e10", "-5", "<script>", "a/b/c.d@e.f http://x.y/z?q=1", "_", "‘’“”"),
]


@one_shape
def test_whatever_is_typed_is_answered_in_time(client, as_child, library):
    started = time.monotonic()
    for path in ("/content/search", "/content/suggest"):
        for q in HOSTILE:
            response = client.get(path, query_string={"q": q}, headers=as_child)
            assert (path, q, response.status_code) == (path, q, 200)
        for q in ("\0", "cat\0", "x" * 201, "spider " * 1500):
            response = client.get(path, query_string={"q": q}, headers=as_child)
            assert (response.status_code, [*response.get_json()]) == (400, ["message", "errors"])
    assert time.monotonic() - started < 10


@one_shape
def test_a_search_that_takes_too_long_says_so(client, as_child, library, sql, monkeypatch):
    monkeypatch.setattr(queries, "_EXACTLY", f"(SELECT {queries._EXACTLY} FROM pg_sleep(2))")
    monkeypatch.setattr(queries, "_FIND", queries._FIND.replace("'3000'", "'100'"))
    response = client.get("/content/search?q=spider", headers=as_child)
    assert response.status_code == 503
    assert response.get_json()["message"] == "This search takes too long. Please use more words, or rarer ones."
    assert response.headers["Retry-After"]
    monkeypatch.undo()
    assert client.get("/content/search?q=spider", headers=as_child).status_code == 200


@one_shape
def test_the_number_of_statements_does_not_grow(client, as_child, make_item, statements):
    paths = {
        "/content/search?q=owl": 2,
        "/content/search?q=oul": 5,
        "/content/suggest?q=ow": 1,
        "/content/suggest?q=oul": 5,
    }
    counts = []
    for _ in range(2):
        for number in range(12):
            make_item(title=f"Owl {number}", description="owl")
        client.get("/content/search?q=owl", headers=as_child)
        for path in paths:
            statements.clear()
            assert client.get(path, headers=as_child).status_code == 200
            counts.append(len(statements))
    assert counts == [*paths.values()] * 2


@one_shape
def test_a_search_that_is_known_already_is_304(client, as_child, library):
    first = client.get("/content/search?q=spider", headers=as_child)
    known = as_child | {"If-None-Match": first.headers["ETag"]}
    assert client.get("/api/content/search?q=spider", headers=known).status_code == 304


@one_shape
def test_near_spellings_need_the_extensions_and_search_does_not(client, as_child, library, database_url, search):
    run_sql(database_url, "CREATE SCHEMA elsewhere; ALTER EXTENSION pg_trgm SET SCHEMA elsewhere")
    try:
        assert search("spidr")["fuzzy"]  # by its sound
        run_sql(database_url, "ALTER EXTENSION fuzzystrmatch SET SCHEMA elsewhere")
        body = search("spidr")
        assert (body["fuzzy"], body["content"]) == (False, [])
        assert len(search("spider")["content"]) == 2
        assert client.get("/content/suggest?q=spidr", headers=as_child).get_json()["suggestions"] == []
        run_sql(database_url, "ALTER EXTENSION pg_trgm SET SCHEMA public")
        assert search("spidr")["fuzzy"]  # by its letters
    finally:
        for extension in ("pg_trgm", "fuzzystrmatch"):
            run_sql(database_url, f"ALTER EXTENSION {extension} SET SCHEMA public")
        run_sql(database_url, "DROP SCHEMA elsewhere")


def _ids(body):
    return [item["content_id"] for item in body["content"]]


def _fits(row, wanted):
    return all(row[name] == value for name, value in wanted.items())
