"""What is counted for Prometheus: every metric with its labels. docs/operating.md says what each is good for.

On the lowest floor, so that whoever has something to count may count it. A label's values are ours to choose (a route's
template, a word), never a caller's, so there is an end to them.
"""

import os
from collections.abc import Callable

from flask import Flask, current_app
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from library_server.version import __version__

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STATEMENT_BUCKETS = (0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
LIMITS = ("default", "search", "upload", "files", "anonymous")

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # the client library's own name


class Metrics:
    """One application's. Where workers share a directory, each adds to files of its own there."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"library_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, mode: str, *labels: str) -> Gauge:
            return Gauge(f"library_{name}", what, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"library_{name}", what, labels, registry=registry, buckets=buckets)

        self.requests = counter("requests_total", "Answers.", "route", "method", "status")
        self.request_seconds = histogram(
            "request_seconds", "From a request's arrival until its answer was ready.", REQUEST_BUCKETS, "route"
        )
        self.responses = counter("responses_total", "Answers by the way their bytes travel.", "way")
        self.response_bytes = counter("response_bytes_total", "Bytes of bodies by the way they travel.", "way")
        self.cache_answers = counter("cache_answers_total", "How answers that are cached came about.", "family", "how")
        self.limit_refusals = counter("limit_refusals_total", "Requests beyond a limit.", "limit")
        self.statement_seconds = histogram(
            "database_statement_seconds", "Statements that PostgreSQL has carried out.", STATEMENT_BUCKETS
        )
        self.database_failures = counter(
            "database_failures_total", "Statements and connections that failed because of PostgreSQL."
        )
        self.connections = gauge("database_connections", "Connections to PostgreSQL that are in use.", "livesum")
        self.connections_max = gauge("database_connections_max", "As many as may be.", "livesum")
        self.redis_outages = counter("redis_outages_total", "Times that a worker lost Redis.")
        self.redis_away = gauge("redis_away", "1 while a worker goes without Redis.", "livemax")
        self.usage_in_workers = gauge("usage_in_workers", "Counts of views and downloads not yet in Redis.", "livesum")
        self.usage_in_redis = gauge(
            "usage_in_redis", "Counts of views and downloads in Redis, not yet in PostgreSQL.", "livemostrecent"
        )
        self._answers: dict[tuple[str, str, int, str], tuple[Counter, Histogram, Counter, Counter]] = {}
        self._cached: dict[tuple[str, str], Counter] = {}
        self.build = gauge("build_info", "The version that runs.", "max", "version")
        self.build.labels(__version__).set(1)
        for limit in LIMITS:
            self.limit_refusals.labels(limit)

    def count_answer(self, route: str, method: str, status: int, way: str, seconds: float, size: int) -> None:
        """Counts one in each metric of answers. To look four metrics up costs more than to count, so they are kept."""
        key = (route, method, status, way)
        if key not in self._answers:
            requests, seconds_of_route = self.requests.labels(route, method, status), self.request_seconds.labels(route)
            self._answers[key] = requests, seconds_of_route, self.responses.labels(way), self.response_bytes.labels(way)
        requests, seconds_of_route, responses, response_bytes = self._answers[key]
        requests.inc()
        seconds_of_route.observe(seconds)
        responses.inc()
        response_bytes.inc(size)

    def count_cached(self, family: str, how: str) -> None:
        """Counts an answer that is cached, by how it came about."""
        key = (family, how)
        if key not in self._cached:
            self._cached[key] = self.cache_answers.labels(family, how)
        self._cached[key].inc()

    def expose(self) -> bytes:
        """Every sample of every worker in Prometheus' text format."""
        directory = os.environ.get(_DIRECTORY)
        if directory is None:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, directory)
        return generate_latest(registry)


def bind(app: Flask) -> Metrics:
    """Makes the metrics of `app`."""
    made = Metrics()
    app.extensions["library_metrics"] = made
    return made


def metrics() -> Metrics:
    """The application's."""
    kept: Metrics = current_app.extensions["library_metrics"]
    return kept


def share(directory: str, name: Callable[[], str]) -> None:
    """From now on metrics are made to be shared by processes, in files of `directory` that bear the process' `name()`.

    Processes of one name, one after the other, go on counting where the last one stopped.
    """
    os.environ[_DIRECTORY] = directory
    values.ValueClass = values.MultiProcessValue(name)
