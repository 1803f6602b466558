"""Builds the Dockerfile and runs docker-compose.yml's services on read-only roots, without Docker.

    apt-get install buildah mmdebstrap
    .venv/bin/python -m tests.deploy.try_image /var/tmp/try-image

buildah executes the Dockerfile as it stands. In the place of the official images it is given Debians of the same kind,
made by mmdebstrap and kept in the folder named: Debian 12 with its Python, and unstable with its nginx, which has to be
newer than 1.27.3. Then commands, users, mounts and health checks are taken from the image and docker-compose.yml, and
run as a container would, in namespaces of their own, beside a real PostgreSQL and Redis. It needs root and some
minutes, so it is no test of `make test`.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from library_server.dev import embedded
from tests.conftest import SCHEMAS, SECRET, bearer, make_parent, run_sql
from tests.nginx.test_production import name_server

PROJECT = Path(__file__).parent.parent.parent
BASE, NGINX = "docker.io/library/python:3.12-slim", "nginx-stand-in"
ROOTS = {
    BASE: ("bookworm", "python3,python3-venv,python3-pip,ca-certificates", [("usr/bin/python", "python3")]),
    NGINX: ("sid", "nginx,libnginx-mod-http-js,curl", [("var/log/nginx/access.log", "/dev/stdout")]),
}
DATABASE = "postgresql://postgres@127.0.0.1:5432/elemental_genius"
SETTINGS = {
    "DATABASE_URL": DATABASE,
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SECRET_KEY": SECRET,
    "USE_X_ACCEL_REDIRECT": "true",
}
WAIT_SECONDS = 30


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if len(sys.argv) == 2:
        folder.mkdir(exist_ok=True)
        for name in ROOTS:
            make_root(folder, name)
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


def make_root(folder: Path, name: str) -> None:
    """The stand-in for an official image, unless it is there."""
    if name in buildah(folder, "images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    release, packages, links = ROOTS[name]
    with tempfile.TemporaryDirectory(dir=folder) as made:
        unexpired = '--aptopt=Acquire::Check-Valid-Until "false"'  # a mirror may stand still
        run("mmdebstrap", "--quiet", "--variant=minbase", unexpired, f"--include={packages}", release, f"{made}/root")
        for link, target in links:
            (Path(made) / "root" / link).unlink(missing_ok=True)
            (Path(made) / "root" / link).symlink_to(target)
        container = buildah(folder, "from", "scratch")
        buildah(folder, "add", "--quiet", container, f"{made}/root", "/")
        buildah(folder, "commit", "--quiet", "--format", "docker", container, name)
        buildah(folder, "rm", container)


def build(folder: Path) -> None:
    # The certificates of this machine, whose packages may come through a proxy.
    options = [
        "--format",
        "docker",
        "--pull-never",
        "--network",
        "host",
        "--volume",
        "/etc/ssl/certs:/etc/ssl/certs:ro",
    ]
    buildah(folder, "bud", *options, "--build-arg", "REVISION=tried", "--tag", "library-server", ".")


def try_it(folder: Path) -> None:
    """Migrates, serves, asks for health, uploads, reads back, through nginx too, and stops."""
    image = json.loads(buildah(folder, "inspect", "--type", "image", "library-server"))["Docker"]["config"]
    assert image["Labels"]["org.opencontainers.image.revision"] == "tried"
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    inside = [*image["Env"], *(f"{name}={value}" for name, value in SETTINGS.items())]
    with ExitStack() as stack:
        parent = stack.enter_context(servers())
        stack.enter_context(name_server({"library-server": ["127.0.0.1"]}, "127.0.0.11", 53))
        root = stack.enter_context(mounted(folder, "library-server"))
        volumes = {name: stack.enter_context(volume(folder, root / name)) for name in ("data", "keys")}
        enter = confined(root, {"/data": volumes["data"], "/keys": volumes["keys"]}, image["User"], inside)
        enter += ["env", f"--chdir={image['WorkingDir']}"]
        run(*enter, *(word.replace("$$", "$") for word in services["migrate"]["command"]))
        for place in ("/", "/app", "/venv", "/etc", "/home"):
            assert subprocess.run([*enter, "touch", f"{place}/x"], stderr=subprocess.DEVNULL).returncode, place
        check = [*enter, *image["Healthcheck"]["Test"][1:]]
        with serving([*enter, *image["Cmd"]], image["User"], check):
            print("library-server is healthy:", ask(8001, "GET", "/health")[1])
            nginx, service = stack.enter_context(mounted(folder, NGINX)), services["nginx"]
            mounts = dict(entry.removesuffix(":ro").split(":")[::-1] for entry in service["volumes"])
            sources = {"keys": volumes["keys"], "library_data": volumes["data"]}
            places = {place: Path(sources.get(source, PROJECT / source)) for place, source in mounts.items()}
            enter = confined(nginx, places, service["user"], ["PATH=/usr/sbin:/usr/bin"])
            Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
            check = [*enter, *service["healthcheck"]["test"][1:]]
            with serving([*enter, "nginx", "-g", "daemon off;"], service["user"], check):
                print("nginx is healthy")
                use(bearer(user_id=parent, user_type="parent"))
    print("The services work on read-only roots.")


@contextmanager
def serving(command: list[str], user: str, check: list[str]) -> Iterator[None]:
    """The command runs, and its health check says so; it ends when told to, and the check says that too."""

    def is_healthy() -> bool:
        return subprocess.run(check, stderr=subprocess.DEVNULL).returncode == 0

    here, theirs = os.pipe()
    os.fchown(theirs, int(user.partition(":")[0]), -1)  # as runc does, so that /dev/stdout can be opened
    cat = subprocess.Popen(["cat"], stdin=here)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(here)
    os.close(theirs)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_healthy():
            assert time.monotonic() < deadline, "it does not become healthy"
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
        cat.wait(WAIT_SECONDS)
    assert not is_healthy()


@contextmanager
def mounted(folder: Path, image: str) -> Iterator[Path]:
    """A new container's root."""
    made = buildah(folder, "from", "--pull-never", image)
    root = Path(buildah(folder, "mount", made))
    try:
        yield root
    finally:
        run("umount", "--recursive", str(root))
        buildah(folder, "rm", made)


