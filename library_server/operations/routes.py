"""What Prometheus reads."""

import math

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import NotFound

from library_server.config import current_config
from library_server.metrics import metrics
from library_server.shared.gate import RedisAway
from library_server.shared.redis import redis
from library_server.usage.counting import COUNTS
from library_server.usage.flushing import BATCH
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.clients import came_straight_from

direct = LibraryBlueprint("direct_metrics", __name__)


@direct.get("/metrics")
def exposition() -> Response:
    """Every metric of every worker; to anyone beyond METRICS_ALLOWED there is no such page."""
    config = current_config()
    if not (config.enable_metrics and came_straight_from(config.metrics_allowed)):
        raise NotFound
    metrics().usage_in_redis.set(_waiting_in_redis())
    response = Response(metrics().expose(), content_type=CONTENT_TYPE_LATEST)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _waiting_in_redis() -> float:
    """How many counts wait there; not a number while nobody can tell."""
    batch = redis.batch()
    replies = [batch.add("HLEN", key) for key in (COUNTS, BATCH)]
    try:
        return float(sum(reply.get() for reply in replies))
    except RedisAway:
        return math.nan
