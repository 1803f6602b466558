"""A headless Chromium by way of Selenium: what a page does, asks for and complains of."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WAIT_SECONDS = 20
FLAGS = [
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP *.example.com 127.0.0.1, MAP * ~NOTFOUND",
]

# Adds the element, plays it from the start and from `part` of its length on; resolves to what happened.
_PLAY = """
const [kind, url, part, done] = arguments;
const media = document.createElement(kind);
const happens = (name) => new Promise((resolve) => media.addEventListener(name, resolve, {once: true}));
const reaches = async (seconds) => { while (media.currentTime < seconds) await happens('timeupdate'); };
media.addEventListener('error', () => done({error: media.error.message}));
(async () => {
  media.src = url;
  document.body.append(media);
  await happens('loadedmetadata');
  await media.play();
  await reaches(0.1);
  const target = media.duration * part;
  media.currentTime = target;
  await happens('seeked');
  const sought = media.currentTime;
  await reaches(target + 0.1);
  const played = [...Array(media.played.length).keys()].map((i) => [media.played.start(i), media.played.end(i)]);
  done({duration: media.duration, sought, now: media.currentTime, played, width: media.videoWidth || 0});
  media.pause();
  media.removeAttribute('src');
  media.load();
})().catch((error) => done({error: String(error)}));
"""
_SHOW = """
const [url, done] = arguments;
const image = new Image();
image.onload = () => done([image.naturalWidth, image.naturalHeight]);
image.onerror = () => done(null);
image.src = url;
document.body.append(image);
"""


class Browser:
    """One window. What it asked for and complained of is told once, since the last telling."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        driver.set_page_load_timeout(WAIT_SECONDS)
        driver.set_script_timeout(WAIT_SECONDS)

    def open(self, url: str) -> None:
        """Opens the page, and forgets what was before."""
        self._driver.get("about:blank")
        self.complaints()
        self.requests()
        self._driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """The value that the script returns."""
        return self._driver.execute_script(script, *arguments)

    def play(self, kind: str, url: str, part: float) -> dict[str, Any]:
        """Plays an ``audio`` or ``video`` at its beginning and from `part` of it on, and says how that went."""
        return dict(self._driver.execute_async_script(_PLAY, kind, url, part))

    def show(self, url: str) -> list[int] | None:
        """Width and height of the picture; None where it is not shown."""
        return self._driver.execute_async_script(_SHOW, url)

    def colours(self) -> dict[tuple[int, int, int], int]:
        """How many pixels of the window have which colour."""
        picture = Image.open(BytesIO(self._driver.get_screenshot_as_png())).convert("RGB")
        return {colour: count for count, colour in picture.getcolors(picture.width * picture.height)}

    def eventually(self, holds: Callable[[], object]) -> bool:
        """Whether it comes to hold within some seconds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def complaints(self) -> list[str]:
        """What the console says: errors of scripts, of the network and of the Content-Security-Policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The URLs that were asked for."""
        return [event["request"]["url"] for event in self._network("requestWillBeSent")]

    def ranges(self) -> list[str]:
        """The Content-Range of each part of a file that came."""
        answers = [event["response"] for event in self._network("responseReceived")]
        return [answer["headers"]["Content-Range"] for answer in answers if answer["status"] == 206]

    def _network(self, kind: str) -> list[dict[str, Any]]:
        messages = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        events = [message["params"] for message in messages if message["method"] == f"Network.{kind}"]
        return [event for event in events if (event.get("request") or event["response"])["url"].startswith("http")]


@contextmanager
def chromium(program: str, driver: str, profile: Path) -> Iterator[Browser]:
    """A Chromium with a new profile. Hosts of example.org and example.com are this machine; there are no others."""
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=Service(driver)) as started:
        yield Browser(started)
