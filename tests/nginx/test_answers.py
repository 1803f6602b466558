"""Files, uploads and errors through the shipped configuration: answers as from gunicorn, bytes from nginx."""

import hashlib
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.nginx import servers as run
from tests.nginx.cases import CASES, SONG
from tests.nginx.conftest import HASHED, ODD_NAMES, TYPES, Library, our_config, quoted
from tests.nginx.servers import Server

MIB = 1024 * 1024
LARGE = 200 * MIB
JSON = "application/json"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", CASES)
def test_nginx_sends_what_gunicorn_would_send(
    library: Library, plain: Server, shipped: Server, name: str, method: str
) -> None:
    headers, get_status, head_status = CASES[name]
    wanted = plain.ask("/content/audio/song.mp3", headers | library.reader, method)
    assert wanted.status == (get_status if method == "GET" else head_status)
    assert shipped.ask("/content/audio/song.mp3", headers | library.reader, method) == wanted


@pytest.mark.parametrize("name", CASES)
def test_assets_are_sent_likewise(plain: Server, shipped: Server, name: str) -> None:
    headers = CASES[name][0]
    assert shipped.ask("/assets/images/logo.svg", headers) == plain.ask("/assets/images/logo.svg", headers)


@pytest.mark.parametrize(
    "target", [*map(quoted, ["audio/song.mp3", HASHED, *ODD_NAMES, *TYPES]), *(f"/assets/{name}" for name in TYPES)]
)
def test_type_caching_and_protection_are_those_of_gunicorn(
    library: Library, plain: Server, shipped: Server, target: str
) -> None:
    wanted = plain.ask(target, library.reader)
    assert (wanted.status, wanted.header("X-Content-Type-Options")) == (200, "nosniff")
    assert shipped.ask(target, library.reader) == wanted


def test_a_download_keeps_its_name(library: Library, plain: Server, shipped: Server) -> None:
    wanted = plain.ask("/content/1/download", library.reader)
    assert (wanted.header("Content-Disposition") or "").startswith('attachment; filename="')
    assert shipped.ask("/content/1/download", library.reader) == wanted


def test_pages_of_other_origins_may_read_what_gunicorn_lets_them_read(
    library: Library, backend_port: int, ways: ExitStack
) -> None:
    settings = library.settings | {"CORS_ORIGINS": "https://app.example.org,https://other.example.org"}
    plain = ways.enter_context(run.gunicorn(settings, library.logs))
    accelerated = ways.enter_context(run.gunicorn(settings | {"USE_X_ACCEL_REDIRECT": "true"}, library.logs))
    shipped = ways.enter_context(run.nginx(our_config(library, accelerated.port, backend_port), library.logs))
    for origin in ("https://other.example.org", "https://elsewhere.example.org"):
        for path in ("1/download", "audio/song.mp3", "video/film.mp4"):
            link = "" if path == "1/download" else f"?{library.signed(path)}"
            for headers, target in ((library.reader, path), ({} if link else library.reader, path + link)):
                asked = (f"/content/{target}", headers | {"Origin": origin})
                wanted = plain.ask(*asked)
                assert wanted.status == 200
                assert (wanted.header("Access-Control-Allow-Origin") == origin) is ("other" in origin)
                assert shipped.ask(*asked) == wanted


def test_what_nginx_could_compress_keeps_its_strong_tag(library: Library, plain: Server, shipped: Server) -> None:
    headers = library.reader | {"Accept-Encoding": "gzip"}
    assert shipped.ask("/content/documents/notes.txt", headers) == plain.ask("/content/documents/notes.txt", headers)
    assert shipped.ask("/content", headers).header("Content-Encoding") == "gzip"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-9"}], ids=["whole", "range"])
def test_the_bytes_do_not_pass_through_gunicorn(
    library: Library, accelerated: Server, shipped: Server, headers: dict[str, str]
) -> None:
    assert shipped.ask("/content/video/film.mp4", headers | library.reader).status in (200, 206)
    assert accelerated.last_line("GET /content/video/film.mp4").endswith("200 0")


