"""Files through a real nginx with the shipped configuration, in front of a real gunicorn, beside nginx's own.

Run: ``python -m bench.files [rows]``; needs wrk, nginx and njs (Debian: wrk nginx-light libnginx-mod-http-js).

One nginx has all the ways, so all share its settings and its access log: a plain location (static), signed links that
nginx checks itself, X-Accel-Redirect, and a location that passes on to the bare reference. Only the limits of how often
one address may ask are raised, nginx's and the server's, because all of the load comes from one.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
import psycopg2
from flask import Flask

from bench.harness import SECRET, Case, Options, Want
from bench.search import prepare
from bench.serving import PLENTY, THREADS, WORKERS, gunicorn
from library_server import create_app
from library_server.dev import embedded
from library_server.web.links import file_url, link_key
from tests.nginx.servers import nginx, shipped_config

CONNECTIONS = 16
MIB = 1024 * 1024
NEEDED = "wrk, nginx and its njs module are needed: apt-get install wrk nginx-light libnginx-mod-http-js"
# nginx checks links to .mp3 by itself; for .mp4 it asks the server.
SIZES = {"100 KB": 100 * 1024, "50 MB": 50 * MIB}
BARE = "upstream bare {{ server 127.0.0.1:{bare}; keepalive 16; }}"
PLAIN = """
    location = /bare {{ proxy_pass http://bare/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location /static/ {{ alias {content}/; types {{ audio/mpeg mp3; }} }}
"""
Ways = Mapping[str, tuple[str, str]]  # name: URL, and the Authorization header


def main(rows: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder:
        for case in cases(Options(Path(folder), rows)):
            print(case, flush=True)


def cases(given: Options) -> Iterator[Case]:
    """Small files in requests a second, large ones in MB a second. Raises SystemExit where a program is missing."""
    if not shutil.which("wrk") or not shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        raise SystemExit(NEEDED)
    with contextlib.ExitStack() as stack:
        servers = serve(stack, given)
        small, large = (_ways(name.replace(" ", "-"), servers) for name in SIZES)
        yield _compare(
            "100 KB, signed and checked by nginx",
            {name: small[name] for name in ("nginx static", "signed link, nginx alone")},
            given,
            [Want("signed link, nginx alone", 0.6, "nginx static")],
        )
        yield _compare(
            "100 KB, checked by the server",
            {name: way for name, way in small.items() if name not in ("nginx static", "signed link, nginx alone")},
            given,
            [
                Want("signed link, X-Accel", 0.9, "bare behind the same nginx"),
                Want("signed link, X-Accel", 0.9, "bare"),
            ],
        )
        wants = [Want(name, 0.9, "nginx static") for name in ("signed link, nginx alone", "signed link, X-Accel")]
        ways = {name: large[name] for name in ("nginx static", "signed link, nginx alone", "signed link, X-Accel")}
        yield _compare("50 MB", ways, given, wants, "MB/s")


@dataclass(frozen=True)
class Servers:
    """The folder of everything, and ports: nginx, bare, the server that nginx asks, and one that sends files itself."""

    folder: Path
    nginx: int
    bare: int
    asked: int
    sending: int
    app: Flask


def serve(stack: contextlib.ExitStack, given: Options) -> Servers:
    """Starts everything, until `stack` is closed."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="library-files-")))
    folder.chmod(0o755)  # nginx's workers are somebody else
    content = folder / "content"
    for name, size in SIZES.items():
        for kind in ("mp3", "mp4"):
            _make(content / f"audio/{name.replace(' ', '-')}.{kind}", size)
    postgres = stack.enter_context(embedded.postgres(given.folder, f"bench_{given.rows}", durable=False))
    redis = stack.enter_context(embedded.redis(given.folder))
    settings = {
        "APP_ENV": "production",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": postgres.url,
        "REDIS_URL": redis.url,
        "CONTENT_STORAGE_PATH": str(content),
        "ASSETS_STORAGE_PATH": str(folder / "assets"),
        "UPLOADS_STORAGE_PATH": str(folder / "uploads"),
        "WORKERS": str(WORKERS),
        "THREADS": str(THREADS),
        "MAX_REQUESTS": "0",
        **{f"RATE_LIMIT_{name}": PLENTY for name in ("DEFAULT", "FILES", "UPLOAD", "ANONYMOUS")},
    }
    app = create_app(settings)
    with contextlib.closing(psycopg2.connect(postgres.url)) as connection:
        connection.autocommit = True
        prepare(connection.cursor(), app, given.rows)
    bare = ["--worker-class=gthread", f"--workers={WORKERS}", f"--threads={THREADS}", "--preload", "--config=/dev/null"]
    bare_port = stack.enter_context(gunicorn(settings, [*bare, "bench.references.bare:app"]))
    sending = stack.enter_context(gunicorn(settings, []))
    asked = stack.enter_context(gunicorn(settings | {"USE_X_ACCEL_REDIRECT": "true"}, []))
    with app.app_context():
        (key := folder / "link-key.json").write_text(json.dumps(link_key()))
    return Servers(folder, _nginx(stack, folder, asked, bare_port, key), bare_port, asked, sending, app)


def _make(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    path.chmod(0o644)


def _nginx(stack: contextlib.ExitStack, folder: Path, asked: int, bare: int, key: Path) -> int:
    """The port of nginx."""
    (folder / "assets").mkdir(exist_ok=True)
    shipped = shipped_config(asked, asked, folder / "content", folder / "assets", key)

    def config(port: int, log: Path) -> str:
        text = shipped(port, log).replace("rate=200r/s", "rate=1000000r/s")
        plain = PLAIN.format(content=folder / "content")
        text = text.replace("# Content and file requests go to", f"{plain}# Content and file requests go to", 1)
        return f"{BARE.format(bare=bare)}\n{text}"

    return stack.enter_context(nginx(config, folder, workers="auto")).port


def _ways(name: str, servers: Servers) -> Ways:
    with servers.app.app_context():
        played, shown = file_url(f"audio/{name}.mp3"), file_url(f"audio/{name}.mp4")
    now = int(time.time())
    claims = {"user_id": 1, "user_type": "parent", "sub": "1", "iat": now, "exp": now + 3600}
    token = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    here = f"http://127.0.0.1:{servers.nginx}"
    return {
        "nginx static": (f"{here}/static/audio/{name}.mp3", ""),
        "signed link, nginx alone": (here + played, ""),
        "bare": (f"http://127.0.0.1:{servers.bare}/", ""),
        "bare behind the same nginx": (f"{here}/bare", ""),
        "signed link, X-Accel": (here + shown, ""),
        "token, X-Accel": (f"{here}/content/audio/{name}.mp4", token),
        "signed link, gunicorn": (f"http://127.0.0.1:{servers.sending}" + shown, ""),
    }


def _compare(name: str, ways: Ways, given: Options, wants: Sequence[Want], unit: str = "requests/s") -> Case:
    """Each way asked in turns, after each was asked once to warm up."""
    figures: dict[str, list[float]] = {each: [] for each in ways}
    for number in range(given.rounds + 1):
        for each, (url, token) in ways.items():
            found = _load(url, token, given.seconds if number else 1)[unit]
            if number:
                figures[each].append(found)
    return Case(name, unit, figures, wants)


def _load(url: str, token: str, seconds: int) -> dict[str, float]:
    """Requests and MB (of 10**6 bytes) a second, by `wrk`. Refuses answers that are no success."""
    header = ["-H", f"Authorization: {token}"] if token else []
    load = [str(shutil.which("wrk")), "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=20s", *header, url]
    said = subprocess.run(load, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{url} failed:\n{said}")
    told = re.search(r"(\d+) requests in ([\d.]+)(m?s), ([\d.]+)(KB|MB|GB|TB) read", said)
    assert told
    lasted = float(told[2]) / (1000 if told[3] == "ms" else 1)
    read = float(told[4]) * 1024 ** {"KB": 1, "MB": 2, "GB": 3, "TB": 4}[told[5]]
    return {"requests/s": int(told[1]) / lasted, "MB/s": read / 1e6 / lasted}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else Options.rows)
