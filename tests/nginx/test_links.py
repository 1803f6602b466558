"""Signed links that nginx checks itself: what it sends without Python, and what it leaves to Python."""

import hashlib
import hmac
import json
import stat
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.nginx import servers as run
from tests.nginx.cases import CASES, SENT_ALONE, SONG
from tests.nginx.conftest import HASHED, MEDIA, ODD_NAMES, Library, our_config
from tests.nginx.servers import Answer, Server

# A 304 has no body, so its other headers matter little; nginx and Flask leave out different ones.
MAY_DIFFER_IN_304 = {"accept-ranges", "content-security-policy", "cross-origin-resource-policy", "last-modified"}
# nginx wants tag and date to match where both are sent, and else sends the file again.
SENT_AGAIN = "the tag wins over the date"
HOUR = 3600


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", CASES)
def test_nginx_alone_sends_what_gunicorn_would_send(
    library: Library, plain: Server, alone: Server, name: str, method: str
) -> None:
    link, headers = library.links(plain)["audio/song.mp3"], CASES[name][0]
    found = alone.ask(link, headers, method)
    if name not in SENT_ALONE[method]:
        assert found.status == 503
    elif name == SENT_AGAIN:
        assert found.status == 200
    else:
        assert essence(found) == essence(plain.ask(link, headers, method))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", [name for name in CASES if name != SENT_AGAIN])
def test_with_gunicorn_behind_it_every_answer_is_the_same(
    library: Library, plain: Server, shipped: Server, name: str, method: str
) -> None:
    link, headers = library.links(plain)["audio/song.mp3"], CASES[name][0]
    assert essence(shipped.ask(link, headers, method)) == essence(plain.ask(link, headers, method))


@pytest.mark.parametrize("path", ["audio/song.mp3", HASHED, *MEDIA, *ODD_NAMES])
def test_every_name_and_type_is_sent_as_by_gunicorn(library: Library, plain: Server, alone: Server, path: str) -> None:
    link = f"/content/{quote(path)}?{library.signed(path)}"
    wanted = plain.ask(link)
    assert (wanted.status, wanted.body) == (200, SONG)
    assert alone.ask(link) == wanted


def test_a_name_with_its_digest_is_immutable_and_others_are_not(library: Library, alone: Server) -> None:
    for path, caching in ((HASHED, "private, max-age=31536000, immutable"), ("audio/song.mp3", "private, no-cache")):
        assert alone.ask(f"/content/{path}?{library.signed(path)}").header("Cache-Control") == caching


def test_the_catalogues_links_are_those_that_nginx_knows(library: Library, plain: Server, alone: Server) -> None:
    links = library.links(plain)
    sent = {path for path, link in links.items() if alone.ask(link).status == 200}
    assert sent == {"audio/song.mp3", HASHED, *ODD_NAMES}


def test_other_parameters_do_not_matter(library: Library, alone: Server) -> None:
    assert alone.ask(f"/content/audio/song.mp3?a=1&{library.signed('audio/song.mp3')}&b").status == 200


def test_a_token_beside_a_good_link_does_not_matter(library: Library, alone: Server) -> None:
    link = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}"
    assert alone.ask(link, {"Authorization": "Bearer nonsense"}).status == 200


def _in(seconds: int) -> int:
    return int(time.time()) + seconds


