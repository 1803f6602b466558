"""What is kept in Redis: what a hit costs, what ends an entry, and what is no entry of ours."""

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from library_server.extensions import cache, db
from library_server.shared.gate import GENERATION
from library_server.web.caching import forget
from library_server.web.changes import look_for_changes

pytestmark = pytest.mark.cold
one_shape = pytest.mark.parametrize("shape", ["backend"])
LISTS = ["/content", "/content?subject_area=math&page=1", "/content/subjects", "/content/age-ranges"]


@pytest.fixture
def app(make_app: Callable[..., Flask], database_url: str, redis: Any) -> Any:
    """An application that caches."""
    made = make_app(database_url, CACHE_TTL=600)
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def asked(app: Flask) -> Any:
    """The commands of each round trip to Redis from now on."""
    trips: list[list[str]] = []
    gate = app.extensions["library_redis"]
    run, ask = gate.run, gate.ask

    def note_run(commands: list[tuple[Any, ...]]) -> list[Any]:
        trips.append([str(command[0]) for command in commands])
        gate.ask = ask
        try:
            return run(commands)
        finally:
            gate.ask = note_ask

    def note_ask(work: Any) -> Any:
        trips.append(["?"])
        return ask(work)

    gate.run, gate.ask = note_run, note_ask
    yield trips
    gate.run, gate.ask = run, ask


@pytest.mark.parametrize("path", ["/content/1", *LISTS])
def test_a_hit_asks_redis_once_and_postgresql_never(
    path: str, client: FlaskClient, as_child: Any, make_item: Any, statements: list[str], asked: Any
) -> None:
    make_item()
    first = client.get(path, headers=as_child)
    assert client.get(path, headers=as_child).data == first.data
    statements.clear()
    asked.clear()
    hit = client.get(path, headers=as_child)
    assert (hit.status_code, hit.data, hit.headers["ETag"]) == (200, first.data, first.headers["ETag"])
    assert (statements, len(asked)) == ([], 1), asked


@one_shape
def test_a_hit_answers_conditions_and_heads(client: FlaskClient, as_child: Any, make_item: Any) -> None:
    make_item()
    tag = client.get("/content/1", headers=as_child).headers["ETag"]
    same = client.get("/content/1", headers=as_child | {"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert client.get("/content/1", headers=as_child | {"If-Match": '"other"'}).status_code == 412
    head = client.head("/content/1", headers=as_child)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", tag)


@one_shape
def test_everybody_shares_an_entry_that_shows_no_more_than_all_may_see(
    client: FlaskClient, as_child: Any, as_parent: Any, make_item: Any, statements: list[str], redis: Any
) -> None:
    make_item(title="shown")
    hidden = make_item(title="retired", active=False)
    assert client.get("/content?active=all", headers=as_parent).get_json()["pagination"]["total"] == 2
    assert client.get(f"/content/{hidden}?active=all", headers=as_parent).status_code == 200
    assert redis.keys("*_cache:*") == []
    assert client.get("/content", headers=as_parent).get_json()["pagination"]["total"] == 1
    assert client.get("/content", headers=as_child).get_json()["pagination"]["total"] == 1
    assert client.get(f"/content/{hidden}", headers=as_child).status_code == 404
    assert len(redis.keys("search_cache:*")) == 1
    assert client.get("/content?active=all", headers=as_child).status_code == 403


@one_shape
def test_a_stranger_gets_nothing_from_the_cache(client: FlaskClient, as_child: Any, make_item: Any) -> None:
    make_item()
    client.get("/content/1", headers=as_child)
    assert client.get("/content/1").status_code == 401


@one_shape
def test_a_look_for_changes_does_not_wait_for_who_holds_a_note(app: Any, sql: Any, database_url: str) -> None:
    sql("INSERT INTO library_change DEFAULT VALUES")
    holder = psycopg2.connect(database_url)
    try:
        holder.cursor().execute("SELECT FROM library_change FOR UPDATE")
        with app.app_context(), pytest.raises(OperationalError):
            look_for_changes()
    finally:
        holder.close()
    with app.app_context():
        look_for_changes()
    assert sql("SELECT count(*) FROM library_change") == [{"count": 0}]


@one_shape
def test_what_is_wrong_is_not_answered_from_the_cache(client: FlaskClient, as_child: Any) -> None:
    for _ in range(2):
        told = [
            client.get(f"/content?{query}", headers=as_child).status_code for query in ("", "q=", "page=", "page=0")
        ]
        assert told == [200, 200, 400, 400]


@pytest.mark.parametrize("how", ["POST", "PUT", "PATCH", "DELETE", "purge"])
def test_an_edit_shows_at_once_on_every_server(
    how: str, make_app: Any, database_url: str, client: FlaskClient, as_parent: Any, make_item: Any
) -> None:
    other = make_app(database_url, CACHE_TTL=600)
    item = make_item(title="before")
    paths = [f"/content/{item}", "/content", "/content/subjects"]
    before = [other.test_client().get(path, headers=as_parent).data for path in paths]
    draft = {"content_type": "game", "subject_area": "science", "age_range": "3-5", "title": "after"}
    if how == "purge":
        client.delete(f"/content/{item}?purge=true", headers=as_parent)
    elif how == "POST":
        client.post("/content", json=draft, headers=as_parent)
        paths, before = paths[1:], before[1:]
    else:
        client.open(f"/content/{item}", method=how, json=draft, headers=as_parent)
    after = [other.test_client().get(path, headers=as_parent).data for path in paths]
    assert all(one != another for one, another in zip(before, after, strict=True))
    with other.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE content_library SET title = 'after'",
        "UPDATE content_library SET usage_count = 77",
        "DELETE FROM content_library",
        "TRUNCATE content_library CASCADE",
    ],
)
def test_what_others_write_shows_when_it_is_looked_for(
    statement: str, app: Flask, client: FlaskClient, as_child: Any, make_item: Any, sql: Any
) -> None:
    make_item(title="before")
    with app.app_context():
        look_for_changes()
    before = client.get("/content", headers=as_child).data
    sql(statement)
    assert client.get("/content", headers=as_child).data == before
    with app.app_context():
        look_for_changes()
    after = client.get("/content", headers=as_child).data
    assert after != before
    with app.app_context():
        look_for_changes()  # nothing new: what is kept stays
        assert sql("SELECT count(*) FROM library_change") == [{"count": 0}]
    sql("ALTER TABLE content_library DISABLE TRIGGER library_note_change")
    sql("DELETE FROM content_library")
    assert client.get("/content", headers=as_child).data == after
    sql("ALTER TABLE content_library ENABLE TRIGGER library_note_change")


