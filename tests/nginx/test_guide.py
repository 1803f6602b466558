"""The integration guide's own nginx configuration works with the Library Server as it stands."""

import json
from pathlib import Path

import pytest

from tests.nginx.cases import CASES
from tests.nginx.conftest import Library
from tests.nginx.servers import Server

TOO_LARGE_FOR_THE_GUIDE = 1024 * 1024 + 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", CASES)
def test_files_come_as_from_gunicorn(library: Library, plain: Server, guided: Server, name: str, method: str) -> None:
    headers, get_status, head_status = CASES[name]
    wanted = plain.ask("/content/audio/song.mp3", headers | library.reader, method)
    assert wanted.status == (get_status if method == "GET" else head_status)
    assert guided.ask("/content/audio/song.mp3", headers | library.reader, method) == wanted


@pytest.mark.parametrize(
    "target",
    [
        *("/content", "/content/", "/content?per_page=2", "/content/1", "/content/subjects", "/content/999999"),
        *("/content/audio/missing.mp3", "/content/1/download", "/assets/images/logo.svg", "/assets/missing.css"),
        *("/api/content/openapi.json", "/api/content/docs", "/api/content/health/live", "/api/content/missing"),
    ],
)
def test_what_is_ours_is_routed_to_us(library: Library, plain: Server, guided: Server, target: str) -> None:
    wanted = plain.ask(target, library.editor)
    assert (wanted.status, guided.ask(target, library.editor)) == (wanted.status, wanted)
    assert not wanted.body.startswith(b"backend")


@pytest.mark.parametrize("target", ["/", "/parent/login", "/health", "/download/1", "/upload", "/_library/content/x"])
def test_all_else_is_routed_to_the_backend(guided: Server, target: str) -> None:
    assert guided.ask(target).body == f"backend {target}".encode()


def test_a_signed_link_works(library: Library, guided: Server) -> None:
    link = library.links(guided)["audio/song.mp3"]
    assert link.startswith("/content/audio/song.mp3?expires=")
    assert guided.ask(link).status == 200
    assert guided.ask(link[:-1]).status == 403


def test_an_item_is_made_and_changed(library: Library, guided: Server) -> None:
    draft = {"content_type": "game", "subject_area": "music", "age_range": "all", "title": "Through nginx"}
    headers = library.editor | {"Content-Type": "application/json"}
    made = guided.ask("/content", headers, "POST", json.dumps(draft).encode())
    assert made.status == 201
    where = made.header("Location")
    assert where
    path = where.partition("://")[2].partition("/")[1:]
    assert guided.ask("".join(path) or where, headers, "PATCH", b'{"title": "Changed"}').status == 200


def test_a_small_upload_arrives(library: Library, guided: Server) -> None:
    answer = guided.ask("/api/content/upload", *library.upload("small.txt", b"through the guide's nginx"))
    assert answer.status == 201
    assert guided.ask(json.loads(answer.body)["access_url"]).body == b"through the guide's nginx"


def test_nginx_itself_refuses_uploads_past_its_default_of_1_mib(library: Library, guided: Server) -> None:
    answer = guided.ask("/api/content/upload", *library.upload("large.txt", b"x" * TOO_LARGE_FOR_THE_GUIDE))
    assert (answer.status, answer.header("Content-Type")) == (413, "text/html")


def test_the_configuration_is_the_guides_own() -> None:
    text = (Path(__file__).parent / "guide.conf").read_text()
    assert "location ~ ^/(content|assets|api/content) {\n        proxy_pass http://library_server;\n" in text
    assert text.count("proxy_set_header") == 4
