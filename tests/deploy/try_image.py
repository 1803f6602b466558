"""Builds the Dockerfile and runs the image on a read-only root, without Docker: for a machine with root and Debian.

    apt-get install buildah mmdebstrap
    .venv/bin/python -m tests.deploy.try_image /var/tmp/try-image

buildah executes the Dockerfile as it stands. Instead of the official python image it is given a Debian of the same kind
with Debian's Python, made by mmdebstrap and kept in the folder named. Then command, user, environment and health check
are taken from the image, and run as a container would: in namespaces of their own, beside a real PostgreSQL and Redis.
About three minutes, one when repeated; so it is no test of `make test`.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from library_server.dev import embedded
from tests.conftest import SCHEMAS, SECRET, bearer, make_parent, run_sql

PROJECT = Path(__file__).parent.parent.parent
BASE = "docker.io/library/python:3.12-slim"  # as the Dockerfile names it
DATABASE = "postgresql://postgres@127.0.0.1:5432/elemental_genius"
SETTINGS = {"DATABASE_URL": DATABASE, "REDIS_URL": "redis://127.0.0.1:6379/0", "SECRET_KEY": SECRET}
WAIT_SECONDS = 30


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if len(sys.argv) == 2:
        make_base(folder)
        build(folder)
        again = [sys.executable, "-m", "tests.deploy.try_image", str(folder), "run"]
        subprocess.run(["unshare", "--mount", "--net", *again], cwd=PROJECT, check=True)
    else:
        run("ip", "link", "set", "lo", "up")
        try_it(folder)


def run(*command: str, **options: object) -> str:
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def buildah(folder: Path, *command: str) -> str:
    places = ["--root", str(folder / "store"), "--runroot", str(folder / "runroot"), "--storage-driver", "vfs"]
    return run("buildah", *places, *command, env=os.environ | {"BUILDAH_ISOLATION": "chroot"}).strip()


def make_base(folder: Path) -> None:
    """The stand-in for the official image, unless it is there."""
    if BASE in buildah(folder, "images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    with tempfile.TemporaryDirectory(dir=folder) as made:
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", f"{made}/base")
        (Path(made) / "base/usr/bin/python").symlink_to("python3")
        container = buildah(folder, "from", "scratch")
        buildah(folder, "add", "--quiet", container, f"{made}/base", "/")
        buildah(folder, "commit", "--quiet", "--format", "docker", container, BASE)
        buildah(folder, "rm", container)


def build(folder: Path) -> None:
    # The certificates of this machine, whose packages may come through a proxy.
    options = ["--format", "docker", "--pull-never", "--network", "host", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    buildah(folder, "bud", *options, "--build-arg", "REVISION=tried", "--tag", "library-server", ".")


def try_it(folder: Path) -> None:
    """Migrates, serves, asks for health, uploads, reads back and stops."""
    image = json.loads(buildah(folder, "inspect", "--type", "image", "library-server"))["Docker"]["config"]
    assert image["Labels"]["org.opencontainers.image.revision"] == "tried"
    assert image["User"] == "10001:10001"
    with container(folder, image) as enter, servers() as parent:
        run(*enter, "flask", "--app", "wsgi", "db", "upgrade")
        for place in ("/", "/app", "/venv", "/etc", "/home"):
            assert subprocess.run([*enter, "touch", f"{place}/x"], stderr=subprocess.DEVNULL).returncode, place
        serving = subprocess.Popen([*enter, *image["Cmd"]])
        try:
            check = [*enter, *image["Healthcheck"]["Test"][1:]]
            wait_for(lambda: subprocess.run(check, stderr=subprocess.DEVNULL).returncode == 0)
            print("healthy:", ask("GET", "/health")[1])
            use(bearer(user_id=parent, user_type="parent"))
        finally:
            serving.terminate()
            assert serving.wait(WAIT_SECONDS) == 0
        assert subprocess.run(check, stderr=subprocess.DEVNULL).returncode, "healthy though it is stopped"
    print("The image works on a read-only root.")


@contextmanager
def container(folder: Path, image: dict[str, object]) -> Iterator[list[str]]:
    """The words before a command that runs it as the image says; our mounts end with our namespace."""
    made = buildah(folder, "from", "--pull-never", "library-server")
    root = buildah(folder, "mount", made)
    volume = tempfile.mkdtemp(dir=folder)
    try:
        run("cp", "-a", f"{root}/data/.", volume)  # as Docker fills a new volume
        run("chown", "--reference", f"{root}/data", volume)
        run("mount", "--bind", root, root)
        run("mount", "--bind", volume, f"{root}/data")
        run("mount", "--bind", "/dev", f"{root}/dev")
        run("mount", "-t", "tmpfs", "tmpfs", f"{root}/dev/shm")
        run("mount", "-t", "tmpfs", "tmpfs", f"{root}/tmp")
        run("mount", "-t", "proc", "proc", f"{root}/proc")
        run("mount", "-o", "remount,bind,ro", root)
        settings = [*image["Env"], *(f"{name}={value}" for name, value in SETTINGS.items())]  # type: ignore[misc]
        inside = ["env", "--ignore-environment", *settings, "env", f"--chdir={image['WorkingDir']}"]
        yield ["setpriv", "--no-new-privs", "chroot", "--userspec=10001:10001", root, *inside]
    finally:
        run("umount", "--recursive", root)
        buildah(folder, "rm", made)
        shutil.rmtree(volume)


@contextmanager
def servers() -> Iterator[int]:
    """PostgreSQL with the backend's schema and Redis, on their usual ports; the id of a parent."""
    embedded.SETTINGS[1] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="try-image-") as made:
        redis = subprocess.Popen([str(embedded._redis_program()), "--save", ""], cwd=made, stdout=subprocess.DEVNULL)
        try:
            with embedded.postgres(Path(made), durable=False):
                run_sql(DATABASE, (SCHEMAS / "backend.sql").read_text())
                yield make_parent(lambda *statement: run_sql(DATABASE, *statement))
        finally:
            redis.terminate()
            redis.wait(WAIT_SECONDS)


def use(editor: dict[str, str]) -> None:
    """One upload, which is inspected by the libraries in the image, and read back."""
    song = (PROJECT / "library_server/dev/sample/files/audio").glob("*.mp3").__next__().read_bytes()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="song.mp3"\r\n\r\n'
    headers = editor | {"Content-Type": "multipart/form-data; boundary=b"}
    status, answer = ask("POST", "/api/content/upload", headers, head + song + b"\r\n--b--\r\n")
    assert status == 201, answer
    stored = json.loads(answer)
    print("uploaded:", stored["file_path"], stored["size"], "bytes")
    assert ask("GET", stored["access_url"]) == (200, song)


def ask(method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", 8001, timeout=WAIT_SECONDS)
    connection.request(method, target, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def wait_for(holds: object) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it does not become healthy"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
