"""Which relative paths are plain on every system."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library_server.lib import paths
from tests.lib.hostile_paths import HOSTILE_PATHS

PLAIN_PATHS = [
    *("x", "x.mp3", "audio/itsy-bitsy-spider-3f2a9c1e.mp3", "a/b/c/d/e/f/g", "X.MP3", "0"),
    *("-", "_", "~", "~/x", "$HOME/x"),
    *(
        "a b.mp3",
        "a  b/c d",
        "Ünï cödé/Straße.mp3",
        "日本語/音.mp3",
        "😀.mp3",
        "U\u0308.mp3",
        "שיר.mp3",
        "a\u200db",
        "ﬁ",
    ),
    *("a..b", "a...mp3", "x.tar.gz", "a.b.c", "x..mp3", "x.mp3 (1)", "x,y;z=1&2+3@4!5#6", "(x)", "[x]", "{x}", "'x'"),
    *("%2e%2e/x", "%2e%2e%2fx", "%c0%ae%c0%ae/x", "x%00", "x?y", "x*y", '"x"', "<x>", "x|y", "a^b`c"),
    *("console.mp3", "con-1.mp3", "icon.png", "nullable/x", "com10.txt", "com"),
    *("lpt", "aux2", "printer", "x.con", "x.nul"),
    *("x" * 255, "é" * 127 + "x", "😀" * 63 + "xyz", "x" * 251 + ".mp3", "/".join(["x" * 255] * 20), "a/" * 500 + "b"),
]


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=lambda path: ascii(path)[1:40])
def test_a_plain_path_is_safe(path):
    assert paths.is_safe(path)


@pytest.mark.parametrize("path", HOSTILE_PATHS, ids=lambda path: ascii(path)[1:40])
def test_a_hostile_path_is_not(path):
    assert not paths.is_safe(path)


def test_there_are_more_than_a_hundred_hostile_paths():
    assert len(set(HOSTILE_PATHS)) == len(HOSTILE_PATHS) > 100


segments = st.one_of(
    st.sampled_from(["..", ".", "", "audio", "x.mp3", "con", "..\\", "C:", "\0", " ", "~"]),
    st.text(st.characters(), max_size=8),
    st.text(alphabet="./\\: \tcnoulptx1\0", max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(segments, min_size=1, max_size=4).map("/".join))
def test_a_safe_path_is_the_same_way_down_on_every_system(path):
    if paths.is_safe(path):
        assert "/".join(PurePosixPath("/root", path).parts[2:]) == path
        windows = PureWindowsPath("C:/root", path)
        assert (windows.parts[:2], "/".join(windows.parts[2:])) == (("C:\\", "root"), path)
        assert not {"..", "."} & set(windows.parts)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abcxyz0189-_é日", min_size=1, max_size=60))
def test_letters_digits_and_hyphens_are_always_safe(segment):
    assert paths.is_safe(f"audio/{segment}.mp3")
