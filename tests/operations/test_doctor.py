"""`flask library doctor` straight to gunicorn: of settings, servers, folders and tokens."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest
import redis as redis_py
from flask import Flask

from library_server.extensions import db
from library_server.operations.doctor import findings
from tests.conftest import SECRET, Servers, make_child, make_parent
from tests.shared.test_sentinel import redis as another_redis
from tests.uploads.folders import Folders
from tests.uploads.server import Server, running

FINE, WARNINGS, ERRORS = 0, 1, 2
NOBODY = "http://127.0.0.1:9"  # a port where nobody listens
NAMED = {f"RATE_LIMIT_{name}": "" for name in ("DEFAULT", "FILES", "ANONYMOUS")}  # as the server has them
Examine = Callable[..., tuple[int, dict[str, str]]]

pytestmark = pytest.mark.parametrize("shape", ["backend"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's folders are."""
    made = tmp_path_factory.mktemp("doctor")
    for name in ("content/documents", "uploads", "assets/images"):
        (made / name).mkdir(parents=True)
    for name in ("content/documents/notes.txt", "assets/images/logo.svg"):
        (made / name).write_bytes(b"words and more words")
    return made


@pytest.fixture(scope="module")
def server(folder: Path, migrated: Callable[[str], str], servers: Servers) -> Iterator[Server]:
    """gunicorn on these folders."""
    settings = {"ASSETS_STORAGE_PATH": folder / "assets", "CACHE_POLL_SECONDS": 0, "USAGE_FLUSH_SECONDS": 0}
    with running(Folders.below(folder), migrated("backend"), servers.redis_url, **settings) as started:
        yield started


@pytest.fixture
def examine(
    folder: Path, database_url: str, redis: redis_py.Redis, make_app: Callable[..., Flask]
) -> Iterator[Examine]:
    """``examine(url, "--option", …, SETTING=…)``: the exit status, and what was said of each check."""
    own = {f"{name.upper()}_STORAGE_PATH": str(folder / name) for name in ("content", "assets", "uploads")}
    apps = []

    def run_command(url: str, *options: str, given: bytes = b"", **settings: object) -> tuple[int, dict[str, str]]:
        settings = {"DATABASE_URL": database_url, "CACHE_TTL": 0} | NAMED | own | settings
        apps.append(make_app(settings.pop("DATABASE_URL"), **settings))
        result = apps[-1].test_cli_runner().invoke(args=["library", "doctor", url, *options], input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for hidden in (SECRET, "hunter2", "eyJ", given.strip().decode(errors="replace") or SECRET):
            assert hidden not in result.output
        lines = [line.partition(": ") for line in result.output.splitlines()]
        return result.exit_code, {" ".join(head.split()): sentence for head, _, sentence in lines}

    yield run_command
    for app in apps:
        with app.app_context():
            db.engine.dispose()


def troubles(said: dict[str, str]) -> list[str]:
    return [check for check in said if not check.startswith("ok ")]


def test_a_healthy_server(server: Server, examine: Examine, redis: redis_py.Redis, folder: Path, sql: Any) -> None:
    before = sorted(folder.rglob("*")), everything(sql)
    status, said = examine(server.url)
    assert (status, troubles(said)) == (FINE, []), said
    assert said["ok address"] == "the Library Server answers, straight."
    assert said["ok client addresses"] == "the server sees the address of who asks."
    assert (sorted(folder.rglob("*")), everything(sql)) == before
    left = {key.decode().rpartition(":")[0] for key in redis.scan_iter("library:*")}
    assert left <= {"library", "library:file"}, "only what the server keeps of what it is asked"
    assert all(redis.ttl(key) > 0 for key in redis.scan_iter())


def everything(sql: Any) -> list[dict[str, Any]]:
    """How many rows every table has got and lost so far."""
    sql("SELECT pg_stat_force_next_flush()")
    return list(sql("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"))


def test_another_secret_and_another_redis(server: Server, examine: Examine, servers: Servers) -> None:
    _, said = examine(server.url, SECRET_KEY="another-secret-that-is-long-enough-too")
    assert troubles(said) == ["error secret", "error content files"]
    elsewhere = f"{servers.redis_url.split('?')[0].rstrip('/').removesuffix('/0')}/15"
    if servers.redis_url.startswith("unix"):
        elsewhere = f"{servers.redis_url.split('?')[0]}?db=15"
    _, said = examine(server.url, REDIS_URL=elsewhere)
    assert troubles(said) == ["warning client addresses"]
    assert "same REDIS_URL" in said["warning client addresses"]


@pytest.mark.parametrize(("off", "told"), [(100, "30 s ahead"), (-100, "30 s behind")])
def test_a_server_whose_clock_is_off(
    off: int, told: str, folder: Path, database_url: str, servers: Servers, examine: Examine, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import time\nreal = time.time\ntime.time = lambda: real() + {off}\n")
    settings = {"PYTHONPATH": tmp_path, "ASSETS_STORAGE_PATH": folder / "assets", "CACHE_POLL_SECONDS": 0}
    with running(Folders.below(folder), database_url, servers.redis_url, **settings) as wrong:
        status, said = examine(wrong.url)
    assert status == ERRORS
    assert told in said["error token times"]
    assert "the clock of this machine" in said["error clock at the URL"]
    assert {"ok clock of PostgreSQL", "ok clock of Redis"} < said.keys()


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 300} | claims, secret, algorithm)


