"""Children's reads go to a real streaming replica, which may lag or be away; nobody else's do."""

import shutil
import time
from contextlib import ExitStack

import flask_migrate
import pytest

from library_server.dev import embedded
from library_server.extensions import db
from library_server.web import replica
from tests.conftest import _CONNECTIONS, SCHEMAS, bearer, make_child, make_parent, run_sql

ITEM = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": "The first"}
READS = {
    "/content": lambda body: len(body["content"]),
    "/content/subjects": lambda body: sum(body["subject_counts"].values()),
    "/content/search?q=first": lambda body: body["pagination"]["total"],
    "/content/suggest?q=first": lambda body: len(body["suggestions"]),
    "/content/curriculum/nursery-rhymes": lambda body: body["pagination"]["total"],
    "/content/child/1/recommendations": lambda body: len(body["recommendations"]),
}


class Pair:
    """A primary and its replica; `stop` stops the replica."""

    def __init__(self, primary, standby, stop):
        self.primary, self.standby, self.stop = primary, standby, stop

    def pause(self):
        run_sql(self.standby, "SELECT pg_wal_replay_pause()")

    def catch_up(self):
        run_sql(self.standby, "SELECT pg_wal_replay_resume()")
        [written] = run_sql(self.primary, "SELECT pg_current_wal_insert_lsn() AS lsn")
        behind = f"SELECT pg_last_wal_replay_lsn() < '{written['lsn']}' AS behind"
        deadline = time.monotonic() + 20
        while run_sql(self.standby, behind)[0]["behind"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def servers_of_postgresql(tmp_path_factory, make_app):
    """A replica is a copy of the primary's folder that is told whom to follow."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("primary", "standby"))
    with embedded.postgres(first, durable=False) as primary:
        run_sql(primary.url, (SCHEMAS / "guide.sql").read_text())
        parent = make_parent(lambda *statement: run_sql(primary.url, *statement))
        make_child(lambda *statement: run_sql(primary.url, *statement), parent)
        with make_app(primary.url).app_context():
            flask_migrate.upgrade()
            db.engine.dispose()
        _CONNECTIONS.pop(primary.url).close()
    shutil.copytree(first / "postgres", second / "postgres")
    _own(second / "postgres", first / "postgres")
    with ExitStack() as stack:
        primary = stack.enter_context(embedded.postgres(first, durable=False))
        host = primary.url.partition("?host=")[2].partition("&")[0]
        standby_folder = second / "postgres"
        _write(standby_folder / "standby.signal", "", standby_folder)
        _write(
            standby_folder / "postgresql.auto.conf",
            f"primary_conninfo = 'host={host} port=5432 user=postgres'\n",
            standby_folder,
        )
        standby = ExitStack()
        stack.callback(standby.close)
        url = standby.enter_context(embedded.postgres(second, durable=False)).url
        yield Pair(primary.url, url, standby.close)


def _own(folder, like):
    """Gives the copy to who owns the original: PostgreSQL does not run as root."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, like.stat().st_uid, like.stat().st_gid)


def _write(path, text, like):
    path.write_text(text)
    shutil.chown(path, like.stat().st_uid, like.stat().st_gid)


@pytest.fixture
def pair(servers_of_postgresql):
    run_sql(servers_of_postgresql.primary, "DELETE FROM content_library; DELETE FROM nursery_rhyme_data")
    servers_of_postgresql.catch_up()
    return servers_of_postgresql


@pytest.fixture
def app(make_app, pair, redis):
    made = make_app(pair.primary, DATABASE_READ_URL=pair.standby, CACHE_TTL=600)
    yield made
    with made.app_context():
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture
def ask(app):
    """``ask(path, "child")``: what the answer has of the new rows."""

    def number(path, kind="child"):
        response = app.test_client().get(path, headers=bearer(user_id=1, user_type=kind))
        assert response.status_code == 200, response.get_data()
        return READS[path](response.get_json())

    return number


def write(app):
    parent = bearer(user_id=1, user_type="parent")
    assert app.test_client().post("/content", json=ITEM, headers=parent).status_code == 201
    rhyme = {"rhyme_name": "Hickory"}
    assert app.test_client().post("/content/curriculum/nursery-rhymes", json=rhyme, headers=parent).status_code == 201


def test_a_child_may_see_what_was_and_a_parent_sees_what_is(app, pair, ask):
    pair.pause()
    write(app)
    for _ in range(2):  # the second time what is kept
        assert {path: ask(path) for path in READS} == dict.fromkeys(READS, 0)
        assert {path: ask(path, "parent") for path in READS} == dict.fromkeys(READS, 1)
    pair.catch_up()
    assert ask("/content/curriculum/nursery-rhymes") == 1  # which nothing keeps


def test_a_single_item_is_read_from_the_primary(app, pair):
    pair.pause()
    write(app)
    [row] = run_sql(pair.primary, "SELECT id FROM content_library")
    answer = app.test_client().get(f"/content/{row['id']}", headers=bearer(user_id=1, user_type="child"))
    assert answer.status_code == 200
    pair.catch_up()


def test_what_the_replica_said_is_not_kept_for_long(app, pair, ask, redis):
    write(app)
    pair.catch_up()
    ask("/content")
    [lagging] = redis.keys("search_cache:*")
    assert 0 < fresh_seconds(redis, lagging) <= replica.KEPT_SECONDS
    ask("/content", "parent")
    [other] = set(redis.keys("search_cache:*")) - {lagging}
    assert fresh_seconds(redis, other) > 500


def fresh_seconds(redis, key):
    """How long the entry counts from now on; its head says until when."""
    return int(redis.get(key).split()[1]) - time.time()


def test_without_the_replica_the_primary_answers(app, pair, ask, caplog):
    write(app)
    pair.catch_up()
    ask("/content/subjects")  # a connection that will break
    pair.stop()
    assert {path: ask(path) for path in READS} == dict.fromkeys(READS, 1)
    assert caplog.text.count("The replica of PostgreSQL failed a read") == 1
    health = app.test_client().get("/health").get_json()
    assert (health["status"], health["checks"]["replica"]["status"]) == ("degraded", "away")
