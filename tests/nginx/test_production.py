"""What production adds: TLS, WebSockets, several replicas, limits, time-outs; each with the shipped files."""

import http.client
import json
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.nginx import servers as run
from tests.nginx.conftest import Library, our_config
from tests.nginx.servers import Config, Server

JSON = "application/json"
HSTS = "max-age=31536000"
FORGED = {"X-Real-IP": "10.9.8.7", "X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "gopher", "X-Request-ID": "mine"}


@pytest.fixture(scope="module")
def certificate(library: Library) -> Path:
    """A certificate for localhost, and its key beside it."""
    run.require("openssl", shutil.which("openssl"))
    made = library.logs / "fullchain.pem"
    files = ["-keyout", str(made.with_name("privkey.pem")), "-out", str(made)]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True, timeout=30)
    return made


@pytest.fixture(scope="module")
def plain_port() -> int:
    """Where the server without TLS listens."""
    return run.free_port()


@pytest.fixture(scope="module")
def secure(
    library: Library, accelerated: Server, backend_port: int, certificate: Path, plain_port: int
) -> Iterator[Server]:
    """tls.conf before gunicorn."""
    shipped = run.shipped_config(
        accelerated.port, backend_port, library.content, library.assets, library.key, "tls.conf"
    )

    def config(port: int, log: Path) -> str:
        text = replaced(shipped(plain_port, log), "listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        return replaced(text, "/etc/nginx/tls", str(certificate.parent))

    with run.nginx(config, library.logs) as server:
        yield server


def ask_securely(
    server: Server, certificate: Path, target: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    context = ssl.create_default_context(cafile=str(certificate))
    with closing(http.client.HTTPSConnection("localhost", server.port, timeout=10, context=context)) as connection:
        connection.request(method, target, headers=headers or {})
        response = connection.getresponse()
        return response, response.read()


def test_every_answer_by_tls_asks_to_stay_there(library: Library, secure: Server, certificate: Path) -> None:
    link = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}"
    large = {"Content-Type": JSON, "Content-Length": str(200 * 1024 * 1024)}
    cases: list[tuple[str, dict[str, str], str, int]] = [
        ("/content", library.reader, "GET", 200),
        ("/content", {}, "GET", 401),
        ("/content/audio/song.mp3", library.reader, "GET", 200),
        (link, {}, "GET", 200),
        ("/content/audio/song.mp3?expires=1&signature=0", {}, "GET", 403),
        ("/api/content/upload", large, "POST", 413),
        ("/parent/login", {}, "GET", 200),
    ]
    for target, headers, method, status in cases:
        response, _ = ask_securely(secure, certificate, target, headers, method)
        found = (response.status, response.headers.get_all("Strict-Transport-Security"))
        assert found == (status, [HSTS]), target


def test_without_tls_nobody_is_asked_to_use_it(library: Library, shipped: Server) -> None:
    assert shipped.ask("/content", library.reader).header("Strict-Transport-Security") is None


def test_who_comes_without_tls_is_sent_to_it(secure: Server, plain_port: int, library: Library) -> None:
    answer = Server(plain_port, 0, library.logs, library.logs).ask("/content?q=a", method="POST")
    assert (answer.status, answer.header("Location")) == (308, "https://127.0.0.1/content?q=a")


def test_old_protocols_are_refused(secure: Server) -> None:
    for version in ("1.2", "1.3"):
        assert handshake(secure, version) == f"TLSv{version}"
    assert handshake(secure, "1.1") is None


def handshake(server: Server, version: str) -> str | None:
    """The protocol agreed on with a client that knows this one alone; None: none."""
    name = f"-tls{version.replace('.', '_')}"
    command = ["openssl", "s_client", name, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{server.port}"]
    said = subprocess.run(command, input="", capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"^New, (TLSv1\.\d), Cipher is (?!\(NONE\))", said, re.MULTILINE)
    return found[1] if found else None


def test_http2_is_spoken(secure: Server, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", secure.port), 10) as opened,
        context.wrap_socket(opened, server_hostname="localhost") as spoken,
    ):
        assert spoken.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize("target", ["/content", "/api/content/upload", "/parent/login", "/content/audio/song.mp3"])
def test_what_is_passed_on_is_nginx_own_word(library: Library, backend_port: int, target: str) -> None:
    with run.backend() as port, run.nginx(our_config(library, port, backend_port), library.logs) as nginx:

        def told(name: str) -> str:
            return nginx.ask(target, FORGED | {"X-Show": name}).body.decode()

        assert told("X-Real-IP") == told("X-Forwarded-For") == "127.0.0.1 ['127.0.0.1']"
        assert told("X-Forwarded-Proto") == "127.0.0.1 ['http']"
        given = re.fullmatch(r"127.0.0.1 \['([0-9a-f]{32})'\]", told("X-Request-ID"))
        assert given
        assert eventually(lambda: nginx.log.read_text().endswith(f" {given[1]}\n"))


def test_websockets_reach_the_backend(shipped: Server) -> None:
    with socket.create_connection(("127.0.0.1", shipped.port), 10) as opened:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        opened.sendall(b"GET /socket.io/?transport=websocket HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")
        answers = opened.makefile("rb")
        assert b" 101 " in answers.readline()
        while answers.readline() != b"\r\n":
            pass
        opened.sendall(b"hello\n")
        assert answers.readline() == b"hello\n"


def test_a_replica_that_is_away_costs_no_request(library: Library, accelerated: Server, backend_port: int) -> None:
    with dying_replica() as (dying, asked), run.nobody_listens() as away:
        config = replicas(our_config(library, accelerated.port, backend_port), accelerated.port, dying, away)
        with run.nginx(config, library.logs) as nginx:
            answers = [nginx.ask("/content", library.reader).status for _ in range(12)]
    assert answers == [200] * 12
    assert asked


def test_what_a_dying_replica_may_have_done_is_not_done_again(library: Library, backend_port: int) -> None:
    with dying_replica() as (first, one), dying_replica() as (second, two):
        config = replicas(our_config(library, first, backend_port), first, second)
        with run.nginx(config, library.logs) as nginx:
            answer = nginx.ask("/content", library.editor, "POST", b"{}")
    assert (answer.status, len(one) + len(two)) == (503, 1)


def replicas(config: Config, first: int, *others: int) -> Config:
    """The configuration with further replicas at these ports."""
    server = f"server 127.0.0.1:{first} max_fails=0;"
    more = "".join(f" server 127.0.0.1:{port} max_fails=0;" for port in others)
    return lambda port, log: replaced(config(port, log), server, server + more)


@contextmanager
def dying_replica() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that reads a request and closes, and what it has read."""
    read: list[bytes] = []

    class Dying(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read.append(self.request.recv(65536))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dying) as server, serving(server):
        yield server.server_address[1], read


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def test_too_many_requests_are_refused_in_json(library: Library, backend_port: int) -> None:
    config = our_config(library, 1, backend_port)

    def strict(port: int, log: Path) -> str:
        text = replaced(config(port, log), "rate=200r/s", "rate=1r/m")
        return replaced(text, "burst=1000 nodelay", "burst=1 nodelay")

    with run.nginx(strict, library.logs) as nginx:
        answers = [nginx.ask(target) for target in ("/content", "/content", "/api/content/upload", "/assets/x.css")]
    assert [answer.status for answer in answers] == [503, 503, 429, 429]
    said = {"message": "Rate limit exceeded. Please try again later.", "retry_after_seconds": 5}
    assert (json.loads(answers[-1].body), answers[-1].header("Retry-After")) == (said, "5")


def test_only_uploads_count_against_the_limit_of_uploads(library: Library, backend_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as asked:
        silent.settimeout(10)
        config = our_config(library, silent.getsockname()[1], backend_port)

        def strict(port: int, log: Path) -> str:
            return replaced(config(port, log), "limit_conn library_uploads 20", "limit_conn library_uploads 1")

        with run.nginx(strict, library.logs) as nginx:
            upload = b"POST /api/content/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
            for request in (b"GET /content HTTP/1.1\r\nHost: x\r\n\r\n",) * 3 + (upload,):
                client = asked.enter_context(socket.create_connection(("127.0.0.1", nginx.port), 10))
                client.sendall(request)
                asked.enter_context(silent.accept()[0])  # it was let through
            client = asked.enter_context(socket.create_connection(("127.0.0.1", nginx.port), 10))
            client.sendall(upload)
            assert client.recv(100).startswith(b"HTTP/1.1 429 ")


def test_a_class_that_opens_the_app_at_once_is_served(library: Library, shipped: Server) -> None:
    assert {shipped.ask("/assets/images/logo.svg").status for _ in range(300)} == {200}


def test_who_never_finishes_the_headers_is_let_go(library: Library, backend_port: int) -> None:
    config = our_config(library, 1, backend_port)

    def hasty(port: int, log: Path) -> str:
        return replaced(config(port, log), "client_header_timeout 15s", "client_header_timeout 1s")

    with run.nginx(hasty, library.logs) as nginx, socket.create_connection(("127.0.0.1", nginx.port), 10) as slow:
        slow.sendall(b"GET /content HTTP/1.1\r\nHost: x\r\n")
        started = time.monotonic()
        assert b"200" not in slow.recv(1000)
        assert time.monotonic() - started < 5


def test_the_containers_nginx_finds_every_replica_by_name(library: Library) -> None:
    """docker/nginx.conf with docker/upstreams.conf, which needs a newer nginx than Debian 12 has."""
    if version() < (1, 27, 3):
        pytest.skip("NOT TESTED, because it needs nginx 1.27.3 or newer")
    port = run.free_port()
    names: dict[str, list[str]] = {"library-server": ["127.0.0.1"]}
    with ExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2"):
            stack.enter_context(run.backend(address, port))
        resolver = stack.enter_context(name_server(names))
        nginx = stack.enter_context(containers_nginx(library, resolver, port))

        def who() -> set[str]:
            answers = [nginx.ask("/content", {"X-Show": "Host"}) for _ in range(10)]
            return {answer.body.decode().split()[0] for answer in answers if answer.status == 200}

        assert eventually(lambda: who() == {"127.0.0.1"})
        assert nginx.ask("/parent/login").status == 502  # no such service
        names["library-server"] = ["127.0.0.1", "127.0.0.2"]
        assert eventually(lambda: who() == {"127.0.0.1", "127.0.0.2"})
        names["library-server"] = ["127.0.0.2"]
        assert eventually(lambda: who() == {"127.0.0.2"})
        names["flask-backend"] = ["127.0.0.1"]
        assert eventually(lambda: nginx.ask("/parent/login").status == 200)


def version() -> tuple[int, ...]:
    program, _ = run.find_nginx()
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10).stderr
    return tuple(int(part) for part in said.split("/")[1].split()[0].split("."))


@contextmanager
def containers_nginx(library: Library, resolver: int, library_port: int) -> Iterator[Server]:
    """The http block of docker/nginx.conf, with example.conf as its site."""
    upstreams = (run.SHIPPED / "docker" / "upstreams.conf").read_text()
    upstreams = replaced(upstreams, "resolver 127.0.0.11 valid=5s", f"resolver 127.0.0.1:{resolver} valid=1s")
    upstreams = replaced(upstreams, ":8001 resolve", f":{library_port} resolve")
    upstreams = replaced(upstreams, ":8000 resolve", f":{library_port} resolve")
    static = run.shipped_text("upstreams.conf")
    config = our_config(library, 8001, 8000)
    static = replaced(static, "server library-server:8001", "server 127.0.0.1:8001")
    static = replaced(static, "server flask-backend:8000", "server 127.0.0.1:8000")
    with run.nginx(lambda port, log: replaced(config(port, log), static, upstreams), library.logs) as server:
        yield server


@contextmanager
def name_server(names: dict[str, list[str]], address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a DNS server that knows `names` (RFC 1035), which may change."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, opened = self.request
            end = query.index(b"\0", 12)
            labels, place = [], 12
            while place < end:
                labels.append(query[place + 1 : place + 1 + query[place]].decode())
                place += 1 + query[place]
            found = names.get(".".join(labels), []) if query[end + 2] == 1 else []
            code = b"\x81\x80" if ".".join(labels) in names else b"\x81\x83"
            head = query[:2] + code + b"\0\1" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
            records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in found)
            opened.sendto(head + query[12 : end + 5] + records, self.client_address)

    with socketserver.ThreadingUDPServer((address, port), Answering) as server, serving(server):
        yield server.server_address[1]


def test_the_containers_configuration_is_valid(tmp_path: Path) -> None:
    """docker/nginx.conf by itself; what it includes is tried above."""
    program, module = run.find_nginx()
    text = replaced((run.SHIPPED / "docker" / "nginx.conf").read_text(), "/tmp", str(tmp_path))  # noqa: S108 (its own)
    text = replaced(text, "modules/ngx_http_js_module.so", str(module))
    text = replaced(text, "include /etc/nginx/conf.d/*.conf;", "server { listen 127.0.0.1:1; }")
    (tmp_path / "nginx.conf").write_text(text)
    done = subprocess.run(
        [program, "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, done.stderr


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old} is not in the configuration"
    return text.replace(old, new)


def eventually(holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + run.WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