def test_a_token_of_the_backend(examine: Examine, sql: Any, redis: redis_py.Redis) -> None:
    parent = make_parent(sql)
    child = make_child(sql, parent)
    user = {"user_id": parent, "user_type": "parent"}
    revoked = token(**user, jti="gone")
    redis.sadd("jwt_blacklist", "gone")
    cases = {
        token(**user): "ok good: a parent of our database.",
        "Bearer " + token(id=child, type="child", parent_id=parent) + "\n": "ok good: a child of our database.",
        token(id=child, type="child", parent_id=parent + 1): "error it names another parent than the child's.",
        token("x" * 40, **user): "error the backend signs with another SECRET_KEY than ours.",
        token("x" * 70, "HS512", **user): "error it is not signed by HS256.",
        token(**user | {"exp": 1}): "error signed with our SECRET_KEY, but it has expired.",
        token(**user, iat=int(time.time()) + 300): "error it was made",
        token(**user, nbf=int(time.time()) + 300): "error it is not valid yet",
        token(name="Kim"): "error signed with our SECRET_KEY, but its claims are not those of a user.",
        token(user_id=parent + 1, user_type="parent"): "error good, but there is no such parent in our database.",
        revoked: "error the backend has revoked it.",
        "not.a.token": "error it is no JWT.",
        "\0": "error it is no JWT.",
        "\udcff": "error it is no JWT.",
        "é" * 10_000: "error it is no JWT.",
    }
    for number, (given, told) in enumerate(cases.items()):
        if number % 2:
            _, said = examine(NOBODY, "--token-file", "-", given=given.encode(errors="surrogateescape"))
        else:
            _, said = examine(NOBODY, "--token", given)
        level, sentence = next(
            (check.split()[0], sentence) for check, sentence in said.items() if check.endswith("given token")
        )
        assert f"{level} {sentence}".startswith(told), (number, level, sentence)


def test_servers_that_are_away(examine: Examine) -> None:
    status, said = examine(
        NOBODY, DATABASE_URL="postgresql://u:hunter2@127.0.0.1:9/x", REDIS_URL="redis://:hunter2@127.0.0.1:9/0"
    )
    assert status == ERRORS
    assert "nobody listens there" in said["error address"]
    assert "check DATABASE_URL" in said["error PostgreSQL"]
    assert "check REDIS_URL" in said["error Redis"]
    assert "ok content folder" in said