@contextmanager
def volume(folder: Path, begin: Path) -> Iterator[Path]:
    """A new volume, filled as Docker fills it: with what is in the image where it is mounted, owner and mode too."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        run("cp", "--archive", "--no-target-directory", str(begin), made)
        yield Path(made)


def confined(root: Path, mounts: dict[str, Path], user: str, environment: list[str]) -> list[str]:
    """Makes the root read-only but for its mounts; the words before a command that run it there, as this user."""
    run("mount", "--bind", str(root), str(root))
    for place, source in sorted(mounts.items()):
        target = root / place.lstrip("/")
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        run("mount", "--bind", str(source), str(target))
    for place in ("tmp", "dev/shm"):
        if place == "dev/shm":
            run("mount", "--bind", "/dev", f"{root}/dev")
        run("mount", "-t", "tmpfs", "tmpfs", f"{root}/{place}")
    run("mount", "-t", "proc", "proc", f"{root}/proc")
    run("mount", "-o", "remount,bind,ro", str(root))
    as_user = ["setpriv", "--no-new-privs", "chroot", f"--userspec={user}", "--groups=", str(root)]
    return [*as_user, "env", "--ignore-environment", *environment]


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
    """One upload through nginx, which is inspected by the libraries in the image, and read back by every way."""
    song = (PROJECT / "library_server/dev/sample/files/audio/counting-to-twenty.mp3").read_bytes()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="song.mp3"\r\n\r\n'
    headers = editor | {"Content-Type": "multipart/form-data; boundary=b"}
    status, answer = ask(80, "POST", "/api/content/upload", headers, head + song + b"\r\n--b--\r\n")
    assert status == 201, answer
    stored = json.loads(answer)
    print("uploaded:", stored["file_path"], stored["size"], "bytes")
    assert ask(80, "GET", stored["access_url"]) == (200, song)  # nginx alone: it could read the key
    assert ask(80, "GET", f"/content/{stored['file_path']}", editor) == (200, song)  # X-Accel
    assert ask(8001, "GET", stored["access_url"]) == (200, b"")  # gunicorn leaves the bytes to nginx


def ask(
    port: int, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    connection.request(method, target, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


if __name__ == "__main__":
    main()