BAD_LINKS: dict[str, Callable[[Library], str]] = {
    "no query": lambda library: "",
    "empty signature": lambda library: f"?expires={_in(HOUR)}&signature=",
    "no expiry": lambda library: f"?signature={library.signature('audio/song.mp3', _in(HOUR))}",
    "no signature": lambda library: f"?expires={_in(HOUR)}",
    "a digit changed": lambda library: "?" + library.signed("audio/song.mp3")[:-1] + "g",
    "last digit cut": lambda library: "?" + library.signed("audio/song.mp3")[:-1],
    "a digit more": lambda library: "?" + library.signed("audio/song.mp3") + "0",
    "in capitals": lambda library: "?" + library.signed("audio/song.mp3").replace("signature=", "signature=A"),
    "zeros": lambda library: f"?expires={_in(HOUR)}&signature={'0' * 64}",
    "other path": lambda library: "?" + library.signed("audio/other.mp3"),
    "path with a slash before it": lambda library: "?" + library.signed("/audio/song.mp3"),
    "expired": lambda library: "?" + library.signed("audio/song.mp3", _in(-1)),
    "expired long ago": lambda library: "?" + library.signed("audio/song.mp3", 0),
    "expiry put off": lambda library: (
        f"?expires={_in(2 * HOUR)}&signature={library.signature('audio/song.mp3', _in(HOUR))}"
    ),
    "expiry as a decimal": lambda library: "?" + library.signed("audio/song.mp3", f"{_in(HOUR)}.5"),
    "expiry of letters": lambda library: "?" + library.signed("audio/song.mp3", "never"),
    "expiry Infinity": lambda library: "?" + library.signed("audio/song.mp3", "Infinity"),
    "expiry in hex": lambda library: "?" + library.signed("audio/song.mp3", hex(_in(HOUR))),
    "signed for editors, without the word": lambda library: "?" + library.signed("audio/song.mp3", audience="editors"),
    "signed for all, with the word": lambda library: "?" + library.signed("audio/song.mp3") + "&audience=editors",
    "signed with another key": lambda library: f"?expires=2000000000&signature={forged('0' * 64)}",
    "signed with no key": lambda library: f"?expires=2000000000&signature={forged('')}",
}


@pytest.mark.parametrize("name", [name for name in BAD_LINKS if not name.startswith("expiry ")])
def test_a_bad_link_is_refused_by_python_in_its_own_words(
    library: Library, plain: Server, shipped: Server, alone: Server, name: str
) -> None:
    target = "/content/audio/song.mp3" + BAD_LINKS[name](library)
    assert alone.ask(target).status == 503
    answer = shipped.ask(target)
    assert answer.status in (401, 403)
    assert answer == plain.ask(target)
    if "expired" in name:
        assert json.loads(answer.body) == {"message": "Link has expired"}


@pytest.mark.parametrize("name", [name for name in BAD_LINKS if name.startswith("expiry ")])
def test_an_odd_expiry_is_not_nginx_to_judge(library: Library, alone: Server, name: str) -> None:
    assert alone.ask("/content/audio/song.mp3" + BAD_LINKS[name](library)).status == 503


@pytest.mark.parametrize("twice", ["expires", "signature", "audience"])
def test_a_parameter_given_twice_is_left_to_python(
    library: Library, plain: Server, shipped: Server, alone: Server, twice: str
) -> None:
    target = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}&{twice}=1&{twice}=2"
    assert alone.ask(target).status == 503
    assert shipped.ask(target) == plain.ask(target)


def test_a_link_for_editors_is_left_to_python(library: Library, plain: Server, shipped: Server, alone: Server) -> None:
    link = library.links(shipped, active="false")["audio/retired.mp3"]
    assert link.endswith("&audience=editors")
    assert alone.ask(link).status == 503
    assert shipped.ask(link) == plain.ask(link)
    assert shipped.ask(link).body == SONG


def test_a_retired_items_link_lasts_until_it_expires_where_nginx_checks_it(
    library: Library, plain: Server, shipped: Server
) -> None:
    link = f"/content/audio/retired.mp3?{library.signed('audio/retired.mp3')}"
    assert shipped.ask(link).status == 200
    assert plain.ask(link).status == 404
    expired = f"/content/audio/retired.mp3?{library.signed('audio/retired.mp3', int(time.time()) - 1)}"
    assert shipped.ask(expired).status == 403


