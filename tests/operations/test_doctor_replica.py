"""`flask library doctor` with a real replica of PostgreSQL that follows, stands still, or is none."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from library_server.extensions import db
from tests.conftest import run_sql
from tests.shared.test_sentinel import eventually
from tests.web.test_replica import Pair, servers_of_postgresql  # noqa: F401 (a fixture)


def test_a_replica_that_stands_still(
    servers_of_postgresql: Pair,  # noqa: F811
    make_app: Callable[..., Flask],
) -> None:
    pair: Any = servers_of_postgresql

    def told(read_url: str) -> str:
        app = make_app(pair.primary, DATABASE_READ_URL=read_url)
        lines = app.test_cli_runner().invoke(args=["library", "doctor", "http://127.0.0.1:9"]).output.splitlines()
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()
        return next(line for line in lines if "read replica" in line)

    assert told(pair.standby).startswith("ok ")
    pair.pause()
    paused = "SELECT pg_get_wal_replay_pause_state() = 'paused' AS yes"
    assert eventually(lambda: run_sql(pair.standby, paused)[0]["yes"])
    run_sql(pair.primary, "SET synchronous_commit = on; CREATE TABLE something (id int)")  # now in the journal
    assert "more than 3 s late" in told(pair.standby)
    pair.catch_up()
    assert told(pair.standby).startswith("ok ")
    assert "names no replica" in told(pair.primary)
    pair.stop()
    assert "does not answer" in told(pair.standby)
