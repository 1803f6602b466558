"""A Redis that Sentinel watches: its master is killed and nobody notices. A Redis Cluster: refused in one sentence."""

import logging
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from redis import Redis, RedisError

from library_server.config import ConfigError
from library_server.dev import embedded
from library_server.extensions import db
from library_server.web.changes import look_for_changes
from tests.nginx.servers import free_port

pytestmark = [pytest.mark.parametrize("shape", ["backend"]), pytest.mark.impatient]
SECONDS = 20
PROMISED_SECONDS = 5  # from the moment that there is a master again
LONGEST_SECONDS = 0.5  # of a request: 0.1 that it may wait for Redis, and its work on a busy machine


@contextmanager
def redis(*options: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A Redis of its own with these options: its port, and its process."""
    port = 10_000 + free_port() % 40_000  # a cluster's also takes the port 10,000 above
    with tempfile.TemporaryDirectory(prefix="library-tests-") as folder:
        text = f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nrepl-diskless-sync-delay 0\n'
        config = Path(folder) / "redis.conf"  # Sentinel writes to it
        config.write_text(text if "--sentinel" not in options else f"port {port}\ndir {folder}\n")
        command = [str(embedded._redis_program()), str(config), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            assert eventually(lambda: ask(port, "PING"))
            yield port, process
        finally:
            process.kill()
            process.wait(SECONDS)


def ask(port: int, *command: Any) -> Any:
    with Redis(port=port, socket_timeout=2) as client:
        try:
            return client.execute_command(*command)
        except RedisError:
            return None


def eventually(holds: Callable[[], object], seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def serving(make_app: Any, database_url: str, make_item: Any) -> Iterator[Callable[[str], Flask]]:
    make_item(title="before")
    made: list[Flask] = []

    def serve(redis_url: str) -> Flask:
        made.append(make_app(database_url, REDIS_URL=redis_url, CACHE_TTL=600))
        return made[-1]

    yield serve
    for app in made:
        with app.app_context():
            db.engine.dispose()


def test_a_master_that_dies_costs_no_request(
    serving: Callable[[str], Flask], as_parent: dict[str, str], as_child: dict[str, str]
) -> None:
    with redis() as (first, master), redis() as (second, _), redis("--sentinel") as (sentinel, _):
        ask(second, "REPLICAOF", "127.0.0.1", first)
        assert eventually(lambda: (ask(second, "INFO", "replication") or {}).get("master_link_status") == "up")
        ask(sentinel, "SENTINEL", "MONITOR", "library", "127.0.0.1", first, 1)
        for name, value in (("down-after-milliseconds", 300), ("failover-timeout", 3000)):
            ask(sentinel, "SENTINEL", "SET", "library", name, value)
        assert eventually(lambda: f"127.0.0.1:{second}" in str(ask(sentinel, "SENTINEL", "REPLICAS", "library")))
        app = serving(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel}/library/0")
        client, gate = app.test_client(), app.extensions["library_redis"]
        assert client.get("/content/1", headers=as_child).status_code == 200
        assert not gate.away
        with app.app_context():
            look_for_changes()  # nothing but the failover ends what is cached
        kept = ask(first, "GET", "library:generation")
        assert eventually(lambda: ask(second, "GET", "library:generation") == kept)
        before = ask(second, "GET", "library:generation")

        master.send_signal(signal.SIGKILL)
        master.wait(SECONDS)
        slowest, promoted = 0.0, None
        deadline = time.monotonic() + SECONDS
        while gate.away or promoted is None:
            for target in ("/content/1", "/content", "/content/subjects"):
                started = time.monotonic()
                assert client.get(target, headers=as_child).status_code == 200
                slowest = max(slowest, time.monotonic() - started)
            if promoted is None and b"master" in (ask(second, "ROLE") or [b""])[0]:
                promoted = time.monotonic()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert time.monotonic() - promoted < PROMISED_SECONDS
        assert slowest < LONGEST_SECONDS
        # What the old master knew last, the new one may not have heard: nothing cached counts any more.
        assert ask(second, "GET", "library:generation") != before
        assert client.patch("/content/1", headers=as_parent, json={"title": "x"}).status_code == 200
        assert client.get("/content/1", headers=as_child).json["content"]["title"] == "x"


def test_a_cluster_is_named_in_one_sentence_and_done_without(
    serving: Callable[[str], Flask], as_child: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with redis("--cluster-enabled", "yes") as (port, _), redis("--cluster-enabled", "yes") as (other, _):
        ask(port, "CLUSTER", "ADDSLOTS", *range(8192))
        ask(other, "CLUSTER", "ADDSLOTS", *range(8192, 16384))
        ask(port, "CLUSTER", "MEET", "127.0.0.1", other)
        assert eventually(lambda: "cluster_state:ok" in str(ask(port, "CLUSTER", "INFO")))
        client = serving(f"redis://127.0.0.1:{port}/0").test_client()
        with caplog.at_level(logging.WARNING, "library_server"):
            for page in range(1, 13):
                assert client.get(f"/content?page={page}", headers=as_child).status_code == 200
    told = [record.getMessage() for record in caplog.records if "Cluster" in record.getMessage()]
    assert len(told) == 1
    assert "docs/scaling.md" in told[0]


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://one/library",
        "redis+sentinel://one:1",
        "redis+sentinel://one:1,two/library/0",
    ],
)
def test_an_address_that_cannot_work_is_refused_at_start(shape: str, make_app: Any, url: str) -> None:
    with pytest.raises(ConfigError, match=r"^REDIS_URL must be like redis\+sentinel://host:26379,"):
        make_app("postgresql://", REDIS_URL=url)


def test_user_and_password_are_those_of_redis(shape: str, make_app: Any) -> None:
    app = make_app("postgresql://", REDIS_URL="redis+sentinel://us%40r:p%2Fw@one:1,two:2/library/3")
    options = app.extensions["library_redis"]._client.connection_pool.connection_kwargs
    assert [options[name] for name in ("username", "password", "db")] == ["us@r", "p/w", 3]