@pytest.mark.parametrize("path", ["video/film.mp4", "documents/notes.txt", "audio/LOUD.MP3"])
def test_other_types_are_left_to_python(library: Library, shipped: Server, alone: Server, path: str) -> None:
    link = f"/content/{path}?{library.signed(path)}"
    assert alone.ask(link).status == 503
    assert shipped.ask(link).body == SONG


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        ("audio//song.mp3", "audio/song.mp3"),
        ("./audio/song.mp3", "audio/song.mp3"),
        ("images/../audio/song.mp3", "audio/song.mp3"),
        ("images/%2e%2e/audio/song.mp3", "audio/song.mp3"),
        ("audio/song%2emp3/", "audio/song.mp3/"),
        ("audio/.hidden.mp3", "audio/.hidden.mp3"),
        (".hidden/song.mp3", ".hidden/song.mp3"),
        ("audio/out.mp3", "audio/out.mp3"),
        ("outside/secret.mp3", "outside/secret.mp3"),
        ("audio/gone.mp3", "audio/gone.mp3"),
        ("audio/folder.mp3", "audio/folder.mp3"),
        ("audio/%ff.mp3", "audio/\udcff.mp3"),
        ("audio/a%0ab.mp3", "audio/a\nb.mp3"),
        ("audio/c%3ad.mp3", "audio/c:d.mp3"),
    ],
)
def test_odd_paths_are_left_to_python_however_well_signed(
    library: Library, plain: Server, shipped: Server, alone: Server, spelling: str, path: str
) -> None:
    target = f"/content/{spelling}?{library.signed(path)}"
    assert alone.ask(target).status == 503
    answer = shipped.ask(target)
    assert answer.status in (400, 403, 404)
    assert b"outside" not in answer.body
    assert answer == plain.ask(target)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_left_to_python(
    library: Library, plain: Server, shipped: Server, alone: Server, method: str
) -> None:
    link = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}"
    assert alone.ask(link, method=method).status == 503
    assert shipped.ask(link, method=method) == plain.ask(link, method=method)


def test_gunicorn_is_not_asked_for_a_good_link(library: Library, accelerated: Server, shipped: Server) -> None:
    assert shipped.ask("/content/images/before").status == 401
    accelerated.last_line("GET /content/images/before")  # what was asked before is in the log now
    before = accelerated.lines()
    link = f"/content/audio/song.mp3?{library.signed('audio/song.mp3')}"
    assert [shipped.ask(link).status for _ in range(20)] == [200] * 20
    assert shipped.ask("/content/audio/song.mp3?barrier").status == 401
    assert accelerated.last_line("GET /content/audio/song.mp3").endswith(" 401 45")
    assert len(accelerated.lines()) == len(before) + 1


def test_only_the_owner_may_read_the_key_and_nothing_tells_it(library: Library, shipped: Server, alone: Server) -> None:
    assert stat.S_IMODE(library.key.stat().st_mode) == 0o600
    for log in library.logs.rglob("*.log"):
        assert library.secret not in log.read_text()


@pytest.mark.parametrize("content", ['""', '"abc"', '{"key": "abc"}', "null"])
def test_a_key_that_is_none_approves_nothing(library: Library, backend_port: int, content: str) -> None:
    key = library.logs / "bad-key.json"
    key.write_text(content)
    with run.nobody_listens() as port, run.nginx(our_config(library, port, backend_port, key), library.logs) as nginx:
        signature = forged(content.strip('"'))
        assert nginx.ask(f"/content/audio/song.mp3?expires=2000000000&signature={signature}").status == 503


def test_without_a_key_nginx_does_not_start(library: Library, backend_port: int) -> None:
    config = our_config(library, 1, backend_port, library.logs / "missing.json")
    with pytest.raises(AssertionError), run.nginx(config, library.logs):
        pass


def test_no_log_holds_a_signature(library: Library, shipped: Server) -> None:
    good = f"expires={_in(HOUR)}&signature={library.signature('audio/song.mp3', _in(HOUR))}"
    referer = {"Referer": f"http://127.0.0.1/content/audio/song.mp3?{good}"}
    for target in ("audio/song.mp3", "audio/gone.mp3", "video/film.mp4", "audio/song.mp3%00", "../x", "audio/out.mp3"):
        shipped.ask(f"/content/{target}?{good}", referer)
    shipped.ask(f"/assets/images/logo.svg?{good}", referer)
    shipped.ask(f"/_library/content/audio/song.mp3?{good}", referer)
    shipped.ask(f"/api/content/upload?{good}", referer, "POST")
    logged = shipped.log.read_text()
    assert 'GET /content/audio/song.mp3 HTTP/1.1" 200' in logged
    assert 'GET /content/audio/gone.mp3 HTTP/1.1" 404' in logged
    assert "signature" not in logged
    assert "expires" not in logged


def essence(answer: Answer) -> Answer:
    """The answer without what may differ in a 304."""
    if answer.status != 304:
        return answer
    kept = [(name, value) for name, value in answer.headers if name not in MAY_DIFFER_IN_304]
    return Answer(304, kept, answer.body)


def forged(key: str) -> str:
    """The signature that `key` gives the song until the year 2033."""
    return hmac.new(key.encode(), b"all\n2000000000\naudio/song.mp3", hashlib.sha256).hexdigest()
