"""What PostgreSQL says: whether it answers, its clock, its tables, and whether it has memory and connections enough."""

import time
from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from library_server.config import MIB, current_config
from library_server.extensions import REPLICA, db
from library_server.lib.outlines import kind
from library_server.operations import schema_report
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.signing_in import compare
from library_server.operations.schema_report import Finding, Level
from library_server.operations.serving import sized_workers

LATE_SECONDS, POLL_SECONDS = 3.0, 0.1
BESIDE_THREADS = 3  # housekeeping, and two checks of health

_CLOCK = text("SELECT extract(epoch FROM clock_timestamp())")
_FOLLOWS = text("SELECT pg_is_in_recovery()")
_WRITTEN = text("SELECT CAST(pg_current_wal_lsn() AS text)")
_REPLAYED = text("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")
_CONNECTIONS = text("""
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       count(*) FILTER (WHERE application_name = 'library-server' AND pid <> pg_backend_pid()),
       count(*) FILTER (WHERE application_name IS DISTINCT FROM 'library-server')
FROM pg_stat_activity WHERE backend_type = 'client backend'
""")
_MEMORY = text("""
SELECT pg_size_bytes(current_setting('shared_buffers')),
       coalesce(pg_total_relation_size(to_regclass('library_search')), 0)
""")


def answers() -> Iterator[Finding]:
    """Whether it answers, and when it thinks it is."""
    try:
        started = time.time()
        theirs = float(db.session.scalar(_CLOCK))
        ended = time.time()
    except DBAPIError as error:
        told = f"does not answer ({kind(error.orig or error)})."
        yield fail("PostgreSQL", told, "check DATABASE_URL, that PostgreSQL runs, its pg_hba.conf and firewalls.")
        return
    yield fine("PostgreSQL", "answers.")
    yield compare("clock of PostgreSQL", theirs, (started + ended) / 2)


def replica() -> Iterator[Finding]:
    """Whether DATABASE_READ_URL, if there is one, follows the primary."""
    if not current_config().database_read_url:
        return
    name = "read replica"
    try:
        with db.engine.connect() as primary, db.engines[REPLICA].connect() as follower:
            if not follower.scalar(_FOLLOWS):
                yield warn(name, "DATABASE_READ_URL names no replica.", "name one, or leave it empty.")
                return
            written, started = primary.scalar(_WRITTEN), time.monotonic()
            while not follower.scalar(_REPLAYED, {"written": written}):
                if time.monotonic() - started > LATE_SECONDS:
                    told = f"is more than {LATE_SECONDS:.0f} s late: children see an old library."
                    mend = "look at pg_stat_replication on the primary; until then leave DATABASE_READ_URL empty."
                    yield fail(name, told, mend)
                    return
                time.sleep(POLL_SECONDS)
    except DBAPIError as error:
        told = f"it, or the primary, does not answer ({kind(error.orig or error)})."
        yield warn(name, told, "check DATABASE_READ_URL; until then the primary answers.")
    else:
        yield fine(name, "follows the primary.")


def schema() -> Iterator[Finding]:
    """What `flask library check-schema` says, of what is not well."""
    findings = schema_report.report()
    bad = [finding for finding in findings if finding.level != Level.FINE]
    yield from (Finding(f"table {finding.table}", *finding[1:]) for finding in bad)
    if not bad:
        yield fine("tables", f"migrated to the newest version; all {len(findings)} checks of check-schema are fine.")


def memory() -> Iterator[Finding]:
    """Whether it may keep in memory what searches read."""
    name = "memory of PostgreSQL"
    buffers, searched = db.session.execute(_MEMORY).one()
    told = f"shared_buffers is {buffers // MIB} MiB; searches read tables and indexes of {searched // MIB} MiB"
    if searched > buffers:
        mend = "give PostgreSQL a quarter of its machine's memory (docs/search.md)."
        yield warn(name, f"{told}: common words are found two to three times slower than could be.", mend)
    else:
        yield fine(name, f"{told}.")


def connections(replicas: int) -> Iterator[Finding]:
    """Whether there are as many as `replicas` servers may come to hold, beside those of others."""
    config, name = current_config(), "connections"
    workers = config.workers or sized_workers()
    each = min(config.database_pool_size + config.database_max_overflow, config.threads + BESIDE_THREADS)
    wanted = replicas * workers * each
    usable, ours, others = db.session.execute(_CONNECTIONS).one()
    told = (
        f"PostgreSQL has {usable}; the library may come to hold {wanted} ({replicas} × {workers} workers × {each}), "
        f"holds {ours} now, the backend and others {others}"
    )
    mend = "lower WORKERS or THREADS, raise max_connections, or take PgBouncer (docs/scaling.md)."
    if wanted > usable:
        yield fail(name, f"{told}: too few even for us alone.", mend)
    elif wanted + others > usable:
        yield warn(name, f"{told}: too few for all.", mend)
    else:
        yield fine(name, f"{told}.")
