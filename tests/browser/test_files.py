"""A browser plays, seeks, shows and opens the library's files by their signed links, and runs none of them."""

import json
import struct
from pathlib import Path

import pytest

from library_server.lib.media_types import CONTENT_TYPES
from tests.browser.chromium import Browser
from tests.nginx.conftest import Library
from tests.nginx.servers import Server

PLAYER = "document.querySelector('video, audio')"
HEADING_OF_THE_REPORT = (122, 79, 176)
ATTACK = b"<!doctype html><title>Attack</title><script>document.title='It ran'</script><img src=x onerror=alert(1)>"
ATTACK_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>Attack</title>'
    b"<script>document.title='It ran'</script><rect width='9' height='9'/></svg>"
)


@pytest.mark.parametrize(
    ("kind", "path", "seconds"),
    [
        ("audio", "audio/the-lost-mitten-story.mp3", 90),
        ("audio", "audio/twinkle-melody.wav", 21),
        ("video", "video/counting-dots.webm", 17),
        ("video", "video/moon-phases.mp4", 18),
    ],
)
def test_audio_and_video_play_and_can_be_sought(
    browser: Browser, sample: Library, server: Server, home: str, app_page: str, kind: str, path: str, seconds: float
) -> None:
    browser.open(app_page)
    told = browser.play(kind, home + sample.links(server)[path], 0.8)
    assert "error" not in told
    assert told["duration"] == pytest.approx(seconds, abs=1)
    assert told["sought"] == pytest.approx(0.8 * told["duration"], abs=0.5)
    assert [round(start / told["duration"], 1) for start, _ in told["played"]] == [0, 0.8]
    assert (told["width"] > 0) == (kind == "video")
    assert browser.complaints() == []


def test_a_long_recording_is_played_from_the_middle_before_it_has_been_loaded(
    browser: Browser, sample: Library, server: Server, home: str, app_page: str
) -> None:
    size = write_silence(sample.content / "audio" / "silence.wav", 600)
    browser.open(app_page)
    told = browser.play("audio", f"{home}/content/audio/silence.wav?{sample.signed('audio/silence.wav')}", 0.9)
    assert "error" not in told
    assert told["sought"] == pytest.approx(540, abs=1)
    starts = [int(part.removeprefix("bytes ").split("-")[0]) for part in browser.ranges()]
    assert starts[0] == 0
    assert any(start > 0.8 * size for start in starts)


@pytest.mark.parametrize("path", ["images/clock-face.png", "images/colour-wheel.jpg", "images/frog-jumps.gif"])
def test_pictures_show(browser: Browser, sample: Library, server: Server, home: str, app_page: str, path: str) -> None:
    browser.open(app_page)
    width, height = browser.show(home + sample.links(server)[path]) or (0, 0)
    assert min(width, height) > 100
    assert browser.complaints() == []


def test_a_picture_opens_as_a_page(browser: Browser, sample: Library, server: Server, home: str) -> None:
    browser.open(home + sample.links(server)["images/clock-face.png"])
    assert browser.run("return document.images[0].naturalWidth") > 100
    assert browser.run("return document.contentType") == "image/png"


@pytest.mark.parametrize("path", ["video/counting-dots.webm", "audio/counting-to-twenty.mp3"])
def test_audio_and_video_open_as_a_page(
    browser: Browser, sample: Library, server: Server, home: str, path: str
) -> None:
    browser.open(home + sample.links(server)[path])
    assert browser.run(f"{PLAYER}.play()") is None
    assert browser.eventually(lambda: browser.run(f"return {PLAYER}.currentTime > 0.1"))


def test_a_pdf_opens(browser: Browser, sample: Library, server: Server, home: str) -> None:
    browser.open(home + sample.links(server)["documents/experiment-report-sheet.pdf"])
    assert browser.run("return document.contentType") == "application/pdf"
    assert browser.eventually(lambda: browser.colours().get(HEADING_OF_THE_REPORT, 0) > 1000)


def test_a_text_opens(browser: Browser, sample: Library, server: Server, home: str) -> None:
    browser.open(home + sample.links(server)["documents/the-lost-mitten.txt"])
    assert browser.run("return [document.contentType, document.characterSet]") == ["text/plain", "UTF-8"]
    text = (sample.content / "documents" / "the-lost-mitten.txt").read_text()
    assert browser.run("return document.body.innerText").split() == text.split()


def test_an_uploaded_text_with_html_in_it_is_only_text(
    browser: Browser, sample: Library, server: Server, home: str
) -> None:
    answer = server.ask("/api/content/upload", *sample.upload("attack.txt", ATTACK))
    browser.open(home + json.loads(answer.body)["access_url"])
    assert browser.run("return [document.title, document.scripts.length, document.images.length]") == ["", 0, 0]
    assert browser.run("return document.body.innerText").encode() == ATTACK
    assert len([url for url in browser.requests() if "favicon" not in url]) == 1


@pytest.mark.parametrize("extension", sorted(CONTENT_TYPES))
def test_html_runs_under_no_name(browser: Browser, sample: Library, server: Server, home: str, extension: str) -> None:
    path = f"documents/attack.{extension}"
    (sample.content / path).write_bytes(ATTACK)
    browser.open(f"{home}/content/{path}?{sample.signed(path)}")
    assert browser.run("return document.title") != "It ran"
    assert browser.run("return document.contentType") != "text/html"


@pytest.mark.parametrize("name", ["attack.html", "attack.xhtml", "attack.htm", "attack", "attack.xml", "attack.js"])
def test_what_has_no_type_is_not_opened_at_all(
    browser: Browser, sample: Library, server: Server, home: str, name: str
) -> None:
    for folder in (sample.content, sample.assets):
        (folder / "images" / name).write_bytes(ATTACK)
    for target in (f"/content/images/{name}?{sample.signed(f'images/{name}')}", f"/assets/images/{name}"):
        browser.open(home + target)
        assert browser.run("return location.href") == "about:blank"  # it was saved instead


def test_an_svg_shows_but_its_script_does_not_run(
    browser: Browser, sample: Library, server: Server, home: str, app_page: str
) -> None:
    (sample.assets / "images" / "attack.svg").write_bytes(ATTACK_SVG)
    browser.open(f"{home}/assets/images/attack.svg")
    assert browser.run("return [document.contentType, document.title]") == ["image/svg+xml", "Attack"]
    browser.open(app_page)
    assert browser.show(f"{home}/assets/images/attack.svg") == [9, 9]


def test_another_site_cannot_embed_content(
    browser: Browser, sample: Library, server: Server, home: str, app_page: str
) -> None:
    browser.open(app_page.replace("example.org", "example.com"))
    assert browser.show(home + sample.links(server)["images/clock-face.png"]) is None
    assert "error" in browser.play("video", home + sample.links(server)["video/counting-dots.webm"], 0.5)


def test_an_expired_link_shows_nothing(
    browser: Browser, sample: Library, server: Server, home: str, app_page: str
) -> None:
    browser.open(app_page)
    path = "images/clock-face.png"
    assert browser.show(f"{home}/content/{path}?{sample.signed(path, 1)}") is None
    assert "error" in browser.play("video", f"{home}/content/video/counting-dots.webm", 0.5)


def write_silence(path: Path, seconds: int) -> int:
    """A WAV of nothing (a sparse file), in CD quality; returns its size."""
    data = seconds * 44_100 * 4
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 44_100, 176_400, 4, 16)
    head = struct.pack("<4sI4s", b"RIFF", data + 36, b"WAVE") + form + struct.pack("<4sI", b"data", data)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + data)
    return len(head) + data
