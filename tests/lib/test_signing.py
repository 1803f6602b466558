"""Signatures: HMAC-SHA256 as published, and nothing but the very signature of the very parts is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library_server.lib import signing

KEY = "k" * 64
PARTS = ("all", "1767610800", "audio/Ünï cödé 😀.mp3")


def test_a_derived_key_is_hmac_sha256_of_the_purpose():
    # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signing.derive_key("Jefe", "what do ya want for nothing?") == expected
    assert signing.sign("Jefe", "what do ya want for nothing?") == expected


def test_a_derived_key_depends_on_secret_and_purpose_and_reveals_neither():
    keys = {signing.derive_key(secret, purpose) for secret in ("secret", "Secret") for purpose in ("link", "links")}
    assert len(keys) == 4
    assert not any("secret" in key.lower() or "link" in key for key in keys)


def test_a_signature_is_64_hexadecimal_digits_and_always_the_same():
    signature = signing.sign(KEY, *PARTS)
    assert (len(signature), int(signature, 16) > 0, signing.sign(KEY, *PARTS)) == (64, True, signature)


def test_the_very_signature_is_accepted():
    assert signing.verify(KEY, signing.sign(KEY, *PARTS), *PARTS)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(("editors", *PARTS[1:]), id="another audience"),
        pytest.param((PARTS[0], "1767610801", PARTS[2]), id="a later end"),
        pytest.param((PARTS[0], " 1767610800", PARTS[2]), id="a blank"),
        pytest.param((*PARTS[:2], "audio/Ünï cödé 😀.mp4"), id="another path"),
        pytest.param((*PARTS[:2], "audio/U\u0308ni\u0308 co\u0308de\u0301 😀.mp3"), id="the path decomposed"),
        pytest.param((*PARTS[:2], PARTS[2] + "/"), id="a slash"),
        pytest.param(PARTS[::-1], id="the parts turned around"),
        pytest.param(PARTS[:2], id="a part less"),
        pytest.param((*PARTS, ""), id="an empty part more"),
        pytest.param(("".join(PARTS),), id="the parts in one"),
        pytest.param((PARTS[0] + PARTS[1][:1], PARTS[1][1:], PARTS[2]), id="a border moved"),
    ],
)
def test_the_signature_of_other_parts_is_refused(parts):
    assert not signing.verify(KEY, signing.sign(KEY, *PARTS), *parts)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(str.upper, id="capitals"),
        pytest.param(lambda text: text[:-1], id="a digit less"),
        pytest.param(lambda text: text[:32], id="half of it"),
        pytest.param(lambda text: text + "0", id="a digit more"),
        pytest.param(lambda text: f" {text}", id="a blank before"),
        pytest.param(lambda text: f"{text}\n", id="a line break after"),
        pytest.param(lambda text: text[::-1], id="turned around"),
        pytest.param(lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), id="another last digit"),
        pytest.param(lambda text: "", id="nothing"),
        pytest.param(lambda text: "0" * 64, id="zeros"),
        pytest.param(lambda text: "é" * 64, id="no ASCII"),
        pytest.param(lambda text: "😀\ud800\0", id="half a surrogate pair"),
        pytest.param(lambda text: "a" * 1_000_000, id="a million digits"),
    ],
)
def test_any_other_signature_is_refused(change):
    assert not signing.verify(KEY, change(signing.sign(KEY, *PARTS)), *PARTS)


def test_the_signature_of_another_key_is_refused():
    assert not signing.verify(KEY, signing.sign(KEY[:-1] + "l", *PARTS), *PARTS)


@given(st.text(st.characters(exclude_characters="\n")), st.text(st.characters(exclude_characters="\n")))
def test_two_texts_have_two_signatures(one, other):
    assert (signing.sign(KEY, one) == signing.sign(KEY, other)) == (one == other)
    assert signing.verify(KEY, signing.sign(KEY, one, other), one, other)


def test_half_a_surrogate_pair_can_be_signed():
    assert signing.verify(KEY, signing.sign(KEY, "audio/\udc80.mp3"), "audio/\udc80.mp3")
    assert not signing.verify(KEY, signing.sign(KEY, "audio/\udc80.mp3"), "audio/?.mp3")
