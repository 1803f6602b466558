"""Signing in over HTTP: who gets in, who is refused in which words, and what PostgreSQL and Redis are asked for it."""

import logging
import pickle
import re
import socket
import time
from pathlib import Path

import flask_migrate
import pytest
import redis as redis_py

from library_server.dev import embedded
from library_server.extensions import db
from tests.conftest import SECRET, bearer, make_child, make_parent, run_sql, truncate_all

DOORS = [
    ("GET", "/content"),
    ("HEAD", "/content/"),
    ("GET", "/content/1"),
    ("GET", "/content/subjects/"),
    ("POST", "/content"),
    ("DELETE", "/content/1/"),
    ("GET", "/content/audio/spider.mp3"),
    ("GET", "/content/1/download"),
    ("POST", "/api/content/upload"),
]
NO_POSTGRES = "postgresql://nobody@/nowhere?host=/nonexistent"
NO_REDIS = "unix:///nonexistent/redis.sock?db=0"
PERSONAL = re.compile(r"eyJ|@|\bPat\b|\bKim\b|\bboss\b", re.IGNORECASE)
USERS = "library:user:*"
STRUCTURE = "Invalid token structure"


@pytest.fixture(autouse=True)
def nothing_personal_in_the_log(caplog, monkeypatch):
    """No test here may leave a token, a name or an e-mail in any log record."""
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    yield
    lines = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    assert [line for line in lines if PERSONAL.search(line)] == []


@pytest.fixture(scope="module")
def emptied(migrated):
    """``emptied("guide")``: the URL of a database without users. The tests here write nothing else."""
    urls = {}

    def get(shape):
        if shape not in urls:
            urls[shape] = migrated(shape)
            truncate_all(urls[shape])
        run_sql(
            urls[shape],
            "DELETE FROM child; DELETE FROM parent; "
            "ALTER SEQUENCE child_id_seq RESTART; ALTER SEQUENCE parent_id_seq RESTART",
        )
        return urls[shape]

    return get


@pytest.fixture
def database_url(shape, emptied):
    return emptied(shape)


@pytest.fixture
def start(make_app, database_url, redis):
    """``start(NAME=value…)``: a client of another application, on the same servers unless a setting says otherwise."""
    apps = []

    def make(database_url=database_url, **settings):
        apps.append(make_app(database_url, **settings))
        return apps[-1].test_client()

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(params=["closed port", "absent socket", "silent"])
def away(request):
    """The URL of a Redis that does not answer."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if request.param == "silent":
            held.listen()
        yield NO_REDIS if request.param == "absent socket" else f"redis://127.0.0.1:{held.getsockname()[1]}/0"


@pytest.fixture(scope="module")
def bare_url(create_database, make_app):
    """A database with the library's own tables only."""
    url = create_database("empty")
    app = make_app(url)
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    return url


@pytest.fixture
def bare(start, bare_url):
    """``bare("CREATE TABLE parent (…)", NAME=value…)``: a client of the library on just that table of the backend's."""

    def make(tables, **settings):
        run_sql(bare_url, f"DROP TABLE IF EXISTS parent, child; {tables}")
        return start(bare_url, **settings)

    return make


# Refusals


@pytest.mark.parametrize(
    ("sentence", "header"),
    [
        ("Authentication token is missing", lambda: {}),
        ("Invalid authorization header format", lambda: {"Authorization": "Basic dXNlcjpwYXNz"}),
        ("Invalid authorization header format", lambda: {"Authorization": bearer(id=1)["Authorization"] + " again"}),
        ("Token has expired", lambda: bearer(user_id=1, user_type="parent", exp=int(time.time()))),
        ("Token is invalid", lambda: bearer(SECRET[::-1], user_id=1, user_type="parent")),
        ("Token is invalid", lambda: bearer(user_id=1, user_type="parent", nbf=int(time.time()) + 60)),
        ("Token is invalid", lambda: bearer(user_id=1, user_type="parent", iat=int(time.time()) + 60)),
        ("Token is invalid", lambda: {"Authorization": "Bearer é.\xa0"}),
        ("Invalid token structure", lambda: bearer(user_id=1, user_type="teacher")),
        ("Invalid token structure", lambda: bearer(user_id=1, id=2, user_type="parent")),
        ("User not found", lambda: bearer(user_id=1, user_type="parent")),
        ("User not found", lambda: bearer(id=1, type="child")),
    ],
    ids=[
        "none",
        "basic",
        "three-words",
        "expired",
        "forged",
        "nbf",
        "iat",
        "garbage",
        "kind",
        "ids",
        "parent",
        "child",
    ],
)
@pytest.mark.parametrize("shape", ["guide"])
def test_each_refusal_has_its_sentence_at_every_door(client, sentence, header):
    for method, path in DOORS:
        assert_refused(client.open(path, method=method, headers=header()), sentence, bodiless=method == "HEAD")


