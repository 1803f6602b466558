"""Counting: what counts, and that nothing is lost or counted twice, whatever crashes."""

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from library_server.lib.clock import utc_now
from library_server.shared.gate import RedisAway
from library_server.shared.redis import Script
from library_server.usage import counting, flushing
from library_server.usage.counting import COUNTS, Tally, tally
from library_server.usage.flushing import BATCH, LOCK, Flushed, flush

one_shape = pytest.mark.parametrize("shape", ["backend"])


class Crash(BaseException):
    """Whatever it was, nothing after it ran."""


def field_of(event: Any, item: int, at: datetime) -> str:
    return counting.name(event, item, int(at.replace(tzinfo=UTC).timestamp()) // 3600)


@pytest.fixture
def context(app: Flask) -> Any:
    with app.app_context():
        yield


def usage_of(sql: Any, item: int) -> int:
    return int(sql("SELECT coalesce(usage_count, 0) AS count FROM content_library WHERE id = %s", (item,))[0]["count"])


def test_a_view_counts_and_a_list_a_head_and_a_304_do_not(
    app: Flask, client: Any, as_child: Any, make_item: Any, sql: Any
) -> None:
    item = make_item(usage_count=None)
    tag = client.get(f"/content/{item}", headers=as_child).headers["ETag"]
    client.get(f"/content/{item}/", headers=as_child)
    client.get("/content", headers=as_child)
    client.head(f"/content/{item}", headers=as_child)
    client.get(f"/content/{item}", headers=as_child | {"If-None-Match": tag})
    client.get(f"/content/{item}", headers=as_child | {"If-Match": '"x"'})
    client.get(f"/content/{item}")
    client.get("/content/999", headers=as_child)
    assert usage_of(sql, item) == 0  # nothing is written in a request
    with app.app_context():
        assert flush() == Flushed(views=2)
        assert flush() == Flushed()
    assert usage_of(sql, item) == 2
    assert client.get(f"/content/{item}", headers=as_child).get_json()["content"]["usage_count"] == 2


def test_cached_views_count_and_their_number_shows(
    make_app: Any, database_url: str, as_child: Any, make_item: Any, redis: Any
) -> None:
    app = make_app(database_url, CACHE_TTL=600)
    item = make_item()
    for _ in range(5):
        app.test_client().get(f"/content/{item}", headers=as_child)
    with app.app_context():
        assert flush() == Flushed(views=5)
    assert app.test_client().get(f"/content/{item}", headers=as_child).get_json()["content"]["usage_count"] == 5


def test_nobody_is_named(app: Flask, client: Any, as_child: Any, make_item: Any, redis: Any, sql: Any) -> None:
    client.get(f"/content/{make_item()}", headers=as_child)
    with app.app_context():
        tally().push()
        hour = utc_now().strftime("%Y-%m-%dT%H")
        assert redis.hgetall(COUNTS) == {f"view 1 {hour}".encode(): b"1"}
        flush()
    assert sorted(sql("SELECT * FROM library_usage")[0]) == ["content_id", "count", "event", "hour", "reported"]


def test_an_hour_that_is_over_goes_to_the_analytics_once(
    context: Any, make_item: Any, sql: Any, redis: Any, shape: str
) -> None:
    item, now = make_item(), utc_now()
    before = now - timedelta(hours=1)
    for event, at, number in (("view", before, 3), ("download", before, 2), ("view", now, 9)):
        redis.hset(COUNTS, field_of(event, item, at), number)
    for _ in range(2):
        flush()
    values = "metric_name, metric_value::int AS number"
    rows = sql(f"SELECT {values} FROM system_analytics ORDER BY metric_name")
    assert rows == [
        {"metric_name": "content_download", "number": 2},
        {"metric_name": "content_view", "number": 3},
    ]
    told = sql("SELECT * FROM system_analytics WHERE metric_name = 'content_view'")[0]
    context_of, when = ("additional_data", "recorded_at") if shape == "guide" else ("context_data", "timestamp")
    hour = before.replace(minute=0, second=0, microsecond=0)
    assert (told[when], told[context_of]["content_id"], told[context_of]["event"]) == (hour, item, "view")
    redis.hset(COUNTS, field_of("view", item, before), 4)  # one that comes late
    flush()
    assert sql("SELECT sum(metric_value)::int AS sum FROM system_analytics") == [{"sum": 9}]
    assert usage_of(sql, item) == 18


@one_shape
def test_without_the_analytics_table_counts_are_kept(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    item = make_item()
    redis.hset(COUNTS, field_of("view", item, utc_now() - timedelta(hours=2)), 3)
    sql("ALTER TABLE system_analytics RENAME TO elsewhere")
    try:
        assert flush() == Flushed(views=3)
        assert usage_of(sql, item) == 3
    finally:
        sql("ALTER TABLE elsewhere RENAME TO system_analytics")


@one_shape
def test_what_is_no_count_of_ours_is_let_pass(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    item, now = make_item(), utc_now()
    good = field_of("view", item, now)
    odd = ["", "x", "view", f"look {item} {now:%Y-%m-%dT%H}", f"view x {now:%Y-%m-%dT%H}", f"view {item} yesterday"]
    odd += [f"view 0 {now:%Y-%m-%dT%H}", f"view {2**31} {now:%Y-%m-%dT%H}", b"\xff\xfe 1 1"]
    redis.hset(COUNTS, mapping={**dict.fromkeys(odd, 5), good: 1})
    redis.hset(COUNTS, field_of("download", item, now), "many")
    assert flush() == Flushed(views=1)
    assert (usage_of(sql, item), redis.exists(COUNTS, BATCH)) == (1, 0)


@one_shape
def test_an_item_that_is_gone_is_no_hindrance(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    item = make_item()
    redis.hset(COUNTS, mapping={field_of("view", number, utc_now()): 1 for number in (item, 4711)})
    assert flush() == Flushed(views=2)
    assert usage_of(sql, item) == 1


@one_shape
def test_somebody_else_at_it_is_let_finish(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    item = make_item()
    redis.hset(COUNTS, field_of("view", item, utc_now()), 1)
    redis.set(LOCK, "another", ex=5)
    assert flush() == Flushed()
    assert (usage_of(sql, item), redis.get(LOCK)) == (0, b"another")


@one_shape
def test_redis_holds_so_many_counts_and_no_more(context: Any, redis: Any) -> None:
    redis.hset(COUNTS, mapping={f"x{number}": 1 for number in range(counting.MOST_FIELDS)})
    tally().add("view", 1)
    assert tally().push() is False
    redis.delete(COUNTS)
    assert tally().push() is True
    assert redis.hlen(COUNTS) == 1


@one_shape
def test_a_process_holds_so_many_counts_and_no_more(context: Any, monkeypatch: pytest.MonkeyPatch, redis: Any) -> None:
    monkeypatch.setattr(counting, "MOST_FIELDS", 3)
    for item in (1, 2, 3, 4, 5, 1):
        tally().add("view", item)
    tally().push()
    assert sorted(redis.hvals(COUNTS)) == [b"1", b"1", b"2"]


def crash(when: float, chance: random.Random) -> None:
    if chance.random() < when:
        raise Crash


@one_shape
@pytest.mark.parametrize("seed", range(6))
def test_counts_in_are_counts_out_whatever_crashes(
    seed: int, context: Any, make_item: Any, sql: Any, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash, or an answer that is lost, before and after each step to Redis and PostgreSQL; a process that dies
    loses what Redis has not acknowledged, and only that.
    """
    chance = random.Random(seed)
    items = [make_item() for _ in range(4)]
    call, commit = Script.call, flushing.db.session.commit
    risk = 0.12

    def risky_call(script: Any, *arguments: Any) -> Any:
        crash(risk, chance)
        answer = call(script, *arguments)
        crash(risk, chance)
        return answer

    def risky_commit() -> None:
        crash(risk, chance)
        commit()
        crash(risk, chance)

    expected = dict.fromkeys(items, 0)
    process = Tally()
    sent: dict[int, int] = dict.fromkeys(items, 0)  # of this process
    with monkeypatch.context() as patch:
        patch.setattr(Script, "call", risky_call)
        patch.setattr(flushing.db.session, "commit", risky_commit)
        patch.setattr(flushing, "tally", lambda: process)
        for _ in range(120):
            item = chance.choice(items)
            process.add(chance.choice(["view", "download"]), item)
            sent[item] += 1
            try:
                if chance.random() < 0.5:
                    process.push()
                else:
                    redis.delete(LOCK)  # which a crash leaves for as long as it lives
                    flush()
            except (Crash, RedisAway):
                flushing.db.session.rollback()
    redis.delete(LOCK)
    monkeypatch.setattr(flushing, "tally", lambda: process)
    process.push()
    flush()
    flush()
    expected = {item: expected[item] + sent[item] for item in items}
    assert {item: usage_of(sql, item) for item in items} == expected
    assert sql("SELECT sum(count)::int AS sum FROM library_usage") == [{"sum": sum(expected.values())}]
    assert redis.exists(COUNTS, BATCH) == 0


@one_shape
def test_two_that_flush_at_once_count_once(context: Any, make_item: Any, sql: Any, redis: Any, app: Flask) -> None:
    """Both hold the same batch: the lock of the first had expired."""
    item = make_item()
    redis.hset(COUNTS, field_of("view", item, utc_now()), 5)
    drop, second = flushing._DROP, []

    class Slow:
        def call(self, *arguments: Any) -> Any:
            redis.delete(LOCK)
            if not second:
                second.append(None)
                second[0] = flush()
            return drop.call(*arguments)

    flushing._DROP = Slow()  # type: ignore[assignment]
    try:
        assert flush() == Flushed(views=5)
    finally:
        flushing._DROP = drop
    assert (second, usage_of(sql, item)) == ([Flushed()], 5)


@one_shape
def test_an_old_copy_of_redis_is_not_counted_again(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    item = make_item()
    redis.hset(COUNTS, field_of("view", item, utc_now()), 5)
    redis.rename(COUNTS, BATCH)
    redis.hset(BATCH, "id", "a" * 32)
    copy = redis.dump(BATCH)
    assert flush() == Flushed(views=5)
    redis.restore(BATCH, 0, copy)
    assert (flush(), usage_of(sql, item)) == (Flushed(), 5)


def test_the_command_says_what_it_wrote(app: Flask, client: Any, as_child: Any, make_item: Any) -> None:
    client.get(f"/content/{make_item()}", headers=as_child)
    with app.app_context():
        tally().push()
    said = app.test_cli_runner().invoke(args=["library", "flush-usage"])
    assert (said.exit_code, said.output) == (0, "1 views and 0 downloads written.\n")


@one_shape
def test_who_holds_an_item_for_long_is_not_waited_for(
    context: Any, make_item: Any, sql: Any, redis: Any, database_url: str
) -> None:
    free, held = make_item(), make_item()
    for item in (free, held):
        redis.hset(COUNTS, field_of("view", item, utc_now()), 2)
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("SELECT FROM content_library WHERE id = %s FOR UPDATE", (held,))
        with pytest.raises(OperationalError, match="lock timeout"):
            flush()
        assert sql("SELECT id FROM content_library WHERE id = %s FOR UPDATE NOWAIT", (free,)) == [{"id": free}]
    assert (flush(), flush()) == (Flushed(views=4), Flushed())
    assert (usage_of(sql, free), usage_of(sql, held)) == (2, 2)


@pytest.mark.parametrize("shape", ["guide"])
def test_progress_with_an_item_and_its_count_do_not_wait_for_each_other(
    context: Any, make_item: Any, sql: Any, redis: Any, database_url: str, child: int
) -> None:
    item = make_item()
    redis.hset(COUNTS, field_of("view", item, utc_now()), 2)
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, item))
        assert flush() == Flushed(views=2)


@one_shape
def test_the_highest_number_goes_no_higher(context: Any, make_item: Any, sql: Any, redis: Any) -> None:
    full, other = make_item(usage_count=2**31 - 2), make_item()
    for item in (full, other):
        redis.hset(COUNTS, field_of("view", item, utc_now()), 5)
    assert flush() == Flushed(views=10)
    assert (usage_of(sql, full), usage_of(sql, other)) == (2**31 - 1, 5)