@pytest.mark.parametrize("path", ["/content/video/film.mp4", "/content/video/none.mp4", "/content/1"])
def test_the_id_of_a_request_comes_back_through_nginx(library: Library, shipped: Server, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shipped.port, timeout=20)
    connection.request("GET", path, headers=library.reader | {"X-Request-ID": "sent-by-the-app"})
    given = connection.getresponse().getheader("X-Request-ID")
    assert given is not None and re.fullmatch("[0-9a-f]{32}", given)  # nginx's, which is in its log too
    connection.close()


def test_a_large_file_arrives_whole(library: Library, shipped: Server) -> None:
    with (library.content / "video" / "large.mp4").open("wb") as file:
        file.truncate(LARGE)
        file.seek(LARGE - 3)
        file.write(b"end")
    connection = http.client.HTTPConnection("127.0.0.1", shipped.port, timeout=20)
    connection.request("GET", "/content/video/large.mp4", headers=library.reader)
    response, size, last = connection.getresponse(), 0, b""
    while data := response.read(MIB):
        size, last = size + len(data), data
    connection.close()
    assert (response.status, size, last[-3:]) == (200, LARGE, b"end")
    tail = shipped.ask("/content/video/large.mp4", library.reader | {"Range": f"bytes={LARGE - 3}-"})
    assert (tail.status, tail.body) == (206, b"end")


@pytest.mark.parametrize(
    "target",
    [
        "/_library/content/audio/song.mp3",
        "/_library/assets/images/logo.svg",
        "/_library/content/",
        "/_library/",
        "/_library//content/audio/song.mp3",
        "//_library/content/audio/song.mp3",
        "/%5Flibrary/content/audio/song.mp3",
        "/content/../_library/content/audio/song.mp3",
        "/content/%2e%2e/_library/content/audio/song.mp3",
        "/assets/..%2f_library%2fcontent/audio/song.mp3",
        "/_library/content/../content/audio/song.mp3",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_internal_locations_are_not_reachable(shipped: Server, library: Library, target: str, method: str) -> None:
    answer = shipped.ask(target, library.editor, method)
    assert answer.status in (404, 405)
    assert SONG not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/content/../secret.mp3",
        "/content/%2e%2e/secret.mp3",
        "/content/%2e%2e%2fsecret.mp3",
        "/content/audio/..%2f..%2fsecret.mp3",
        "/content/audio/%2e%2e/%2e%2e/secret.mp3",
        "/content/..%5csecret.mp3",
        "/content/%252e%252e%252fsecret.mp3",
        "/content/%c0%ae%c0%ae/secret.mp3",
        "/content/audio/out.mp3",
        "/content/outside/secret.mp3",
        "/content//audio/song.mp3",
        "/content/audio//song.mp3",
        "/content/./audio/song.mp3",
        "/content/audio/song.mp3/",
        "/content/audio/song.mp3%00",
        "/content/audio/song.mp3%00.png",
        "/content/audio/song.mp3%0d%0aX-Accel-Redirect:%20/_library/content/audio/song.mp3",
        "/content/.hidden.mp3",
        "/assets/../content/audio/song.mp3",
        "/assets/%2e%2e%2fcontent%2faudio%2fsong.mp3",
        "/assets/..%2fsecret.mp3",
        "/content/" + "a" * 3000 + ".mp3",
    ],
    ids=lambda target: target[:60],
)
def test_hostile_paths_reach_no_file(library: Library, shipped: Server, target: str) -> None:
    answer = shipped.ask(target, library.editor)
    if not answer.body.startswith(b"backend /"):  # nginx reads it as a path that is not ours
        assert answer.status in (400, 404)
    if answer.status == 404:
        assert set(json.loads(answer.body)) == {"message"}
    assert b"outside" not in answer.body
    assert SONG not in answer.body