@pytest.mark.parametrize("shape", ["guide"])
def test_a_revoked_token_opens_no_door(client, redis, as_parent):
    redis.set(f"blacklisted_token:{token_of(as_parent)}", "1")

    for method, path in DOORS:
        answer = client.open(path, method=method, headers=as_parent)
        assert_refused(answer, "Token has been revoked", bodiless=method == "HEAD")


@pytest.mark.parametrize("shape", ["guide"])
def test_a_token_is_taken_from_the_header_only(client, as_parent):
    token = token_of(as_parent)
    client.set_cookie("access_token_cookie", token)
    answer = client.get(
        "/content", query_string={"token": token, "access_token": token}, headers={"X-Access-Token": token}
    )

    assert_refused(answer, "Authentication token is missing")


@pytest.mark.parametrize("shape", ["guide"])
def test_two_headers_are_one_too_many(client, as_parent):
    answer = client.get("/content", headers=[*as_parent.items(), *as_parent.items()])

    assert_refused(answer, "Invalid authorization header format")


@pytest.mark.parametrize(
    "number",
    [2**31, 2**32 + 1, 2**63, 2**64 + 1, 10**30, 10**400, "2147483648", "9" * 18],
    ids=lambda number: str(number)[:25],
)
@pytest.mark.parametrize("shape", ["guide"])
def test_an_id_that_no_table_holds_is_nobody(client, child, number):
    for kind in ("parent", "child"):
        assert_refused(client.get("/content", headers=bearer(id=number, type=kind)), "User not found")


# Both spellings


@pytest.mark.parametrize(
    "claims",
    [
        {"user_id": "ID", "user_type": "parent", "sub": "ID AS TEXT"},
        {"id": "ID", "type": "parent"},
        {"id": "ID", "type": "parent", "jti": "0b6b0f5e", "email": "pat@example.org"},
        {"id": "ID AS TEXT", "type": "parent", "sub": "ID"},
    ],
    ids=["guide", "backend", "backend-jti-email", "text"],
)
def test_a_parent_signs_in(client, parent, claims):
    values = {"ID": parent, "ID AS TEXT": str(parent)}

    assert client.get("/content", headers=bearer(**{k: values.get(v, v) for k, v in claims.items()})).status_code == 200


def test_a_child_signs_in(client, parent, child):
    for claims in [{"user_id": child, "user_type": "child"}, {"id": child, "type": "child", "parent_id": parent}]:
        assert client.get("/content", headers=bearer(**claims)).status_code == 200


def test_parents_and_children_are_numbered_apart(client, sql):
    parent = make_parent(sql)
    other = make_parent(sql)
    child = make_child(sql, other)
    assert child == parent
    assert opens(client, bearer(id=other, type="parent"))

    assert_refused(client.get("/content", headers=bearer(id=other, type="child")), "User not found")
    assert is_child(client, bearer(id=child, type="child"))
    assert opens(client, bearer(id=parent, type="parent"))


# A child's parent


@pytest.mark.parametrize("as_number", [True, False], ids=["number", "text"])
def test_a_childs_token_names_its_parent(client, parent, child, as_number):
    assert is_child(client, bearer(id=child, type="child", parent_id=parent if as_number else str(parent)))


@pytest.mark.parametrize("remembered", [False, True], ids=["unknown", "remembered"])
def test_a_childs_token_names_no_other_parent(client, sql, child, remembered):
    if remembered:
        assert is_child(client, bearer(id=child, type="child"))

    answer = client.get("/content", headers=bearer(id=child, type="child", parent_id=make_parent(sql)))
    assert_refused(answer, "Invalid token structure")


