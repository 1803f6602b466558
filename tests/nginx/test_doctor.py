"""`flask library doctor` through real nginx: quiet with what we ship, and outspoken when something is broken."""

import http.client
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest
import redis as redis_py

from library_server import create_app
from library_server.extensions import db
from tests.nginx import servers as run
from tests.nginx.conftest import Library, our_config
from tests.nginx.servers import Config, Server

FINE, WARNINGS, ERRORS = 0, 1, 2
ACCELERATED = {"USE_X_ACCEL_REDIRECT": "true"}
REAL_IP = "proxy_set_header X-Real-IP $remote_addr;"

Said = dict[str, str]  # "<level> <check>" to the sentence


@pytest.fixture
def examine(library: Library, redis: redis_py.Redis) -> Callable[..., tuple[int, Said]]:
    """``examine(url, SETTING=…)``: the exit status, and what was said of each check."""

    def run_command(url: str, **settings: str) -> tuple[int, Said]:
        app = create_app(library.settings | settings)
        result = app.test_cli_runner().invoke(args=["library", "doctor", url])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "SECRET" not in settings or settings["SECRET"] not in result.output
        with app.app_context():
            db.engine.dispose()
        lines = [line.partition(": ") for line in result.output.splitlines()]
        return result.exit_code, {" ".join(head.split()): sentence for head, _, sentence in lines}

    return run_command


def troubles(said: Said) -> list[str]:
    return [check for check in said if not check.startswith("ok ")]


def test_what_we_ship_is_healthy(shipped: Server, examine: Callable[..., tuple[int, Said]]) -> None:
    status, said = examine(shipped.url, **ACCELERATED)
    assert (status, troubles(said)) == (FINE, []), said
    assert said["ok client addresses"] == "the server sees the address of who asks."
    assert said["ok address"] == "the Library Server answers, through a proxy."
    assert "at once" in said["ok uploads"]
    for kind in ("content", "asset"):
        assert said[f"ok {kind} files"] == "arrive as they are on disk, whole and in parts."


def test_another_secret(shipped: Server, examine: Callable[..., tuple[int, Said]]) -> None:
    status, said = examine(shipped.url, SECRET_KEY="another-secret-that-is-long-enough-too", **ACCELERATED)
    assert (status, troubles(said)) == (ERRORS, ["error secret", "error content files"])
    assert "it has another" in said["error secret"]
    assert "Link is invalid" in said["error content files"]


@pytest.mark.parametrize(
    ("off", "status", "check", "told"),
    [
        (90, ERRORS, "error clock at the URL", "90 s ahead of"),
        (-12, WARNINGS, "warning clock at the URL", "12 s behind"),
        (2, FINE, "ok clock at the URL", "like that"),
    ],
)
def test_a_clock_that_is_off(
    off: int, status: int, check: str, told: str, plain: Server, examine: Callable[..., tuple[int, Said]]
) -> None:
    def change(headers: dict[str, str]) -> None:
        headers["Date"] = formatdate(parsedate_to_datetime(headers["Date"]).timestamp() + off, usegmt=True)

    with proxy(plain.port, change) as url:
        found, said = examine(url)
    assert told in said[check]
    # This proxy does not tell whom it asks for, and takes no uploads, which are other troubles.
    assert set(troubles(said)) <= {check, "error client addresses", "error uploads"}
    assert found >= status


@pytest.mark.parametrize("believes", [True, False])
def test_a_proxy_that_hides_who_asks(
    believes: bool, library: Library, plain: Server, backend_port: int, examine: Callable[..., tuple[int, Said]]
) -> None:
    settings = {} if believes else {"TRUSTED_PROXIES": "192.0.2.0/30"}
    with run.gunicorn(library.settings | settings, library.logs) as server:
        with run.nginx(changed(server.port, backend_port, REAL_IP, ""), library.logs) as nginx:
            _, hidden = examine(nginx.url)
        with run.nginx(run.guide_config(server.port, backend_port), library.logs) as nginx:
            _, told = examine(nginx.url)
    if believes:
        assert "passes on what anybody pretends" in hidden["error client addresses"]
        assert "ok client addresses" in told
    else:  # nginx does tell, but the server does not know it
        assert "sees the proxy's instead" in hidden["error client addresses"]
        assert "TRUSTED_PROXIES" in told["error client addresses"]


def test_the_guides_nginx_takes_small_uploads_only(guided: Server, examine: Callable[..., tuple[int, Said]]) -> None:
    status, said = examine(guided.url)
    assert (status, troubles(said)) == (ERRORS, ["error uploads"])
    assert "client_max_body_size 101m" in said["error uploads"]
    assert "A hint" in said["ok content files"]


def test_an_nginx_that_stores_uploads(
    library: Library, plain: Server, backend_port: int, examine: Callable[..., tuple[int, Said]]
) -> None:
    config = changed(plain.port, backend_port, REAL_IP, f"{REAL_IP} client_max_body_size 101m;")
    with run.nginx(config, library.logs) as nginx:
        status, said = examine(nginx.url)
    assert (status, troubles(said)) == (WARNINGS, ["warning uploads"])
    assert "proxy_request_buffering off" in said["warning uploads"]


def test_a_proxy_that_drops_ranges(
    library: Library, plain: Server, backend_port: int, examine: Callable[..., tuple[int, Said]]
) -> None:
    config = changed(plain.port, backend_port, REAL_IP, f'{REAL_IP} proxy_set_header Range "";')
    with run.nginx(config, library.logs) as nginx:
        _, said = examine(nginx.url)
    assert set(troubles(said)) == {"error uploads", "error content files", "error asset files"}
    assert "a part of one is answered by 200" in said["error content files"]


