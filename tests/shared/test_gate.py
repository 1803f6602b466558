"""Connections to Redis are used again: by threads that come and go, and by each forked worker for itself."""

import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from flask import Flask

from library_server.shared.gate import FRESH_SECONDS
from library_server.shared.redis import redis as shared_redis

pytestmark = pytest.mark.parametrize("shape", ["guide"])
ASKED = 150  # more often than the library's pool makes connections

WORKER = f"""
import os, sys
from library_server import create_app
gate = create_app().extensions["library_redis"]
def ask():
    told = {{gate.run([("CLIENT", "ID")])[0] for _ in range({ASKED})}}
    assert len(told) == 1 and not gate.away, told
    return told.pop()
before = ask() if sys.argv[1] == "used before" else None
if os.fork() == 0:
    assert ask() != before
    os._exit(0)
_, status = os.wait()
assert ask() == (before or ask())
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("before", ["used before", "new"])
def test_a_forked_worker_has_a_connection_of_its_own_and_keeps_it(before: str, app: Flask, servers: Any) -> None:
    settings = {"APP_ENV": "testing", "DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
    environment = {**os.environ, **settings, "SECRET_KEY": "x" * 40}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, before], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_threads_that_end_leave_their_connection_to_others(app: Flask) -> None:
    told = set()

    def ask() -> None:
        with app.app_context():
            told.add(shared_redis.gate.run([("CLIENT", "ID")])[0])

    for _ in range(ASKED):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert len(told) == 1


def test_a_connection_that_was_closed_is_made_anew(app: Flask, redis: Any) -> None:
    with app.app_context():
        for _ in range(3):
            [number] = shared_redis.gate.run([("CLIENT", "ID")])
            redis.client_kill_filter(_id=number)
            time.sleep(FRESH_SECONDS)
            [other] = shared_redis.gate.run([("CLIENT", "ID")])
            assert other != number
            assert not shared_redis.gate.away