# Revocation


@pytest.mark.parametrize("by", ["token", "empty value", "hash", "jti", "numeric jti"])
def test_revocation_works_at_once_and_as_long_as_it_stands(client, redis, parent, by):
    jti = 12 if by == "numeric jti" else "0b6b0f5e-9d0c"
    header = bearer(id=parent, type="parent", jti=jti)
    key = "jwt_blacklist" if by.endswith("jti") else f"blacklisted_token:{token_of(header)}"
    for _ in range(2):
        assert client.get("/content", headers=header).status_code == 200
        if by.endswith("jti"):
            redis.sadd(key, "another", str(jti))
        elif by == "hash":
            redis.hset(key, "by", "the backend")
        else:
            redis.set(key, "1" if by == "token" else "")

        for _ in range(2):
            assert_refused(client.get("/content", headers=header), "Token has been revoked")
        redis.delete(key)


@pytest.mark.parametrize("shape", ["guide"])
def test_another_token_of_the_user_stays_good(client, redis, parent):
    header = bearer(id=parent, type="parent", jti="mine")
    redis.set(f"blacklisted_token:{token_of(header)[:-1]}", "1")
    redis.set(f"blacklisted_token:Bearer {token_of(header)}", "1")
    redis.sadd("jwt_blacklist", "mine too", "MINE", token_of(header), str(parent))

    assert client.get("/content", headers=header).status_code == 200


@pytest.mark.parametrize("shape", ["guide"])
def test_a_token_without_its_own_id_is_not_among_the_revoked_ids(client, redis, as_parent):
    redis.sadd("jwt_blacklist", "", "None", "null", "0")

    assert client.get("/content", headers=as_parent).status_code == 200


@pytest.mark.parametrize(
    "spelling", ["bearer {}", "BEARER   {}", " Bearer\t{} ", "Bearer {}=", "Bearer {}==", "Bearer {}."]
)
@pytest.mark.parametrize("shape", ["guide"])
def test_no_other_spelling_of_a_revoked_token_gets_in(client, redis, as_parent, spelling):
    redis.set(f"blacklisted_token:{token_of(as_parent)}", "1")

    answer = client.get("/content", headers={"Authorization": spelling.format(token_of(as_parent))})
    assert answer.status_code == 401


@pytest.mark.parametrize("shape", ["guide"])
def test_a_revoked_token_is_refused_before_its_user_is_looked_for(client, redis, statements):
    header = bearer(id=1, type="parent")
    redis.set(f"blacklisted_token:{token_of(header)}", "1")

    assert_refused(client.get("/content", headers=header), "Token has been revoked")
    assert statements == []


@pytest.mark.parametrize("shape", ["guide"])
def test_revocations_are_read_only(client, redis, parent):
    header = bearer(id=parent, type="parent", jti="a")
    redis.set(f"blacklisted_token:{token_of(header)}", "kept", ex=100)
    redis.sadd("jwt_blacklist", "a", "b")
    client.get("/content", headers=header)

    assert redis.get(f"blacklisted_token:{token_of(header)}") == b"kept"
    assert 0 < redis.ttl(f"blacklisted_token:{token_of(header)}") <= 100
    assert redis.smembers("jwt_blacklist") == {b"a", b"b"}


@pytest.mark.parametrize("shape", ["guide"])
def test_one_unreadable_revocation_does_not_hide_the_other(client, redis, parent):
    header = bearer(id=parent, type="parent", jti="a")
    redis.set("jwt_blacklist", "not a set")
    assert client.get("/content", headers=header).status_code == 200

    redis.set(f"blacklisted_token:{token_of(header)}", "1")
    assert_refused(client.get("/content", headers=header), "Token has been revoked")


@pytest.mark.parametrize("shape", ["guide"])
def test_a_tokens_own_id_that_is_no_text_is_refused(client, parent):
    answer = client.get("/content", headers=bearer(id=parent, type="parent", jti="\ud800"))

    assert_refused(answer, "Invalid token structure")