@pytest.mark.parametrize(
    "headers", [{"X-Accel-Redirect": "/_library/content/audio/song.mp3"}, {"X-Original-URL": "/_library/content/"}]
)
def test_a_client_cannot_redirect_by_header(shipped: Server, headers: dict[str, str]) -> None:
    assert shipped.ask("/content/audio/song.mp3", headers).status == 401


def test_a_retired_items_file_is_gone_for_readers(library: Library, plain: Server, shipped: Server) -> None:
    answer = shipped.ask("/content/audio/retired.mp3", library.reader)
    assert (answer.status, json.loads(answer.body)["message"]) == (404, "Content file not found")
    assert answer == plain.ask("/content/audio/retired.mp3", library.reader)
    assert shipped.ask("/content/audio/retired.mp3", library.editor).body == SONG


def test_the_catalogue_and_the_backend_are_routed_as_in_the_guide(library: Library, shipped: Server) -> None:
    assert json.loads(shipped.ask("/content/", library.reader).body)["pagination"]["page"] == 1
    assert shipped.ask("/api/content/docs").status == 200
    assert shipped.ask("/parent/login").body == b"backend /parent/login"


def test_an_upload_of_some_mebibytes_arrives(library: Library, shipped: Server) -> None:
    data = os.urandom(2 * MIB).hex().encode()
    answer = shipped.ask("/api/content/upload/", *library.upload("notes.txt", data))
    stored = json.loads(answer.body)
    assert (answer.status, stored["sha256"]) == (201, hashlib.sha256(data).hexdigest())
    assert shipped.ask(stored["access_url"]).body == data