@one_shape
def test_a_change_that_is_not_committed_yet_is_not_missed(
    app: Flask, client: FlaskClient, as_child: Any, make_item: Any, database_url: str
) -> None:
    import psycopg2

    make_item(title="before")
    with app.app_context():
        look_for_changes()
    connection = psycopg2.connect(database_url)
    connection.cursor().execute("UPDATE content_library SET title = 'after'")
    with app.app_context():
        look_for_changes()
    assert b"before" in client.get("/content/1", headers=as_child).data
    connection.commit()
    connection.close()
    with app.app_context():
        look_for_changes()
    assert b"after" in client.get("/content/1", headers=as_child).data


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@one_shape
def test_what_is_no_entry_of_ours_is_a_miss(
    client: FlaskClient, as_child: Any, make_item: Any, redis: Any, tmp_path: Path
) -> None:
    make_item(title="the truth")
    good = client.get("/content/1", headers=as_child).data
    entry = redis.get("content_cache:1")
    head, _, body = entry.partition(b"\n")
    foreign = [
        b"",
        b"\n",
        b"{}",
        body,
        b"\xff\xfe\n" + body,
        head,
        entry[:-1],
        entry + b" ",
        entry.replace(b"the truth", b"the trush"),
        b"1" + entry,
        b" ".join([head.split(b" ")[0], b"x", head.split(b" ")[2]]) + b"\n" + body,
        pickle.dumps(Bomb(tmp_path / "exploded")),
        b"!" + pickle.dumps(Bomb(tmp_path / "exploded")),
    ]
    for value in foreign:
        redis.set("content_cache:1", value)
        assert client.get("/content/1", headers=as_child).data == good, value
        assert redis.get("content_cache:1").partition(b"\n")[2] == body  # mended
    for key, write in {"content_cache:1": redis.rpush, GENERATION: redis.sadd}.items():
        redis.delete(key)
        write(key, "x")
        assert client.get("/content/1", headers=as_child).data == good
        redis.delete(key)
    redis.set(GENERATION, "what is this")
    assert client.get("/content/1", headers=as_child).data == good
    assert not (tmp_path / "exploded").exists()