# Redis away


@pytest.mark.impatient
@pytest.mark.parametrize("shape", ["guide"])
def test_without_redis_a_token_is_accepted_and_nobody_waits(start, away, as_parent):
    client = start(REDIS_URL=away)
    waited = [seconds_of(client, as_parent) for _ in range(10)]

    assert min(waited) < 0.1
    assert sum(waited[1:]) < 0.8


@pytest.mark.impatient
@pytest.mark.parametrize("shape", ["guide"])
def test_the_first_who_finds_redis_silent_does_not_wait_long(start, as_child):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert min(seconds_of(start(REDIS_URL=url), as_child) for _ in range(3)) < 0.3


@pytest.mark.parametrize("shape", ["guide"])
def test_without_redis_all_other_rules_hold(start, away, sql, child):
    client = start(REDIS_URL=away, CONTENT_EDITORS="999")
    stranger = make_parent(sql)

    assert_refused(client.get("/content", headers=bearer(id=99, type="parent")), "User not found")
    assert_refused(client.get("/content", headers=bearer(id=child, type="child", parent_id=stranger)), STRUCTURE)
    assert_refused(client.get("/content", headers=bearer(id=child, type="child", exp=1)), "Token has expired")
    assert is_child(client, bearer(id=child, type="child"))
    assert_forbidden(client.post("/content", headers=bearer(id=stranger, type="parent")), "Editor access required")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_revocation_is_required_no_token_is_accepted_without_redis(start, away, as_parent, as_child):
    client = start(REDIS_URL=away, REVOCATION_REQUIRED="true")
    for header in (as_parent, as_child, as_parent):
        assert_unavailable(client.get("/content", headers=header))

    assert_refused(client.get("/content"), "Authentication token is missing")
    assert_refused(client.get("/content", headers=bearer(SECRET[::-1], id=1, type="parent")), "Token is invalid")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_revocation_is_required_redis_is_enough(start, redis, as_parent):
    client = start(REVOCATION_REQUIRED="true")
    assert client.get("/content", headers=as_parent).status_code == 200

    redis.set(f"blacklisted_token:{token_of(as_parent)}", "1")
    assert_refused(client.get("/content", headers=as_parent), "Token has been revoked")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_revocation_is_required_an_unreadable_answer_is_none(start, redis, parent):
    client = start(REVOCATION_REQUIRED="true")
    redis.set("jwt_blacklist", "not a set")

    assert_unavailable(client.get("/content", headers=bearer(id=parent, type="parent", jti="a")))
    assert client.get("/content", headers=bearer(id=parent, type="parent")).status_code == 200


@pytest.mark.parametrize("shape", ["guide"])
def test_revocation_is_asked_again_when_redis_is_back(start, as_parent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    with embedded.redis(folder) as server, redis_py.Redis.from_url(server.url) as other:
        client = start(REDIS_URL=server.url)
        other.set(f"blacklisted_token:{token_of(as_parent)}", "1")
        assert_refused(client.get("/content", headers=as_parent), "Token has been revoked")

    assert client.get("/content", headers=as_parent).status_code == 200

    with embedded.redis(folder):
        back = time.monotonic()
        while client.get("/content", headers=as_parent).status_code == 200:
            assert time.monotonic() < back + 5
            time.sleep(0.05)
        assert_refused(client.get("/content", headers=as_parent), "Token has been revoked")


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("requirepass", "secret")], ids=["full", "locked"])
@pytest.mark.parametrize("shape", ["guide"])
def test_a_redis_that_refuses_commands_locks_nobody_out(start, as_parent, tmp_path, setting):
    with embedded.redis(tmp_path) as server, redis_py.Redis.from_url(server.url) as other:
        other.config_set(*setting)
        client = start(REDIS_URL=server.url)
        for _ in range(3):
            assert client.get("/content", headers=as_parent).status_code == 200


# What is remembered


@pytest.mark.parametrize("kind", ["parent", "child"])
def test_a_user_is_remembered_in_redis_for_ten_minutes_at_most(client, redis, as_parent, as_child, kind):
    client.get("/content", headers=as_parent if kind == "parent" else as_child)

    (key,) = redis.keys("*user*")
    assert key.startswith(b"library:user:")
    assert 0 < redis.ttl(key) <= 600
    assert not PERSONAL.search(f"{key} {redis.get(key)}")


