"""Everything through a real PgBouncer in transaction mode, as deploy/pgbouncer.ini sets it up."""

import os
import pwd
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from library_server.extensions import db
from library_server.usage.counting import tally
from library_server.usage.flushing import flush
from library_server.web.changes import look_for_changes
from tests.conftest import bearer, make_parent, run_sql
from tests.nginx import servers as run

SHIPPED = Path(__file__).parent.parent.parent / "deploy" / "pgbouncer.ini"
POOL = 2  # connections for all: what one leaves behind, the next would find
OPTIONS = "?options=-c%20work_mem%3D5MB"  # PgBouncer knows nothing of it


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    run.require("pgbouncer", program)
    parts, port = make_url(url), run.free_port()
    host = parts.query.get("host", parts.host)
    given = f"host={host} port={parts.query.get('port', parts.port or 5432)} user={parts.username}"
    if parts.password:
        given += f" password={parts.password}"
    changes = {
        r"elemental_genius = .*": f"* = {given}",
        r"listen_addr = .*": "listen_addr = 127.0.0.1\nunix_socket_dir =",
        r"listen_port = .*": f"listen_port = {port}",
        r"auth_type = .*": "auth_type = any",
        r"auth_file = .*": "",
        r"default_pool_size = .*": f"default_pool_size = {POOL}",
        r"query_wait_timeout = .*": "query_wait_timeout = 20",
    }
    config = SHIPPED.read_text()
    for old, new in changes.items():
        config, count = re.subn(f"(?m)^{old}$", new, config)
        assert count == 1, old
    with tempfile.TemporaryDirectory(prefix="library-tests-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "pgbouncer.ini").write_text(config)
        nobody = pwd.getpwnam("nobody")  # as PostgreSQL is where we are root
        as_nobody = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        command = [*(as_nobody if os.geteuid() == 0 else []), program, str(folder / "pgbouncer.ini")]
        with run._running(command, folder / "log", port):
            yield f"postgresql://{parts.username}@127.0.0.1:{port}/{parts.database}{OPTIONS}"


@pytest.mark.parametrize("shape", ["backend"])
def test_every_kind_of_work_goes_through_it(database_url: str, redis: Any, make_app: Any) -> None:
    parent = make_parent(lambda *statement: run_sql(database_url, *statement))
    headers = bearer(user_id=parent, user_type="parent")
    with pgbouncer(database_url) as pooled:
        app = make_app(pooled, CACHE_TTL=600)
        wrong: list[object] = []

        def work(number: int) -> None:
            try:
                use(app, headers, number)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        with app.app_context():
            tally().push()
            flush()
            look_for_changes()
            for _ in range(2 * POOL):
                with db.engine.connect() as connection:
                    assert settings(connection) == ["0", "on", "on", "", ""], "a setting outlived its transaction"
                    assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0
            db.engine.dispose()
    items = run_sql(database_url, "SELECT usage_count FROM content_library WHERE title LIKE 'Changed %'")
    assert [item["usage_count"] for item in items] == [1] * 6


def settings(connection: Any) -> list[str]:
    """What search and counting set for a transaction; one that an extension knows has no value before it is loaded."""
    names = ("statement_timeout", "enable_seqscan", "jit", "pg_trgm.similarity_threshold", "library.counting")
    asked = text("SELECT coalesce(nullif(current_setting(:name, true), :unset), '')")
    return [connection.scalar(asked, {"name": name, "unset": "0.3"}) for name in names]


def use(app: Any, headers: dict[str, str], number: int) -> None:
    """An upload with its item, a change, a list, a search, a near spelling, a view, an import's kind of lock."""
    client = app.test_client()
    form = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": f"Elephant {number}"}
    file = (BytesIO(f"An elephant's tale {number}".encode()), "tale.txt")
    made = client.post("/api/content/upload", headers=headers, data=form | {"file": file})
    assert made.status_code == 201, made.text
    item = f"/content/{made.json['content_id']}"
    changed = client.patch(item, headers=headers, json={"title": f"Changed elephant {number}"})
    assert changed.status_code == 200, changed.text
    for target in ("/content", "/content/search?q=elephant", "/content/search?q=elefant", item, "/content/subjects"):
        assert client.get(target, headers=headers).status_code == 200, target