@one_shape
def test_servers_with_other_settings_have_other_entries(
    make_app: Any, database_url: str, client: FlaskClient, as_child: Any, make_item: Any
) -> None:
    make_item(file_path="audio/x.mp3")
    other = make_app(database_url, CACHE_TTL=600, CDN_BASE_URL="https://cdn.example.org")
    here = client.get("/content/1", headers=as_child).get_json()["content"]["file_url"]
    there = other.test_client().get("/content/1", headers=as_child).get_json()["content"]["file_url"]
    assert (here.startswith("/content/"), there.startswith("https://cdn.example.org/")) == (True, True)
    with other.app_context():
        db.engine.dispose()


@one_shape
def test_every_entry_expires_before_its_links_do(
    client: FlaskClient, as_child: Any, make_item: Any, redis: Any, app: Flask
) -> None:
    make_item(file_path="audio/x.mp3")
    link = client.get("/content/1", headers=as_child).get_json()["content"]["file_url"]
    client.get("/content", headers=as_child)
    keys = redis.keys("*_cache:*")
    assert len(keys) == 2
    expires = int(link.partition("expires=")[2].partition("&")[0])
    for key in keys:
        assert 0 < redis.ttl(key) <= min(630, expires - 3600 - time.time() + 1)


@one_shape
def test_many_cold_requests_at_once_are_one_query(
    app: Flask, as_child: Any, make_item: Any, statements: list[str]
) -> None:
    for _ in range(30):
        make_item()
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *_: time.sleep(0.02))
    app.test_client().get("/content/1", headers=as_child)  # the user is known now
    statements.clear()
    with ThreadPoolExecutor(8) as pool:  # as many as two workers serve at a time
        bodies = list(
            pool.map(lambda _: app.test_client().get("/content?per_page=30", headers=as_child).data, range(200))
        )
    assert (len(bodies), len(set(bodies))) == (200, 1)
    assert len([each for each in statements if "content_library" in each]) <= 6  # a list is two


@one_shape
def test_an_entry_past_its_time_is_served_while_one_rebuilds_it(
    app: Flask, client: FlaskClient, as_child: Any, make_item: Any, redis: Any, sql: Any
) -> None:
    make_item(title="before")
    client.get("/content/1", headers=as_child)
    entry = redis.get("content_cache:1")
    generation, _, rest = entry.split(b" ", 2)
    redis.set("content_cache:1", b" ".join([generation, b"1", rest]))
    sql("UPDATE content_library SET title = 'after'")
    redis.set("library:lock:content_cache:1", "somebody", ex=5)
    assert b"before" in client.get("/content/1", headers=as_child).data
    redis.delete("library:lock:content_cache:1")
    assert b"after" in client.get("/content/1", headers=as_child).data


@one_shape
def test_keys_that_are_not_ours_are_not_touched(
    app: Flask, client: FlaskClient, as_parent: Any, make_item: Any, redis: Any
) -> None:
    foreign = {
        f"{name}:{number}": b"x" for name in ("flask_session", "celery", "_kombu", "socketio") for number in "12"
    }
    redis.mset(foreign)
    make_item()
    for path in ("/content/1", *LISTS):
        client.get(path, headers=as_parent)
    client.patch("/content/1", json={"title": "x"}, headers=as_parent)
    with app.app_context():
        assert cache.clear() is False
        forget()
    assert {key: redis.get(key) for key in foreign} == foreign
    ours = {key.decode() for key in redis.keys("*")} - set(foreign)
    assert all(key.startswith(("content_cache:", "search_cache:", "rate_limit:", "library:")) for key in ours), ours
    assert all(redis.ttl(key) > 0 for key in ours if key != "library:usage:counts"), ours


@one_shape
def test_nothing_is_kept_where_that_is_told(
    make_app: Any, database_url: str, as_child: Any, make_item: Any, redis: Any
) -> None:
    make_item()
    app = make_app(database_url, CACHE_TTL=0)
    assert app.test_client().get("/content/1", headers=as_child).status_code == 200
    assert redis.keys("*_cache:*") == []
    with app.app_context():
        db.engine.dispose()


def test_a_generation_is_never_the_same_twice(app: Flask, redis: Any) -> None:
    seen = set()
    with app.app_context():
        for _ in range(50):
            forget()
            seen.add(redis.get(GENERATION))
    assert len(seen) == 50