def test_x_accel_without_an_nginx_for_it(
    accelerated: Server, backend_port: int, library: Library, examine: Callable[..., tuple[int, Said]]
) -> None:
    _, straight = examine(accelerated.url, **ACCELERATED)
    with proxy(accelerated.port, lambda headers: None) as url:
        _, visible = examine(url, **ACCELERATED)
    with run.nginx(run.guide_config(accelerated.port, backend_port), library.logs) as nginx:
        _, nowhere = examine(nginx.url, **ACCELERATED)
    for kind in ("content files", "asset files"):
        assert "ask through nginx" in straight[f"warning {kind}"]
        assert "does not send what it is told to" in visible[f"error {kind}"]
        assert "location /_library/" in nowhere[f"error {kind}"]


def test_folders_that_nginx_has_elsewhere(
    library: Library, accelerated: Server, backend_port: int, examine: Callable[..., tuple[int, Said]], tmp_path: Path
) -> None:
    ours = our_config(library, accelerated.port, backend_port)
    for folder in (str(library.logs), "/nowhere"):
        wrong = lambda port, log: ours(port, log).replace(f"alias {library.content}/", f"alias {folder}/")  # noqa: B023, E731
        with run.nginx(wrong, library.logs) as nginx:
            status, said = examine(nginx.url, **ACCELERATED)
        assert (status, troubles(said)) == (ERRORS, ["error content files"])
        assert "alias to the same folders" in said["error content files"]


def test_folders_that_the_server_has_elsewhere(
    shipped: Server, examine: Callable[..., tuple[int, Said]], tmp_path: Path
) -> None:
    for folder, name, size in (("other", "documents/unknown.txt", 20), ("changed", "documents/notes.txt", 99)):
        (tmp_path / folder / "documents").mkdir(parents=True)
        (tmp_path / folder / name).write_bytes(b"x" * size)
    _, missing = examine(shipped.url, CONTENT_STORAGE_PATH=str(tmp_path / "other"), **ACCELERATED)
    _, differs = examine(shipped.url, CONTENT_STORAGE_PATH=str(tmp_path / "changed"), **ACCELERATED)
    assert "does not find a file that is here" in missing["error content files"]
    assert "other bytes arrive" in differs["error content files"]


def test_who_answers_is_somebody_else(
    library: Library, backend_port: int, examine: Callable[..., tuple[int, Said]]
) -> None:
    with run.nobody_listens() as nobody:
        _, refused = examine(f"http://127.0.0.1:{nobody}")
        with run.nginx(run.guide_config(nobody, backend_port), library.logs) as nginx:
            _, away = examine(nginx.url)
    status, other = examine(f"http://127.0.0.1:{backend_port}")
    assert "nobody listens there" in refused["error address"]
    assert "not the Library Server behind it (502)" in away["error address"]
    assert "^/(content|assets|api/content)" in other["error address"]
    assert status == ERRORS
    assert "ok PostgreSQL" in other  # the rest is still looked at


def test_certificates(
    library: Library,
    accelerated: Server,
    backend_port: int,
    examine: Callable[..., tuple[int, Said]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ours = our_config(library, accelerated.port, backend_port)
    for days, check in ((300, "ok certificate"), (3, "warning certificate")):
        made = certificate(tmp_path, days)

        def secure(port: int, log: Path, made: Path = made) -> str:
            tls = f"listen 127.0.0.1:{port} ssl; ssl_certificate {made}; ssl_certificate_key {made}.key;"
            return ours(port, log).replace(f"listen 127.0.0.1:{port};", tls)

        with run.nginx(secure, library.logs) as nginx, redirecting(library, nginx.port) as url:
            monkeypatch.setenv("SSL_CERT_FILE", str(made))
            _, said = examine(url, **ACCELERATED)
            assert f"{days} days" in said[check]
            assert set(troubles(said)) <= {check}
            monkeypatch.delenv("SSL_CERT_FILE")
            _, unknown = examine(f"https://localhost:{nginx.port}", **ACCELERATED)
            assert "its certificate is not good" in unknown["error address"]


def certificate(folder: Path, days: int) -> Path:
    run.require("openssl", shutil.which("openssl"))
    made = folder / f"{days}.pem"
    files = ["-keyout", f"{made}.key", "-out", str(made), "-days", str(days)]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True, timeout=30)
    return made


@contextmanager
def redirecting(library: Library, secure_port: int) -> Iterator[str]:
    """The URL of a server that sends everybody to TLS."""

    def config(port: int, log: Path) -> str:
        place = f"https://$host:{secure_port}$request_uri"
        return f"server {{ listen 127.0.0.1:{port}; return 308 {place}; }}"

    with run.nginx(config, library.logs) as nginx:
        yield f"http://localhost:{nginx.port}"


def changed(library_port: int, backend_port: int, old: str, new: str) -> Config:
    """The guide's configuration with another line."""
    guide = run.guide_config(library_port, backend_port)

    def config(port: int, log: Path) -> str:
        text = guide(port, log)
        assert old in text
        return text.replace(old, new)

    return config


@contextmanager
def proxy(library_port: int, change: Callable[[dict[str, str]], None]) -> Iterator[str]:
    """The URL of a proxy that changes the headers of answers, and knows nothing else of a proxy's duties."""

    class Passing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = passed_on(library_port, self.path, dict(self.headers))
            change(headers)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def passed_on(port: int, target: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", target, headers=dict(headers))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()) | {"Server": "a proxy"}, response.read()
    finally:
        connection.close()