def test_a_remembered_user_is_not_looked_for(client, as_parent, statements):
    assert opens(client, as_parent)
    statements.clear()

    assert opens(client, as_parent)
    assert statements == []


@pytest.mark.parametrize("age", [0, 55])
def test_a_user_deleted_meanwhile_is_believed_for_a_minute(client, redis, sql, parent, as_parent, age):
    assert opens(client, as_parent)
    sql("DELETE FROM parent")
    make_older(redis, age)

    assert opens(client, as_parent)


@pytest.mark.parametrize("age", [61, 599, 10**12])
def test_a_user_deleted_meanwhile_is_gone_after_a_minute(client, redis, sql, as_parent, age):
    assert opens(client, as_parent)
    sql("DELETE FROM parent")
    make_older(redis, age)

    assert_refused(client.get("/content", headers=as_parent), "User not found")


def test_after_a_minute_the_user_is_looked_for_and_remembered_anew(client, redis, as_child, statements):
    assert is_child(client, as_child)
    make_older(redis, 61)
    statements.clear()

    assert is_child(client, as_child)
    assert len(statements) == 1
    assert is_child(client, as_child)
    assert len(statements) == 1


def test_a_child_whose_parent_changes_is_told_apart_after_a_minute(client, redis, sql, parent, child):
    header = bearer(id=child, type="child", parent_id=parent)
    assert is_child(client, header)
    sql("UPDATE child SET parent_id = %s", (make_parent(sql),))
    make_older(redis, 61)

    assert_refused(client.get("/content", headers=header), STRUCTURE)


@pytest.mark.parametrize("kind", ["parent", "child"])
def test_a_user_made_after_a_refusal_is_accepted_at_once(client, redis, sql, kind):
    header = bearer(id=1, type=kind)
    for _ in range(2):
        assert_refused(client.get("/content", headers=header), "User not found")
    assert redis.keys(USERS) == []

    make_child(sql, make_parent(sql))
    assert client.get("/content", headers=header).status_code == 200


