"""Names of files: what a browser saves a download as, whatever an editor called the item."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from library_server.lib import filenames
from tests.lib.disposition import parse

SAVED_AS = {  # title: (the name in UTF-8, the name for old clients)
    "The Itsy Bitsy Spider": ("The Itsy Bitsy Spider.mp3", "The Itsy Bitsy Spider.mp3"),
    "Für Elise": ("Für Elise.mp3", "Fur Elise.mp3"),
    "Fu\u0308r Elise": ("Für Elise.mp3", "Fur Elise.mp3"),
    'He said "hi"': ("He said hi.mp3", "He said hi.mp3"),
    "It's 5; o'clock, sir": ("It's 5; o'clock, sir.mp3", "It's 5; o'clock, sir.mp3"),
    "🎵 Song 🎵": ("🎵 Song 🎵.mp3", "Song.mp3"),
    "日本語": ("日本語.mp3", "download.mp3"),
    "🎵": ("🎵.mp3", "download.mp3"),
    "ß": ("ß.mp3", "download.mp3"),
    "a\r\nSet-Cookie: x=1": ("a Set-Cookie x=1.mp3", "a Set-Cookie x=1.mp3"),
    "tab\there\0": ("tab here.mp3", "tab here.mp3"),
    "../../etc/passwd": ("etc passwd.mp3", "etc passwd.mp3"),
    "..\\..\\boot.ini": ("boot.ini.mp3", "boot.ini.mp3"),
    'a/b\\c:d*e?f"g<h>i|j%k': ("a b c d e f g h i j k.mp3", "a b c d e f g h i j k.mp3"),
    "100%25 fun": ("100 25 fun.mp3", "100 25 fun.mp3"),
    ".htaccess": ("htaccess.mp3", "htaccess.mp3"),
    "The end...": ("The end.mp3", "The end.mp3"),
    "  two   blanks  ": ("two blanks.mp3", "two blanks.mp3"),
    "Song.mp3": ("Song.mp3", "Song.mp3"),
    "Song.MP3": ("Song.MP3", "Song.MP3"),
    "Song.mp4": ("Song.mp4.mp3", "Song.mp4.mp3"),
    "": ("download.mp3", "download.mp3"),
    " . . ": ("download.mp3", "download.mp3"),
    '"""': ("download.mp3", "download.mp3"),
    "\ud800": ("download.mp3", "download.mp3"),
    "x" * 500: ("x" * 120 + ".mp3", "x" * 120 + ".mp3"),
    "é" * 500: ("é" * 120 + ".mp3", "e" * 120 + ".mp3"),
}
# NFKD makes ASCII of these; in the name for old clients that would be a quote, a slash, a dot.
LOOK_ALIKES = [
    *("a\uff02; filename=evil.exe", "a\uff0fb\uff3cc", "a\uff1ab\uff0ac\uff1fd", "\uff1ca\uff1e\uff5c", "50\uff05 off"),
    *("\u2025\uff0f\u2025\uff0fetc", "\u2026", "\u2026hidden", "\uff0e\uff0e", "a\u2024", "\ufe6aa\ufe68", "\u2100"),
]
UNSAFE = set('"\\/:*?<>|%') | {chr(code) for code in (*range(32), 127)}

titles = st.text(st.characters()) | st.text(
    st.sampled_from("ab .\"\\/%;='\r\n\t\0*?<>|:üß日🎵\u202e\u200f\ufeff\ud800\uff02\uff0f\uff0e\u2026\u0308")
)
suffixes = st.sampled_from(["mp3", "pdf", "jpeg", "json", "7z", ""])


@pytest.mark.parametrize("title", SAVED_AS, ids=lambda title: ascii(title)[1:30])
def test_a_download_is_saved_under_its_title(title):
    assert parse(filenames.attachment(title, "mp3")) == SAVED_AS[title]


@pytest.mark.parametrize("title", LOOK_ALIKES, ids=ascii)
def test_look_alikes_of_special_characters_are_harmless_in_the_name_for_old_clients(title):
    assert_good(*parse(filenames.attachment(title, "mp3")), "mp3")


