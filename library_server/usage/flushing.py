"""Taking counts from Redis to PostgreSQL, each exactly once.

The counts are renamed to a batch with an id, in one step; the batch is written together with its id; then it is
removed, if it is still that one. Whoever crashes on the way leaves a batch that the next one finds, and an id that says
whether it was written.
"""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from library_server.extensions import db
from library_server.lib import json
from library_server.lib.clock import utc_now
from library_server.shared import schema
from library_server.shared.gate import RedisAway
from library_server.shared.redis import Script, redis
from library_server.usage.counting import COUNTS, parse, tally
from library_server.web.caching import outdate

BATCH, LOCK = "library:usage:batch", "library:usage:lock"
LOCK_SECONDS = 30
KEEP_IDS = timedelta(days=30)  # a Redis restored from an older copy than that would be counted twice
_MOST_ID = 2**31 - 1

_TAKE = Script("""
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'id', ARGV[1])
end
return redis.call('HGETALL', KEYS[2])
""")
_DROP = Script("if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
_UNLOCK = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")

_NOTE_BATCH = text("INSERT INTO library_usage_batch (id, written_at) VALUES (:id, :now) ON CONFLICT DO NOTHING")
_FORGET_BATCHES = text("DELETE FROM library_usage_batch WHERE written_at < :before")
# Counts are no news to caches. Who holds an item for long is not waited for, with other items held meanwhile: the batch
# is there the next time. That is sooner than PostgreSQL looks for deadlocks, so nobody else has to give way.
_QUIETLY = text("SET LOCAL library.counting = 'on'; SET LOCAL lock_timeout = '500ms'")
_RAISE = text("""
    WITH used AS (SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:counts AS int[])) AS used (id, count)),
    locked AS (SELECT id FROM content_library WHERE id IN (SELECT id FROM used) ORDER BY id FOR NO KEY UPDATE)
    UPDATE content_library SET usage_count = least(coalesce(usage_count, 0)::bigint + used.count, 2147483647)
    FROM used JOIN locked USING (id) WHERE content_library.id = used.id
""")
_NOTE_USAGE = text("""
    INSERT INTO library_usage (content_id, event, hour, count, reported)
    SELECT id, event, hour, count, 0
    FROM unnest(CAST(:ids AS int[]), CAST(:events AS text[]), CAST(:hours AS timestamp[]), CAST(:counts AS int[]))
         AS used (id, event, hour, count) ORDER BY id, event, hour
    ON CONFLICT (content_id, event, hour) DO UPDATE SET count = library_usage.count + excluded.count
""")
_UNREPORTED = text("""
    SET LOCAL lock_timeout = '500ms';
    SELECT content_id, event, hour, count - reported AS count FROM library_usage
    WHERE reported < count AND hour < :hour ORDER BY hour, content_id, event LIMIT 10000 FOR UPDATE
""")
_NOTE_REPORTED = text("""
    UPDATE library_usage SET reported = reported + told.count
    FROM unnest(CAST(:ids AS int[]), CAST(:events AS text[]), CAST(:hours AS timestamp[]), CAST(:counts AS bigint[]))
         AS told (id, event, hour, count)
    WHERE (library_usage.content_id, library_usage.event, library_usage.hour) = (told.id, told.event, told.hour)
""")


@dataclass(frozen=True)
class Flushed:
    """How many views and downloads went to PostgreSQL."""

    views: int = 0
    downloads: int = 0


@dataclass(frozen=True)
class Count:
    """So many events of an item in an hour."""

    event: str
    item_id: int
    hour: datetime
    number: int


def flush() -> Flushed:
    """Writes what is counted, unless somebody else is at it. Raises RedisAway, and SQLAlchemy's errors."""
    tally().push()
    holder = uuid.uuid4().hex
    if redis.batch().add("SET", LOCK, holder, "NX", "EX", LOCK_SECONDS).get() is None:
        return Flushed()
    try:
        flushed = _flush_batch()
        _report_hours(utc_now())
        return flushed
    finally:
        with suppress(RedisAway):  # then it expires
            _UNLOCK.call(redis.batch(), [LOCK], [holder])


def _flush_batch() -> Flushed:
    answer = _TAKE.call(redis.batch(), [COUNTS, BATCH], [uuid.uuid4().hex])
    found = {key.decode("utf-8", "replace"): value for key, value in zip(answer[::2], answer[1::2], strict=True)}
    if not found:
        return Flushed()
    batch_id = found.pop("id", b"").decode("ascii", "replace")[:32]
    counts = _counts(found)
    written = _write(batch_id, counts)
    _DROP.call(redis.batch(), [BATCH], [batch_id])
    outdate(f"content_cache:{item_id}" for item_id in {count.item_id for count in counts})  # they show the new number
    return _sum(counts) if written else Flushed()


def _counts(found: dict[str, bytes]) -> list[Count]:
    counts = []
    for field, number in found.items():
        parsed = parse(field)
        if parsed is not None and number.isdigit() and 0 < parsed[1] <= _MOST_ID:
            counts.append(Count(*parsed, number=min(int(number), _MOST_ID)))
    return counts


def _write(batch_id: str, counts: list[Count]) -> bool:
    """In one transaction; False when the batch was written before."""
    try:
        now = utc_now()
        db.session.execute(_QUIETLY)
        if db.session.execute(_NOTE_BATCH, {"id": batch_id, "now": now}).rowcount == 0:  # type: ignore[attr-defined]
            db.session.rollback()
            return False
        by_item: dict[int, int] = {}
        for count in counts:
            by_item[count.item_id] = by_item.get(count.item_id, 0) + count.number
        db.session.execute(_RAISE, {"ids": list(by_item), "counts": list(by_item.values())})
        columns = {
            "ids": [count.item_id for count in counts],
            "events": [count.event for count in counts],
            "hours": [count.hour for count in counts],
            "counts": [count.number for count in counts],
        }
        db.session.execute(_NOTE_USAGE, columns)
        db.session.execute(_FORGET_BATCHES, {"before": now - KEEP_IDS})
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    return True


def _report_hours(now: datetime) -> None:
    """A row of ``system_analytics`` for each item, event and hour that is over, in whichever columns that table has."""
    columns = schema.columns("system_analytics")
    if not columns:
        return
    try:
        hour = now.replace(minute=0, second=0, microsecond=0)
        rows = db.session.execute(_UNREPORTED, {"hour": hour}).all()
        if rows:
            names = [name for name in _analytics_names() if name in columns]
            quoted, places = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
            insert = text(f"INSERT INTO system_analytics ({quoted}) VALUES ({places})")  # noqa: S608
            db.session.execute(insert, [_analytics(row) for row in rows])
            ids, events, hours, counts = (list(values) for values in zip(*rows, strict=True))
            db.session.execute(_NOTE_REPORTED, {"ids": ids, "events": events, "hours": hours, "counts": counts})
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


def _analytics(row: Any) -> dict[str, Any]:
    """The values for every column that either dialect of the table has."""
    told = {"content_id": row.content_id, "event": row.event, "hour": row.hour}
    context = json.encode(told).decode()
    return {
        "metric_name": f"content_{row.event}",
        "metric_type": "usage",
        "metric_category": "usage",
        "metric_value": row.count,
        "content_access_count": row.count,
        "server_component": "Library",
        "recorded_at": row.hour,
        "timestamp": row.hour,
        "additional_data": context,
        "context_data": context,
    }


def _analytics_names() -> Iterable[str]:
    return ("metric_name", "metric_type", "metric_category", "metric_value", "content_access_count",
            "server_component", "recorded_at", "timestamp", "additional_data", "context_data")  # fmt: skip


def _sum(counts: list[Count]) -> Flushed:
    return Flushed(
        sum(count.number for count in counts if count.event == "view"),
        sum(count.number for count in counts if count.event == "download"),
    )