def test_an_upload_is_written_while_it_arrives(library: Library, shipped: Server) -> None:
    headers, _, body = library.upload("slow.txt", b"s" * (3 * MIB))
    with half_sent(shipped, headers, body) as sent:
        assert eventually(lambda: uploads_in(library))
        sent.sendall(body[len(body) // 2 :])
        assert sent.makefile("rb").readline().split()[1] == b"201"
    assert eventually(lambda: not uploads_in(library))


def test_an_upload_that_breaks_off_leaves_nothing(library: Library, shipped: Server) -> None:
    headers, _, body = library.upload("broken.txt", b"b" * (3 * MIB))
    with half_sent(shipped, headers, body):
        assert eventually(lambda: uploads_in(library))
    assert eventually(lambda: not uploads_in(library))
    assert not list((library.content / "documents").glob("broken*"))


@pytest.mark.parametrize(
    ("target", "size", "message"),
    [
        ("/api/content/upload", 101 * MIB + 1, "File too large"),
        ("/api/content/upload/", 101 * MIB + 1, "File too large"),
        ("/content", 8 * MIB + 1, "Request body too large"),
    ],
)
def test_too_much_is_refused_in_json(library: Library, shipped: Server, target: str, size: int, message: str) -> None:
    headers = library.editor | {"Content-Type": JSON, "Content-Length": str(size)}
    answer = shipped.ask(target, headers, "POST")
    assert (answer.status, answer.header("Content-Type"), json.loads(answer.body)) == (413, JSON, {"message": message})


@pytest.mark.parametrize(
    ("target", "size", "kind"),
    [("/api/content/upload", 101 * MIB, "multipart/form-data; boundary=b"), ("/content", 8 * MIB, JSON)],
)
def test_what_gunicorn_takes_is_not_refused_by_nginx(
    library: Library, shipped: Server, target: str, size: int, kind: str
) -> None:
    headers = library.editor | {"Content-Type": kind, "Content-Length": str(size)}
    with half_sent(shipped, headers, b"--b\r\n", target) as sent:
        sent.settimeout(0.5)
        with pytest.raises(TimeoutError):  # it waits for the rest
            sent.recv(1)


@pytest.mark.parametrize("path", ["audio/out.mp3", "outside/secret.mp3", "../secret.mp3"])
def test_nginx_leaves_its_folder_for_nobody(library: Library, backend_port: int, path: str) -> None:
    with obedient_nginx(library, backend_port) as nginx:
        assert nginx.ask(f"/content/{path}", {"X-Path": f"/_library/content/{path}"}).status in (403, 404, 500)


@pytest.mark.parametrize(("tree", "message"), [("content", "Content"), ("assets", "Asset")])
def test_a_file_that_nginx_does_not_find_or_may_not_read_is_missed_in_json(
    library: Library, backend_port: int, tree: str, message: str
) -> None:
    folder = library.content if tree == "content" else library.assets
    (secret := folder / "secret.txt").write_text("for root alone")
    secret.chmod(0o000 if os.geteuid() else 0o600)
    try:
        with obedient_nginx(library, backend_port) as nginx:
            answers = [
                nginx.ask("/content/x", {"X-Path": f"/_library/{tree}/{name}.txt"}) for name in ("gone", "secret")
            ]
    finally:
        secret.unlink()
    for answer in answers:
        assert (answer.status, answer.header("Content-Type")) == (404, JSON)
        assert json.loads(answer.body) == {"message": f"{message} file not found"}


def test_a_body_for_what_nginx_answers_itself_is_refused_in_json(library: Library, shipped: Server) -> None:
    """A link's path; to it nothing can be sent, however large."""
    target = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}"
    answer = shipped.ask(target, method="POST", body=bytes(2 * MIB))
    assert (answer.status, answer.header("Content-Type")) == (405, JSON)
    with half_sent(shipped, {"Content-Length": str(9 * MIB)}, b"", target) as sent:
        assert sent.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_what_is_too_long_or_malformed_is_refused_in_json(shipped: Server) -> None:
    for target, headers, status in (
        (f"/content?q={'x' * 9000}", {}, 414),
        ("/content", {"X-Long": "x" * 9000}, 400),
        ("/content", {"Host": "a b"}, 400),
    ):
        answer = shipped.ask(target, headers)
        assert (answer.status, answer.header("Content-Type")) == (status, JSON)
        assert json.loads(answer.body)["message"]


def test_nginx_guesses_no_type(library: Library, backend_port: int) -> None:
    with obedient_nginx(library, backend_port) as nginx:
        answer = nginx.ask("/content/x", {"X-Path": "/_library/content/images/all.html"})
    assert (answer.status, answer.body, answer.header("Content-Type")) == (200, SONG, "application/octet-stream")


@pytest.mark.parametrize("target", ["/content", "/content/audio/song.mp3", "/api/content/upload", "/assets/x.css"])
def test_while_gunicorn_is_away_the_answer_is_json(alone: Server, target: str) -> None:
    answer = alone.ask(target)
    assert (answer.status, answer.header("Content-Type"), answer.header("Retry-After")) == (503, JSON, "5")
    assert "unavailable" in json.loads(answer.body)["message"]


def test_nginx_has_nothing_to_say_of_the_configuration(library: Library, backend_port: int) -> None:
    with run.nobody_listens() as port, run.nginx(our_config(library, port, backend_port), library.logs) as nginx:
        assert nginx.errors.read_text() == ""


@contextmanager
def obedient_nginx(library: Library, backend_port: int) -> Iterator[Server]:
    """Our nginx before a stand-in for gunicorn that redirects to whatever path the request names."""
    with run.backend() as port, run.nginx(our_config(library, port, backend_port), library.logs) as nginx:
        yield nginx


def half_sent(
    server: Server, headers: dict[str, str], body: bytes, target: str = "/api/content/upload"
) -> socket.socket:
    """A connection on which a request with the first half of its body has been sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), run.WAIT_SECONDS)
    lines = {"Host": "library", "Content-Length": str(len(body)), "Connection": "close"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sendall(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])
    return connection


def uploads_in(library: Library) -> list[Path]:
    """What waits in the folder of uploads and has bytes."""
    return [path for path in Path(library.settings["UPLOADS_STORAGE_PATH"]).glob("*") if path.stat().st_size]


def eventually(holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + run.WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