def test_a_server_that_finds_itself_unwell(
    folder: Path, database_url: str, servers: Servers, examine: Examine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = {"ASSETS_STORAGE_PATH": tmp_path / "file", "REDIS_URL": "redis://127.0.0.1:9/0"}
    with running(Folders.below(folder), database_url, servers.redis_url, **settings) as unwell:
        _, said = examine(unwell.url)
    assert "it cannot read its assets folder" in said["warning health"]
    assert "not counted in the Redis" in said["warning client addresses"]
    assert "does not find a file that is here" in said["error asset files"]


def test_folders_that_cannot_be_used(examine: Examine, tmp_path: Path) -> None:
    _, said = examine(
        NOBODY, CONTENT_STORAGE_PATH="/proc", UPLOADS_STORAGE_PATH=str(tmp_path / "none"), ASSETS_STORAGE_PATH="/none"
    )
    assert "read and written" in said["error content folder"]
    assert "there is none" in said["error uploads folder"]
    assert "there is none" in said["error assets folder"]
    assert not (tmp_path / "none").exists()
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    _, few = examine(NOBODY, MAX_UPLOAD_SIZE=free // 3)
    assert "make room" in few["warning content folder"]


def test_files_and_items_that_do_not_match(examine: Examine, make_item: Any, folder: Path) -> None:
    _, said = examine(NOBODY)
    assert said["ok files and items"] == "every item has its file; 1 files belong to no item."
    make_item(file_path="documents/notes.txt")
    make_item(file_path="documents/lost.txt")
    left = folder / "uploads" / "upload-x"
    left.touch()
    os.utime(left, (1, 1))
    _, said = examine(NOBODY)
    left.unlink()
    assert said["warning files and items"].startswith("1 items have no file and 1 uploads broke off")


def test_a_database_that_lacks_something(examine: Examine, create_database: Callable[[str], str]) -> None:
    status, said = examine(NOBODY, DATABASE_URL=create_database("empty"))
    assert status == ERRORS
    assert "flask db upgrade" in said["error table content_library"]


def test_too_little_memory_for_searching(examine: Examine, create_database: Callable[[str], str]) -> None:
    _, said = examine(NOBODY)
    assert "ok memory of PostgreSQL" in said
    url = create_database("empty")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE UNLOGGED TABLE library_search (text text STORAGE PLAIN)")  # 8 kB a row
        pages = "(SELECT setting::integer FROM pg_settings WHERE name = 'shared_buffers')"
        cursor.execute(f"INSERT INTO library_search SELECT repeat('x', 8000) FROM generate_series(0, {pages})")
        connection.commit()
    _, said = examine(NOBODY, DATABASE_URL=url)
    assert "a quarter of its machine's memory" in said["warning memory of PostgreSQL"]


def test_too_few_connections(examine: Examine) -> None:
    _, one = examine(NOBODY, WORKERS=2)
    _, many = examine(NOBODY, "--replicas", "100", WORKERS=2)
    assert "may come to hold 14 (1 × 2 workers × 7)" in one["ok connections"]
    assert "too few even for us alone" in many["error connections"]


def test_a_redis_that_throws_things_away(examine: Examine, redis: redis_py.Redis) -> None:
    kept = redis.config_get("maxmemory*")
    try:
        redis.config_set("maxmemory", "1gb")
        for policy, check in (("allkeys-lru", "warning"), ("volatile-lru", "ok"), ("noeviction", "ok")):
            redis.config_set("maxmemory-policy", policy)
            _, said = examine(NOBODY)
            assert policy in said[f"{check} memory of Redis"]
        redis.config_set("maxmemory", "1mb")
        _, said = examine(NOBODY)
        assert "raise maxmemory" in said["warning memory of Redis"]
    finally:
        redis.config_set("maxmemory", kept["maxmemory"])
        redis.config_set("maxmemory-policy", kept["maxmemory-policy"])


def test_a_redis_that_cannot_be_used(examine: Examine) -> None:
    with another_redis("--cluster-enabled", "yes") as (cluster, _), another_redis() as (master, _):
        with another_redis("--replicaof", "127.0.0.1", str(master)) as (follower, _):
            _, said = examine(NOBODY, REDIS_URL=f"redis://127.0.0.1:{follower}/0")
            assert "refuses writes" in said["error Redis"]
        _, said = examine(NOBODY, REDIS_URL=f"redis://127.0.0.1:{cluster}/0")
        assert "is a Cluster" in said["error Redis"]


def test_keys_of_others_under_our_names(examine: Examine, redis: redis_py.Redis) -> None:
    redis.set("flask_session:1", "x")
    redis.hset("library:usage:counts", "view 1 2026-01-05T10", 1)
    redis.set("content_cache:1", "x", ex=60)
    assert "ok keys of Redis" in examine(NOBODY)[1]
    redis.set("content_cache:2", "for ever")
    _, endless = examine(NOBODY)
    redis.delete("content_cache:2")
    redis.lpush("content_cache:3", "x")
    redis.expire("content_cache:3", 60)
    _, another = examine(NOBODY)
    for said in (endless, another):
        assert said["warning keys of Redis"].startswith("1 of 2 that begin with content_cache:")


@pytest.mark.parametrize(
    "url",
    [
        *("library", "ftp://x", "http://u:hunter2@x", "http://x:y", "http://x/?a=b", "http://[", "http://\0"),
        *("http://127.0.0.1:9/é", f"http://{'x' * 70}", "http://a b", "http://\udcff"),
    ],
)
def test_a_url_that_cannot_be_asked(url: str, examine: Examine) -> None:
    assert examine(url)[0] == 2


def test_a_check_neither_hangs_nor_stops_the_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "LONGEST_SECONDS", 0.2)

    def hang() -> Iterator[Any]:
        yield findings.fine("disk", "is there.")
        time.sleep(2)

    def break_down() -> Iterator[Any]:
        raise KeyError("Kim")
        yield

    with app.app_context():
        started = time.monotonic()
        found = findings.findings_of("disk", hang) + findings.findings_of("keys", break_down)
    assert time.monotonic() - started < 1
    assert [finding.level for finding in found] == [0, 2, 1]
    assert "KeyError" in found[-1].sentence
    assert "Kim" not in found[-1].sentence
