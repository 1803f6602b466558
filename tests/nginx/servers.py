"""Real nginx and real gunicorn as child processes on free ports of the loopback."""

import grp
import http.client
import http.server
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
SHIPPED = PROJECT / "deploy" / "nginx"
GUIDE = Path(__file__).parent / "guide.conf"
WAIT_SECONDS = 20
Config = Callable[[int, Path], str]  # what stands in the http block of an nginx with this port and this access log
OF_THE_CONNECTION = {"date", "server", "connection", "keep-alive", "x-request-id"}
OF_THE_LIMITS = "x-ratelimit-"  # which nginx does not pass on with files


@dataclass(frozen=True)
class Answer:
    """What came back: every header but those of the connection, in small letters, sorted, repetitions kept."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The header's only value; None where it is absent."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True)
class Server:
    """A running server: its port and process, its access log and its log of errors."""

    port: int
    pid: int
    log: Path
    errors: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """Sends the request as it stands: nothing in `target` is cleaned or escaped."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = sorted((name.lower(), _in_order(name, value)) for name, value in response.getheaders())
            kept = [
                (name, value)
                for name, value in found
                if name not in OF_THE_CONNECTION and not name.startswith(OF_THE_LIMITS)
            ]
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()

    def last_line(self, beginning: str) -> str:
        """The access log's last line, once it is one that begins so."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.lines()[-1:] or not self.lines()[-1].startswith(beginning):
            assert time.monotonic() < deadline, self.lines()[-5:]
            time.sleep(0.01)
        return self.lines()[-1]

    def lines(self) -> list[str]:
        """The lines of the access log."""
        return self.log.read_text().splitlines()


def _in_order(name: str, value: str) -> str:
    """The value; Allow's methods, whose order means nothing, from A to Z."""
    return ", ".join(sorted(value.split(", "))) if name == "Allow" else value


def require(packages: str, *found: object) -> None:
    """Skips the test, or fails it where CI is set, unless everything is found."""
    if all(found):
        return
    reason = f"NOT TESTED, because a program is missing: apt-get install {packages}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_nginx() -> tuple[str, Path]:
    """The program, and its njs module."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    module = _modules_of(program) / "ngx_http_js_module.so" if program else None
    require("nginx libnginx-mod-http-js", program, module and module.exists())
    assert program
    assert module
    return program, module


def _modules_of(program: str) -> Path:
    said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=WAIT_SECONDS).stderr
    found = re.search(r"--modules-path=(\S+)", said)
    return Path(found[1] if found else "/usr/lib/nginx/modules")


@contextmanager
def gunicorn(settings: Mapping[str, str], folder: Path, *of_another: str, cwd: Path = PROJECT) -> Iterator[Server]:
    """The Library Server under the gunicorn.conf.py in `cwd`; with arguments `of_another`, another application."""
    port = int(settings.get("PORT") or free_port())
    log, errors = folder / f"gunicorn-{port}-access.log", folder / f"gunicorn-{port}-error.log"
    # Not `python -m gunicorn`: that one cannot start itself anew (USR2), because its own folder hides Python's `http`.
    command = [
        str(Path(sys.executable).with_name("gunicorn")),
        "--access-logfile",
        str(log),
        "--access-logformat",
        "%(m)s %(U)s %(s)s %(B)s",
    ]
    if of_another:
        command += [f"--bind=127.0.0.1:{port}", *of_another]
        cwd = folder
    environment = {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1"} | settings
    with _running(command, errors, port, cwd=cwd, env=environment) as pid:
        yield Server(port, pid, log, errors)


@contextmanager
def nginx(config: Config, folder: Path, workers: str = "1") -> Iterator[Server]:
    """nginx with what `config` says in its http block, beside settings that many installations have."""
    program, module = find_nginx()
    port = free_port()
    here = folder / f"nginx-{port}"
    here.mkdir()
    log, errors = here / "access.log", here / "error.log"
    main = here / "nginx.conf"
    folders = "".join(
        f"{kind}_temp_path {here}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = "sendfile on;\ngzip on;\ngzip_types text/plain image/svg+xml;\n"
    main.write_text(
        f"load_module {module};\n{_user()}daemon off;\nworker_processes {workers};\npid {here}/pid;\n"
        f"error_log {errors} warn;\nevents {{ worker_connections 256; }}\n"
        f"http {{\n{folders}access_log {log};\n{around}{config(port, log)}}}\n"
    )
    with _running([program, "-e", str(errors), "-c", str(main)], errors, port) as pid:
        yield Server(port, pid, log, errors)


def _user() -> str:
    """Who nginx's workers are: somebody else where we are root, so that what root alone may read is hidden to them."""
    if os.geteuid() != 0:
        return ""
    return f"user nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name};\n"


def guide_config(library_port: int, backend_port: int) -> Config:
    """The integration guide's own configuration with our ports."""
    return lambda port, _: with_ports(GUIDE.read_text(), port, library_port, backend_port)


def shipped_config(
    library_port: int, backend_port: int, content: Path, assets: Path, key: Path, example: str = "example.conf"
) -> Config:
    """An example of deploy/nginx and all that it includes, with our ports and folders."""
    text = shipped_text(example)
    text = _replaced(text, "/data/content", str(content))
    text = _replaced(text, "/data/assets", str(assets))
    text = _replaced(text, "/etc/nginx/library/links.js", str(SHIPPED / "links.js"))
    text = _replaced(text, "from /etc/nginx/keys/link-key.json", f"from {key}")

    def config(port: int, log: Path) -> str:
        return with_ports(_replaced(text, "/var/log/nginx/access.log", str(log)), port, library_port, backend_port)

    return config


def shipped_text(name: str) -> str:
    """A file of deploy/nginx with the text of those that it includes in their place."""
    include = r"include /etc/nginx/library/([\w.-]+);"
    return re.sub(include, lambda found: shipped_text(found[1]), (SHIPPED / name).read_text())


def with_ports(text: str, port: int, library_port: int, backend_port: int) -> str:
    text = _replaced(text, "listen 80;", f"listen 127.0.0.1:{port};")
    text = _replaced(text, "server library-server:8001", f"server 127.0.0.1:{library_port}")
    return _replaced(text, "server flask-backend:8000", f"server 127.0.0.1:{backend_port}")


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old} is not in the configuration"
    return text.replace(old, new)


@contextmanager
def backend(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A stand-in for the Flask backend: the port of a server that says which path it was asked for.

    Asked with ``X-Path``, it answers as gunicorn does with USE_X_ACCEL_REDIRECT; with ``X-Show``, with that header's
    values; with ``Upgrade: websocket``, it takes the connection and says what it hears.
    """

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> int:
            if self.headers["Upgrade"] == "websocket" and self.headers["Connection"] == "upgrade":
                self.send_response(101)
                self.end_headers()
                return self.wfile.write(self.rfile.readline())
            body = f"backend {self.path}".encode()
            if "X-Show" in self.headers:
                body = f"{address} {self.headers.get_all(self.headers['X-Show'], [])}".encode()
            self.send_response(200)
            if "X-Path" in self.headers:
                self.send_header("X-Accel-Redirect", self.headers["X-Path"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((address, port), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def _running(
    command: list[str], errors: Path, port: int, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    # It ends with us even when we are killed.
    leash = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with errors.open("ab") as sink:
        process = subprocess.Popen(
            [*leash, *command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=cwd, env=env
        )
    try:
        _wait_until_it_listens(process, port, errors)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT_SECONDS)


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, errors: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < deadline, errors.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
