"""``flask dev``: the whole library on this machine, with nothing installed by hand."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
import flask_migrate

from library_server import create_app
from library_server.accounts import tokens
from library_server.actor import Kind
from library_server.catalog.importing import import_manifest
from library_server.curriculum.importing import TABLES as CURRICULUM
from library_server.dev import embedded
from library_server.dev.families import Person, add_families, create_backend_tables

SAMPLE = Path(__file__).parent / "sample"
TOKEN_HOURS = 12
START_SECONDS = 30
STOP_SECONDS = 10
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("dev")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(1, 65535), help="Port on 127.0.0.1.")
@click.option("--instance", default="instance", show_default=True, type=click.Path(path_type=Path), help="Data folder.")
def dev(port: int, instance: Path) -> None:
    """Serve a sample library with PostgreSQL and Redis of its own; Ctrl-C stops everything."""
    instance = instance.resolve()
    instance.mkdir(parents=True, exist_ok=True)
    try:
        with _signals_end_us(), embedded.postgres(instance / "postgres") as postgres:
            _stop_server_of_a_killed_run(instance)
            _require_free(port)
            with embedded.redis(instance / "redis") as redis:
                settings = _settings(instance, postgres.url, redis.url)
                people = _prepare(settings)
                with _server(settings, instance, port) as server:
                    _wait_until_it_answers(server, port)
                    _say_hello(people, settings["SECRET_KEY"], port)
                    server.wait()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("\nStopped.")


def _settings(instance: Path, database_url: str, redis_url: str) -> dict[str, str]:
    secret = instance / "secret_key"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(32))
    return {
        "APP_ENV": "development",
        "SECRET_KEY": secret.read_text(),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CONTENT_STORAGE_PATH": str(instance / "data" / "content"),
        "ASSETS_STORAGE_PATH": str(instance / "data" / "assets"),
        "UPLOADS_STORAGE_PATH": str(instance / "data" / "uploads"),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
    }


def _prepare(settings: Mapping[str, str]) -> list[Person]:
    """Tables, families and the sample library: made on the first start, completed on the next ones."""
    with create_app(settings).app_context():
        create_backend_tables()
        flask_migrate.upgrade()
        Path(settings["ASSETS_STORAGE_PATH"]).mkdir(parents=True, exist_ok=True)
        report = import_manifest(SAMPLE / "manifest.csv", SAMPLE / "files")
        click.echo(f"The sample library: {report.rows} items, {report.added} of them new.")
        for name, table in CURRICULUM.items():
            report = import_manifest(SAMPLE / f"{name}.csv", SAMPLE / "files", table=table)
            click.echo(f"Its curriculum, {name}: {report.rows} rows, {report.added} of them new.")
        return add_families()


@contextmanager
def _server(settings: Mapping[str, str], instance: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Flask's server with reload, in a session of its own: the terminal's Ctrl-C reaches us, and we stop it."""
    command = [sys.executable, "-m", "flask", "--app", "library_server:create_app", "run", "--reload"]
    server = subprocess.Popen(  # noqa: S603 (our own words)
        [*command, "--host", "127.0.0.1", "--port", str(port)], env=os.environ | settings, start_new_session=True
    )
    (instance / "server.pid").write_text(str(server.pid))
    try:
        yield server
    finally:
        _stop_group(server.pid)
        server.wait()
        (instance / "server.pid").unlink(missing_ok=True)


def _stop_server_of_a_killed_run(instance: Path) -> None:
    """After ``kill -9`` the server of that run still holds the port. Only called while no other run holds the data."""
    import psutil

    try:
        pid = int((instance / "server.pid").read_text())
        ours = "library_server:create_app" in psutil.Process(pid).cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return
    if ours:
        _stop_group(pid)


def _stop_group(leader: int) -> None:
    import psutil

    members = [process for process in psutil.process_iter() if _group(process.pid) == leader]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(leader, sign)
        except ProcessLookupError:
            return
        if not psutil.wait_procs(members, timeout=STOP_SECONDS)[1]:
            return


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise RuntimeError(f"port {port} is in use; stop what uses it, or choose another with --port") from None


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not start; its messages are above")


def _say_hello(people: list[Person], secret: str, port: int) -> None:
    click.echo(f"\nThe library is served at http://127.0.0.1:{port}, its API described at /api/content/docs.\n")
    click.echo("Who can sign in:")
    for person in people:
        click.echo(f"  {person.kind} {person.id}: {person.description}")
    first: dict[Kind, int] = {}
    for person in people:
        first.setdefault(person.kind, person.id)
    token = {kind: tokens.mint(user, kind, secret, TOKEN_HOURS * 3600) for kind, user in first.items()}
    for kind, user in first.items():
        click.echo(f"\nToken of {kind} {user}, valid for {TOKEN_HOURS} hours:\n  {token[kind]}")
    click.echo(
        "\nTry it:\n"
        f"  curl -H 'Authorization: Bearer {token['child']}' "
        f"'http://127.0.0.1:{port}/content?subject_area=math&per_page=3'\n\n"
        "Ctrl-C stops everything; the data stays in instance/."
    )


@contextmanager
def _signals_end_us() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does, so that everything is stopped in order.

    SIGINT too where a script started us in the background, and with that let it be ignored.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