@pytest.mark.parametrize("title", ["song\u202e3pm.exe", "\u200fשיר", "\u2067x\u2069", "\u200b\u2060\ufeff"], ids=ascii)
def test_marks_of_direction_break_no_header_and_leave_the_extension_last(title):
    name, plain = parse(filenames.attachment(title, "mp3"))
    assert (name[-4:], plain[-4:]) == (".mp3", ".mp3")
    assert_good(name, plain, "mp3")


@pytest.mark.parametrize("suffix", ['a"b', "a; filename=evil.exe", "m\\p", "mp%33", "日本", "a b", "a\r\nb"], ids=ascii)
def test_an_odd_extension_breaks_no_header(suffix):
    assert_good(*parse(filenames.attachment("Song", suffix)))


def test_a_file_without_an_extension_gets_none():
    assert parse(filenames.attachment("Read me", "")) == ("Read me", "Read me")
    assert parse(filenames.attachment("日本", "")) == ("日本", "download")
    assert parse(filenames.attachment("", "")) == ("download", "download")


def test_a_long_title_is_not_cut_into_a_blank_before_the_extension():
    assert parse(filenames.attachment("x" * 119 + " " + "y" * 50, "mp3")) == ("x" * 119 + ".mp3", "x" * 119 + ".mp3")


@settings(max_examples=400, deadline=None)
@given(titles, suffixes)
@example("\uff02", "mp3")
@example("x" * 119 + ".yy", "mp3")
def test_any_title_makes_a_header_that_reads_back_as_safe_names(title, suffix):
    header = filenames.attachment(title, suffix)
    assert header.isascii()
    assert header.isprintable()
    name, plain = parse(header)
    assert_good(name, plain, suffix)
    assert len(name) <= filenames.MAX_NAME_CHARACTERS + len(suffix) + 1


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=50))
def test_letters_and_digits_of_every_script_are_kept(title):
    assert parse(filenames.attachment(title, "mp3"))[0] == f"{unicodedata.normalize('NFC', title)}.mp3"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        *(("song.mp3", "mp3"), ("SONG.MP3", "mp3"), ("audio/a.b/song.Mp3", "mp3")),
        *(("archive.tar.gz", "gz"), ("a.b/c", "")),
        *(("song", ""), ("song.", ""), (".mp3", ""), ("audio/.mp3", "")),
        *(("", ""), (".", ""), ("..", ""), ("x.mp3.exe", "exe")),
    ],
)
def test_an_extension_is_what_follows_the_last_dot(name, extension):
    assert filenames.extension(name) == extension


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("The Itsy Bitsy Spider", "the-itsy-bitsy-spider"),
        ("  Für -- Elise!  ", "fur-elise"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本語", "file"),
        ("", "file"),
        ("---", "file"),
        ("x" * 100, "x" * 60),
        ("x" * 59 + " y", "x" * 59),
        ("a\0b\nc", "a-b-c"),
    ],
)
def test_a_slug_is_small_letters_digits_and_hyphens(text, slug):
    assert filenames.slug(text) == slug


@given(titles)
def test_any_text_makes_a_slug(text):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", filenames.slug(text))
    assert len(filenames.slug(text)) <= 60


@pytest.mark.parametrize(
    ("path", "hashed"),
    [
        *(("audio/spider-3f2a9c1e.mp3", True), ("x-00000000.a", True), ("a/b-deadbeef.woff2", True)),
        *(("audio/spider.mp3", False), ("3f2a9c1e.mp3", False)),
        *(("spider-3f2a9c1.mp3", False), ("x-3f2a9c1e0.mp3", False)),
        *(("x-3F2A9C1E.mp3", False), ("x-3f2a9c1g.mp3", False), ("x-3f2a9c1e", False), ("x-3f2a9c1e.mp3/y", False)),
        *(("x-3f2a9c1e.tar.gz", False), ("x_3f2a9c1e.mp3", False), ("x-3f2a9c1e.", False)),
    ],
)
def test_a_hashed_name_ends_with_eight_digits_of_a_digest(path, hashed):
    assert bool(filenames.HASHED.search(path)) == hashed


def assert_good(name, plain, suffix=None):
    """Both names can be saved in one folder, everywhere, and are not hidden there."""
    for text in (name, plain):
        stem = text.removesuffix(f".{suffix}") if suffix else text
        assert stem == stem.strip(". ") != ""
        assert not UNSAFE & set(text)
    assert all(text.lower().endswith(suffix or "") for text in (name, plain))
    assert plain.isascii()