class Bomb:
    """Pickled, it is a command: it makes the file `path` for whoever unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def foreign_values():
    now = int(time.time())
    return {
        "empty": b"",
        "text": b"yes",
        "number": b"1",
        "list": b"[1, null]",
        "one word": str(now).encode(),
        "three words": b"%d 1 1" % now,
        "time as text": b"now 1",
        "time is a fraction": b"%d.5 1" % now,
        "time is zero": b"0 1",
        "time is negative": b"-1 1",
        "time to come": b"%d 1" % (now + 3600),
        "time is huge": b"1" + b"0" * 400 + b" 1",
        "time in other digits": "١٧٦٧٦١٠٨٠٠ ".encode(),
        "parent as text": b"%d one" % now,
        "parent is negative": b"%d -1" % now,
        "parent is a fraction": b"%d 1.5" % now,
        "parent is huge": b"%d 1%s" % (now, b"0" * 400),
        "a line more": b"%d 1\n" % now,
        "two spaces": b"%d  1" % now,
        "not UTF-8": b"\xff\xfe1 2",
        "huge": b"1 " * 100_000,
        "pickle": pickle.dumps((now, 1)),
        "pickle of text": pickle.dumps([now, None], protocol=0),
    }


@pytest.mark.parametrize("name", foreign_values())
@pytest.mark.parametrize("shape", ["guide"])
def test_what_we_did_not_write_is_no_memory(client, redis, sql, as_child, name):
    key = remembered_key(client, redis, as_child)
    redis.set(key, foreign_values()[name])
    assert is_child(client, as_child)
    assert int(redis.get(key).split(b" ")[0]) == pytest.approx(time.time(), abs=60)

    sql("DELETE FROM child")
    redis.set(key, foreign_values()[name])
    assert_refused(client.get("/content", headers=as_child), "User not found")


@pytest.mark.parametrize(
    "write",
    [
        lambda redis, key: redis.hset(key, "a", "b"),
        lambda redis, key: redis.rpush(key, "a", "b"),
        lambda redis, key: redis.sadd(key, "a"),
    ],
    ids=["hash", "list", "set"],
)
@pytest.mark.parametrize("shape", ["guide"])
def test_a_key_of_another_type_is_no_memory(client, redis, as_child, write):
    key = remembered_key(client, redis, as_child)
    redis.delete(key)
    write(redis, key)

    assert is_child(client, as_child)
    assert client.get("/content", headers=as_child).status_code == 200


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("shape", ["guide"])
def test_nothing_is_unpickled(client, redis, as_child, tmp_path, protocol):
    key = remembered_key(client, redis, as_child)
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"), protocol)
    redis.set(key, bomb)

    assert is_child(client, as_child)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)  # noqa: S301 (it would have)
    assert (tmp_path / "exploded").exists()


# PostgreSQL away


@pytest.mark.parametrize("age", [0, 61, 590])
@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_a_user_is_believed_for_ten_minutes(client, start, redis, as_parent, as_child, age):
    assert opens(client, as_parent)
    assert is_child(client, as_child)
    make_older(redis, age)
    known = memories(redis)

    without_postgres = start(NO_POSTGRES)
    assert opens(without_postgres, as_parent)
    assert is_child(without_postgres, as_child)
    assert memories(redis) == known


@pytest.mark.parametrize("age", [601, 3600, 10**9])
@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_a_user_is_not_believed_for_longer(client, start, redis, as_child, age):
    assert is_child(client, as_child)
    make_older(redis, age)

    assert_unavailable(start(NO_POSTGRES).post("/content", headers=as_child))


@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_nobody_unknown_is_believed(start, as_parent):
    client = start(NO_POSTGRES)
    for method, path in DOORS:
        assert_unavailable(client.open(path, method=method, headers=as_parent), bodiless=method == "HEAD")


@pytest.mark.parametrize("shape", ["guide"])
def test_while_both_are_away_nobody_is_believed(client, start, as_child):
    assert is_child(client, as_child)

    assert_unavailable(start(NO_POSTGRES, REDIS_URL=NO_REDIS).post("/content", headers=as_child))


@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_revocation_and_parents_count(client, start, redis, sql, parent, child):
    header = bearer(id=child, type="child", parent_id=parent)
    assert is_child(client, header)
    make_older(redis, 61)
    without_postgres = start(NO_POSTGRES)

    stranger = bearer(id=child, type="child", parent_id=parent + 1)
    assert_refused(without_postgres.post("/content", headers=stranger), STRUCTURE)
    redis.set(f"blacklisted_token:{token_of(header)}", "1")
    assert_refused(without_postgres.post("/content", headers=header), "Token has been revoked")


@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_an_email_makes_no_editor(client, start, as_parent):
    assert opens(client, as_parent)

    assert_unavailable(start(NO_POSTGRES, CONTENT_EDITORS="boss@example.org").post("/content", headers=as_parent))


@pytest.mark.cold
@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_an_editor_by_email_reads_what_is_kept(start, as_parent, make_item):
    settings = {"CONTENT_EDITORS": "boss@example.org", "CACHE_TTL": 600}
    path = f"/content/{make_item()}"
    assert start(**settings).get(path, headers=as_parent).status_code == 200

    assert start(NO_POSTGRES, **settings).get(path, headers=as_parent).status_code == 200


@pytest.mark.parametrize("shape", ["guide"])
def test_while_postgresql_is_away_an_id_makes_an_editor(client, start, parent, as_parent):
    assert opens(client, as_parent)

    assert opens(start(NO_POSTGRES, CONTENT_EDITORS=str(parent)), as_parent)


# Databases that lack something


@pytest.mark.parametrize("kind", ["parent", "child"])
@pytest.mark.parametrize("settings", [{}, {"CONTENT_EDITORS": "boss@example.org"}], ids=["open", "editors"])
@pytest.mark.parametrize("shape", ["guide"])
def test_where_there_are_no_users_nobody_signs_in(bare, kind, settings):
    client = bare("", **settings)

    for _ in range(2):
        assert_refused(client.get("/content", headers=bearer(id=1, type=kind)), "User not found")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_there_are_no_children_parents_sign_in(bare):
    client = bare("CREATE TABLE parent (id SERIAL PRIMARY KEY, email TEXT); INSERT INTO parent VALUES (1, 'a@b.c')")

    assert opens(client, bearer(id=1, type="parent"))
    assert client.get("/content", headers=bearer(id=1, type="parent")).status_code == 200
    assert_refused(client.get("/content", headers=bearer(id=1, type="child")), "User not found")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_there_are_no_parents_children_sign_in(bare):
    client = bare("CREATE TABLE child (id SERIAL PRIMARY KEY, parent_id INTEGER); INSERT INTO child VALUES (1, 5)")

    assert is_child(client, bearer(id=1, type="child", parent_id=5))
    assert_refused(client.get("/content", headers=bearer(id=1, type="child", parent_id=6)), STRUCTURE)
    assert_refused(client.get("/content", headers=bearer(id=1, type="parent")), "User not found")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_children_have_no_parents_no_parent_is_wrong(bare):
    client = bare("CREATE TABLE child (id SERIAL PRIMARY KEY); INSERT INTO child VALUES (1)")

    for parent in (5, 6):
        assert is_child(client, bearer(id=1, type="child", parent_id=parent))
    assert_refused(client.get("/content", headers=bearer(id=2, type="child", parent_id=5)), "User not found")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_users_have_no_ids_nobody_signs_in(bare):
    client = bare("CREATE TABLE parent (key INTEGER, email TEXT); INSERT INTO parent VALUES (1, 'boss@example.org')")

    assert_refused(client.get("/content", headers=bearer(id=1, type="parent")), "User not found")


@pytest.mark.parametrize("shape", ["guide"])
def test_where_parents_have_no_emails_editors_are_known_by_id(bare):
    tables = "CREATE TABLE parent (id SERIAL PRIMARY KEY); INSERT INTO parent VALUES (1), (2)"
    client = bare(tables, CONTENT_EDITORS="boss@example.org,2")

    assert_forbidden(client.post("/content", headers=bearer(id=1, type="parent")), "Editor access required")
    assert opens(client, bearer(id=2, type="parent"))


@pytest.mark.parametrize("shape", ["guide"])
def test_a_statement_that_fails_does_not_tell_the_log_an_email(bare, caplog):
    tables = "CREATE TABLE parent (id SERIAL PRIMARY KEY, email INTEGER); INSERT INTO parent VALUES (1, 1)"
    client = bare(tables, CONTENT_EDITORS="boss@example.org")

    answer = client.post("/content", headers=bearer(id=1, type="parent"))
    assert answer.status_code >= 500
    assert "boss" not in answer.text
    assert caplog.records


# Editors


def test_where_no_editors_are_named_every_parent_is_one(client, sql):
    for _ in range(2):
        assert opens(client, bearer(id=make_parent(sql), type="parent"))


@pytest.mark.parametrize("spelling", ["{id}", " {id} ", "999,{id}", "{id},999", "nobody@example.org, {id},"])
@pytest.mark.parametrize("shape", ["guide"])
def test_an_editor_is_named_by_id(start, sql, spelling):
    other, editor = make_parent(sql), make_parent(sql)
    client = start(CONTENT_EDITORS=spelling.format(id=editor))

    assert opens(client, bearer(id=editor, type="parent"))
    assert_forbidden(client.post("/content", headers=bearer(id=other, type="parent")), "Editor access required")


@pytest.mark.parametrize("stored", ["boss@example.org", "Boss@Example.ORG", "BOSS@EXAMPLE.ORG"])
@pytest.mark.parametrize("named", ["boss@example.org", "BOSS@example.org", "999, bOSS@eXAMPLE.oRG ,x@example.org"])
@pytest.mark.parametrize("shape", ["guide"])
def test_an_editor_is_named_by_email_in_any_case(start, sql, stored, named):
    other, editor = make_parent(sql, "bigboss@example.org"), make_parent(sql, stored)
    client = start(CONTENT_EDITORS=named)

    for _ in range(2):
        assert opens(client, bearer(id=editor, type="parent"))
        assert_forbidden(client.post("/content", headers=bearer(id=other, type="parent")), "Editor access required")


@pytest.mark.parametrize(
    "named", ["boss@example.com", "%@example.org", "____@example.org", "@", "@example.org", "oss@example.org"]
)
@pytest.mark.parametrize("shape", ["guide"])
def test_an_email_names_nobody_else(start, sql, named):
    client = start(CONTENT_EDITORS=named)
    parent = make_parent(sql, "boss@example.org")

    assert_forbidden(client.post("/content", headers=bearer(id=parent, type="parent")), "Editor access required")


@pytest.mark.parametrize("named", ["11", "12,21", "111", "0"])
@pytest.mark.parametrize("shape", ["guide"])
def test_a_part_of_an_id_names_nobody(start, sql, named):
    client = start(CONTENT_EDITORS=named)
    parent = make_parent(sql)
    assert parent == 1

    assert_forbidden(client.post("/content", headers=bearer(id=parent, type="parent")), "Editor access required")


@pytest.mark.parametrize("shape", ["guide"])
def test_the_email_in_a_token_makes_no_editor(start, sql):
    make_parent(sql, "boss@example.org")
    client = start(CONTENT_EDITORS="boss@example.org")
    header = bearer(id=make_parent(sql), type="parent", email="boss@example.org")

    assert_forbidden(client.post("/content", headers=header), "Editor access required")


@pytest.mark.parametrize("shape", ["guide"])
def test_a_child_with_an_editors_id_is_a_child(start, parent, child):
    assert child == parent
    client = start(CONTENT_EDITORS=str(parent))

    assert_forbidden(client.post("/content", headers=bearer(id=child, type="child")), "Parent access required")


@pytest.mark.parametrize("active", ["false", "all"])
@pytest.mark.parametrize("shape", ["guide"])
def test_only_an_editor_may_ask_for_what_is_retired(start, sql, active):
    other, editor = make_parent(sql), make_parent(sql)
    child = make_child(sql, editor)
    client = start(CONTENT_EDITORS=str(editor))

    for path in (f"/content?active={active}", f"/content/1?active={active}"):
        assert client.get(path, headers=bearer(id=editor, type="parent")).status_code in (200, 404)
        assert_forbidden(client.get(path, headers=bearer(id=other, type="parent")), "Editor access required")
        assert_forbidden(client.get(path, headers=bearer(id=child, type="child")), "Parent access required")


def token_of(header):
    return header["Authorization"].split()[1]


def opens(client, header):
    """Whether an editor's door opens: what lies behind it, a body that is missing, is complained of."""
    answer = client.post("/content", headers=header)
    return (answer.status_code, answer.json["message"]) == (400, "Request must be JSON")


