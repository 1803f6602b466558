"""A real Chromium, a page to look from, and the sample library, from gunicorn alone and through nginx."""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from library_server.catalog.importing import import_manifest
from library_server.dev.command import SAMPLE
from tests.browser.chromium import Browser, chromium
from tests.nginx.conftest import Library, accelerated, backend_port, library, plain, shipped, ways
from tests.nginx.servers import Server, require

__all__ = ["accelerated", "backend_port", "library", "plain", "shipped", "ways"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    require("chromium chromium-driver", program, driver)
    with chromium(str(program), str(driver), tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="session")
def sample(library: Library, make_app: Callable[..., Flask]) -> Library:
    """The library with the sample's items and files."""
    with make_app(library.settings["DATABASE_URL"], **library.settings).app_context():
        import_manifest(SAMPLE / "manifest.csv", SAMPLE / "files")
    return library


@pytest.fixture(params=["gunicorn", "nginx"])
def server(request: pytest.FixtureRequest, sample: Library) -> Server:
    """Who sends the bytes."""
    return request.getfixturevalue({"gunicorn": "plain", "nginx": "shipped"}[request.param])


@pytest.fixture
def home(server: Server) -> str:
    """The library's address."""
    return f"http://library.example.org:{server.port}"


@pytest.fixture
def app_page(blank_page: int) -> str:
    """A page of the app: on the library's site, but not of its origin."""
    return f"http://app.example.org:{blank_page}/"


@pytest.fixture(scope="session")
def blank_page() -> Iterator[int]:
    """The port of an empty page."""

    class Blank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A page of the app</title><link rel=icon href=data:,><body>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank) as pages:
        thread = threading.Thread(target=pages.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield pages.server_port
        pages.shutdown()
        thread.join()