def is_child(client, header):
    """Whether a child stands before an editor's door; PostgreSQL is needed for the child alone."""
    answer = client.post("/content", headers=header)
    return (answer.status_code, answer.json["message"]) == (403, "Parent access required")


def assert_refused(answer, sentence, bodiless=False):
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert_says(answer, sentence, bodiless)


def assert_forbidden(answer, sentence):
    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer.headers
    assert_says(answer, sentence)


def assert_unavailable(answer, bodiless=False):
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.mimetype == "application/json"
    assert bodiless or answer.json["message"]


def assert_says(answer, sentence, bodiless=False):
    assert answer.mimetype == "application/json"
    assert bodiless or answer.json == {"message": sentence}


def seconds_of(client, header):
    """How long a request that is accepted takes."""
    started = time.perf_counter()
    assert client.post("/content", headers=header).status_code in (400, 403)
    return time.perf_counter() - started


def remembered_key(client, redis, header):
    """Signs in and returns the key of what is remembered of it."""
    assert client.get("/content", headers=header).status_code == 200
    (key,) = redis.keys(USERS)
    return key


def memories(redis):
    return {key: redis.get(key) for key in redis.keys(USERS)}


def make_older(redis, seconds):
    """Lets what is remembered of users have been written `seconds` ago."""
    for key, value in memories(redis).items():
        at, parent = value.split(b" ")
        redis.set(key, b"%d %s" % (int(at) - seconds, parent), keepttl=True)
