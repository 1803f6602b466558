"""Hostile headers and tokens: each is refused for the contract's reason, and none is able to break anything."""

import hashlib
import hmac
import json
import string
import time
from base64 import standard_b64encode, urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library_server.accounts import tokens
from library_server.accounts.errors import (
    ClaimsInvalid,
    HeaderMalformed,
    NotSignedIn,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from library_server.accounts.tokens import Claims
from tests.conftest import SECRET

NOW = 1_767_607_200  # the clock stands still
HS256 = {"alg": "HS256", "typ": "JWT"}
GUIDE = {"user_id": 7, "user_type": "parent", "sub": "7", "iat": NOW, "exp": NOW + 300}
BACKEND = {"id": 7, "type": "parent", "iat": NOW, "exp": NOW + 300}
ABSENT = object()
NAN, INFINITY = float("nan"), float("inf")
HUGE = 10**400  # an integer that no float holds

NOT_IDS = [
    *(0, -1, 7.0, 7.5, 1e3, 1e300, NAN, INFINITY, True, False, [], [7], {}, {"id": 7}),
    *("", "0", "00", "-7", "+7", " 7", "7 ", "7\n", "7.0", "7e0", "0x7", "1_000", "seven", "\0", "None", "7,8"),
    *("\uff17", "\u0667", "\u00b2", "\u2466", "\ud800", "7" * 5000),
]
NOT_TIMES = [True, False, str(NOW + 300), "", "soon", [], [NOW + 300], {}, NAN, INFINITY, -INFINITY]
NOT_KINDS = [*("", "Parent", "CHILD", "parent ", "admin", "editor", "\ud800"), 1, 0, 1.5, NAN, True, [], ["parent"], {}]


def readable(value):
    return ascii(value) if len(ascii(value)) < 30 else f"{type(value).__name__} of {len(str(value))} characters"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Stops the clock at NOW; call it to set another time."""

    def stop_at(moment):
        monkeypatch.setattr(time, "time", lambda: float(moment))

    stop_at(NOW)
    return stop_at


# The header


@pytest.mark.parametrize(
    "header",
    ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR abc", "Bearer   abc", "Bearer\tabc", "  Bearer abc  "],
)
def test_a_header_is_the_word_bearer_in_any_case_and_a_token(header):
    assert tokens.from_header(header) == "abc"


def test_a_token_is_taken_as_it_stands():
    assert tokens.from_header("Bearer Ab-_.9=.é") == "Ab-_.9=.é"


@pytest.mark.parametrize("header", [None, "", " ", "\t", "   "], ids=readable)
def test_no_header_is_a_missing_token(header):
    with pytest.raises(TokenMissing):
        tokens.from_header(header)


@pytest.mark.parametrize(
    "header",
    [
        *("Bearer", "bearer ", "abc", "Bearerabc", "Bearer,abc", "abc.def.ghi"),
        *("Bearer abc def", "Bearer abc def ghi", "Bearer Bearer abc", "Bearer abc, Bearer abc", "Bearer abc ,"),
        *("Basic dXNlcjpwYXNz", "Token abc", "JWT abc", "Digest abc", "abc Bearer"),
        *("Bearer: abc", "Bearer= abc", "BearerX abc", "Beare abc", "Beärer abc", "\uff22earer abc", '"Bearer" abc'),
    ],
)
def test_any_other_header_is_malformed(header):
    with pytest.raises(HeaderMalformed):
        tokens.from_header(header)


@given(st.text(st.characters(exclude_categories=())) | st.none())
@settings(deadline=None)
def test_no_header_whatsoever_raises_anything_else(header):
    try:
        token = tokens.from_header(header)
    except (TokenMissing, HeaderMalformed):
        return
    assert token in header


# The two spellings


@pytest.mark.parametrize("kind", ["parent", "child"])
@pytest.mark.parametrize(
    "payload",
    [
        {"user_id": 7, "user_type": "KIND", "iat": NOW, "sub": "7"},
        {"user_id": 7, "user_type": "KIND"},
        {"id": 7, "type": "KIND", "iat": NOW},
        {"id": 7, "type": "KIND", "email": "pat@example.org"},
        {"id": 7, "type": "KIND", "user_id": 7, "user_type": "KIND", "sub": "7"},
        {"id": "7", "type": "KIND", "user_id": 7, "user_type": "KIND", "sub": 7},
        {"user_id": "7", "user_type": "KIND", "sub": 7},
        {"id": "7", "type": "KIND", "sub": "7", "iss": "backend", "fresh": False, "scopes": []},
    ],
    ids=["guide", "guide-bare", "backend", "backend-email", "both", "both-mixed", "id-as-text", "with-more-claims"],
)
def test_both_spellings_say_who_it_is(payload, kind):
    said = {name: kind if value == "KIND" else value for name, value in payload.items()}

    assert verify(said | {"exp": NOW + 300}) == Claims(user=7, kind=kind, jti=None, parent_id=None)


def test_claims_that_are_null_count_as_absent():
    assert verify(GUIDE | {"id": None, "type": None, "nbf": None, "jti": None, "parent_id": None}).user == 7


@pytest.mark.parametrize("number", [1, 2**31 - 1, 2**31, 2**63, 10**30, 10**4000], ids=readable)
def test_every_positive_integer_is_an_id(number):
    assert verify(BACKEND | {"id": number}).user == number


@pytest.mark.parametrize("text", ["1", "7", "2147483647", "2147483648"])
@pytest.mark.parametrize("claim", ["user_id", "id"])
def test_text_of_digits_is_an_id(claim, text):
    assert verify({claim: text, "type": "child", "exp": NOW + 300}).user == int(text)


@pytest.mark.parametrize("value", NOT_IDS, ids=readable)
@pytest.mark.parametrize("spelling", [GUIDE, BACKEND], ids=["guide", "backend"])
def test_nothing_else_is_an_id(spelling, value):
    claim = "id" if "id" in spelling else "user_id"

    assert refusal(without(spelling, "sub") | {claim: value}) is ClaimsInvalid


@pytest.mark.parametrize("value", NOT_IDS, ids=readable)
def test_nothing_else_is_a_subject(value):
    assert refusal(BACKEND | {"sub": value}) is ClaimsInvalid


@pytest.mark.parametrize("value", NOT_IDS, ids=readable)
def test_nothing_else_is_the_parent_of_a_child(value):
    assert refusal(BACKEND | {"type": "child", "parent_id": value}) is ClaimsInvalid


@pytest.mark.parametrize("value", [3, "3"], ids=readable)
def test_a_child_tells_its_parent(value):
    assert verify(BACKEND | {"type": "child", "parent_id": value}).parent_id == 3


@pytest.mark.parametrize("value", NOT_KINDS, ids=readable)
@pytest.mark.parametrize("spelling", [GUIDE, BACKEND], ids=["guide", "backend"])
def test_there_are_parents_and_children_only(spelling, value):
    claim = "type" if "type" in spelling else "user_type"

    assert refusal(spelling | {claim: value}) is ClaimsInvalid


@pytest.mark.parametrize("claim", ["user_id", "user_type", "exp", "id", "type"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_claims_may_not_be_missing(claim, how):
    spelling = GUIDE if claim in GUIDE else BACKEND
    payload = without(spelling, claim) if how == "absent" else spelling | {claim: None}

    assert refusal(payload) is ClaimsInvalid


@pytest.mark.parametrize("payload", [{}, {"exp": NOW + 300}, {"sub": "7", "exp": NOW + 300}], ids=readable)
def test_a_subject_alone_is_nobody(payload):
    assert refusal(payload) is ClaimsInvalid


@pytest.mark.parametrize(
    "other",
    [
        *({"id": 8}, {"id": "8"}, {"user_id": 8}, {"user_id": "70"}, {"sub": "8"}, {"sub": 8}, {"sub": "child-7"}),
        *({"id": 7, "sub": "8"}, {"id": 8, "sub": "7"}, {"id": 8, "sub": "8"}, {"id": 2**64 + 7}),
        *({"type": "child"}, {"user_type": "child"}, {"type": "PARENT"}, {"type": ["parent"]}, {"type": ""}),
    ],
    ids=readable,
)
def test_claims_may_not_disagree(other):
    assert refusal(GUIDE | {"id": 7, "type": "parent"} | other) is ClaimsInvalid


@pytest.mark.parametrize(("value", "expected"), [("a1b2", "a1b2"), ("é", "é"), ("", ""), (12, "12"), (0, "0")])
def test_the_tokens_own_id_is_text_or_a_number(value, expected):
    assert verify(BACKEND | {"jti": value}).jti == expected


@pytest.mark.parametrize("value", [True, False, 1.5, NAN, [], ["a"], {}, {"a": 1}], ids=readable)
def test_the_tokens_own_id_is_nothing_else(value):
    assert refusal(BACKEND | {"jti": value}) is ClaimsInvalid


def test_the_tokens_own_id_can_be_asked_for():
    assert refusal(BACKEND | {"jti": "\ud800"}) is ClaimsInvalid


# Times


@pytest.mark.parametrize("left", [0.5, 1, 300, 10**9, 1e300, HUGE], ids=readable)
def test_a_token_lives_until_it_expires(left):
    assert verify(GUIDE | {"exp": NOW + left}).user == 7


@pytest.mark.parametrize("past", [0, 0.5, 1, 29, NOW, NOW + 1, 1e300, HUGE], ids=readable)
def test_a_token_expires_without_leeway(past):
    assert refusal(GUIDE | {"exp": NOW - past, "iat": 0}) is TokenExpired


def test_a_token_expires_within_the_second(clock):
    clock(NOW + 0.25)

    assert refusal(GUIDE | {"exp": NOW}) is TokenExpired
    assert verify(GUIDE | {"exp": NOW + 1}).user == 7


def test_a_token_that_was_good_is_looked_at_again_when_it_expires_or_another_secret_is_asked(clock):
    token = signed(GUIDE)
    assert [tokens.verify(token, SECRET).user for _ in range(2)] == [7, 7]
    with pytest.raises(TokenInvalid):
        tokens.verify(token, SECRET + "!")
    clock(NOW - 31)
    with pytest.raises(TokenInvalid):  # the clock was set back: it is from the future
        tokens.verify(token, SECRET)
    clock(NOW + 300)
    with pytest.raises(TokenExpired):
        tokens.verify(token, SECRET)


def test_only_so_many_tokens_are_remembered_and_none_as_it_stands(monkeypatch):
    monkeypatch.setattr(tokens, "MOST_KNOWN", 3)
    monkeypatch.setattr(tokens, "_KNOWN", {})
    made = [signed(GUIDE | {"exp": NOW + 300 + number}) for number in range(10)]
    for token in made:
        assert tokens.verify(token, SECRET).user == 7
    assert 1 <= len(tokens._KNOWN) <= 3
    assert not any(token in repr(tokens._KNOWN) for token in made)


@pytest.mark.parametrize("begins", [NOW, NOW - 1, NOW - 0.5, 0, -1, -HUGE], ids=readable)
def test_a_token_has_begun(begins):
    assert verify(GUIDE | {"nbf": begins}).user == 7


@pytest.mark.parametrize("ahead", [0.5, 1, 30, 299, 1e300, HUGE], ids=readable)
def test_a_token_is_invalid_before_it_begins(ahead):
    assert refusal(GUIDE | {"nbf": NOW + ahead}) is TokenInvalid


@pytest.mark.parametrize("issued", [NOW + 30, NOW + 29.5, NOW, NOW - 10**6, 0, -1, -HUGE, ABSENT], ids=readable)
def test_clocks_may_differ_by_thirty_seconds(issued):
    payload = without(GUIDE, "iat") if issued is ABSENT else GUIDE | {"iat": issued}

    assert verify(payload).user == 7


@pytest.mark.parametrize("ahead", [30.5, 31, 10**9, 1e300, HUGE], ids=readable)
def test_a_token_from_the_future_is_invalid(ahead):
    assert refusal(GUIDE | {"iat": NOW + ahead}) is TokenInvalid


@pytest.mark.parametrize("value", NOT_TIMES, ids=readable)
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_times_are_numbers(claim, value):
    assert refusal(GUIDE | {claim: value}) is ClaimsInvalid


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_times_too_large_for_a_float_are_no_times(claim, number):
    payload = json.dumps(without(GUIDE, claim))[:-1] + f', "{claim}": {number}}}'

    assert refusal(payload) is ClaimsInvalid


# Algorithms and signatures


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None], ids=readable)
@pytest.mark.parametrize("signature", ["", "right"])
def test_a_token_without_an_algorithm_is_invalid(algorithm, signature):
    token = signed(GUIDE, {"alg": algorithm, "typ": "JWT"})
    if not signature:
        token = token[: token.rindex(".") + 1]

    assert refusal_of(token) is TokenInvalid


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(
    "algorithm",
    [
        *("HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES512", "PS256", "EdDSA", "A256KW"),
        *("hs256", "Hs256", "hS256", " HS256", "HS256 ", "HS256\0", "HMAC", "HS-256"),
        *(0, 256, True, ["HS256"], {}),
    ],
    ids=readable,
)
def test_no_algorithm_but_hs256_is_believed(algorithm, digest):
    assert refusal_of(signed(GUIDE, {"alg": algorithm, "typ": "JWT"}, digest=digest)) is TokenInvalid


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha384", "sha512"])
def test_the_algorithm_named_is_the_algorithm_used(digest):
    assert refusal_of(signed(GUIDE, digest=digest)) is TokenInvalid


@pytest.mark.parametrize(
    "header",
    [
        *({}, {"typ": "JWT"}, HS256 | {"crit": ["exp"], "exp": 1}, HS256 | {"crit": []}, HS256 | {"kid": 1}),
        *(HS256 | {"b64": False}, HS256 | {"b64": False, "crit": ["b64"]}),
        *("[]", '"HS256"', "7", "null", "true", "", "{", "{'alg': 'HS256'}", "[" * 100_000, '{"alg":' * 100_000),
    ],
    ids=readable,
)
def test_a_header_that_says_anything_odd_is_invalid(header):
    assert refusal_of(signed(GUIDE, header)) is TokenInvalid


@pytest.mark.parametrize(
    "secret",
    [SECRET + "x", SECRET[:-1], SECRET.upper(), "", "\0", "another-secret-that-is-just-as-long-as-ours"],
    ids=["longer", "shorter", "upper", "empty", "nul", "another"],
)
def test_another_secret_signs_nothing(secret):
    assert refusal_of(signed(GUIDE, secret=secret)) is TokenInvalid


def test_a_key_in_the_token_is_not_used():
    key = {"kty": "oct", "k": base64url(b"the attacker's own key, long enough for HS256")}

    assert refusal_of(signed(GUIDE, HS256 | {"jwk": key}, secret=key["k"])) is TokenInvalid


@pytest.mark.parametrize(
    "change",
    [{"user_id": 8, "sub": "8"}, {"user_type": "child"}, {"exp": NOW + 10**6}, {"extra": True}],
    ids=readable,
)
def test_another_payload_needs_another_signature(change):
    header, _, signature = signed(GUIDE).split(".")
    payload = base64url(json.dumps(GUIDE | change).encode())

    assert refusal_of(f"{header}.{payload}.{signature}") is TokenInvalid


def test_another_header_needs_another_signature():
    _, payload, signature = signed(GUIDE).split(".")
    header = base64url(json.dumps(HS256 | {"kid": "1"}).encode())

    assert refusal_of(f"{header}.{payload}.{signature}") is TokenInvalid


def test_every_bit_of_the_signature_counts():
    head, _, signature = signed(GUIDE).rpartition(".")
    right = urlsafe_b64decode(f"{signature}=")
    for bit in range(256):
        wrong = (int.from_bytes(right) ^ (1 << bit)).to_bytes(32)
        assert refusal_of(f"{head}.{base64url(wrong)}") is TokenInvalid


@pytest.mark.parametrize("kept", [0, 1, 2, 16, 31])
def test_a_part_of_the_signature_is_not_enough(kept):
    head, _, signature = signed(GUIDE).rpartition(".")
    right = urlsafe_b64decode(f"{signature}=")

    assert refusal_of(f"{head}.{base64url(right[:kept])}") is TokenInvalid


@pytest.mark.parametrize("added", ["=", "==", "===", "A", "AA", ".", " ", "\n", "\0", "!", "é", "%3D"], ids=readable)
def test_nothing_may_follow_the_signature(added):
    """A token in another spelling would pass where the backend has revoked the token."""
    assert refusal_of(signed(GUIDE) + added) is TokenInvalid


def test_the_signatures_last_letter_has_one_spelling():
    token = signed(GUIDE)
    for letter in set(string.ascii_letters + string.digits + "-_") - {token[-1]}:
        assert refusal_of(token[:-1] + letter) is TokenInvalid


def test_the_signature_is_written_in_the_alphabet_of_urls():
    in_both = next(token for n in range(100) if {"-", "_"} & set((token := signed(GUIDE | {"n": n})).split(".")[2]))
    head, _, signature = in_both.rpartition(".")

    assert refusal_of(f"{head}.{signature.replace('-', '+').replace('_', '/')}") is TokenInvalid


def test_an_invalid_token_does_not_tell_that_it_has_expired():
    assert refusal_of(signed(GUIDE | {"exp": 1}, secret=SECRET[::-1])) is TokenInvalid
    assert refusal_of(signed({"exp": NOW + 300}, secret=SECRET[::-1])) is TokenInvalid


# Format


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "...", "abc", "a.b", "a.b.c", "a.b.c.d", "null", "undefined", "{}", "=.=.="),
        *("é.é.é", "\uff45\uff59\uff4a.a.b", "\ud800.\ud800.\ud800", "\0", "a.b.\0", "💥" * 1000),
        *("a" * 1_000_000, "." * 1_000_000, "a." * 500_000, "=" * 1_000_000),
    ],
    ids=readable,
)
def test_what_is_no_token_is_invalid(token):
    assert refusal_of(token) is TokenInvalid


@pytest.mark.parametrize("shape", ["{h}.{p}", "{h}.{p}.", ".{p}.{s}", "{h}..{s}", "{h}.{p}.{s}.{s}", "{p}.{h}.{s}"])
def test_a_token_has_three_parts_in_their_order(shape):
    header, payload, signature = signed(GUIDE).split(".")

    assert refusal_of(shape.format(h=header, p=payload, s=signature)) is TokenInvalid


def test_a_token_in_the_ordinary_base64_alphabet_is_invalid():
    parts = signed(GUIDE | {"email": "ÿþ>?" * 9}).split(".")
    ordinary = [standard_b64encode(urlsafe_b64decode(part + "===")).decode() for part in parts]

    assert refusal_of(".".join(ordinary)) is TokenInvalid


@pytest.mark.parametrize(
    "payload",
    [
        *("[]", '[{"user_id": 7}]', '"user_id"', "7", "null", "true", "NaN", "", " ", "{", "{}{}", "{'user_id': 7}"),
        *(b"\xff\xfe", b"\x80", b"\0", "[" * 100_000, '{"a":' * 100_000, "7" * 5000),
        f'{{"user_id": {"7" * 5000}, "user_type": "parent", "exp": {NOW + 300}}}',
    ],
    ids=readable,
)
def test_a_payload_that_is_no_json_object_is_invalid(payload):
    assert refusal_of(signed(payload)) is TokenInvalid


@pytest.mark.parametrize("depth", [50, 500, *range(900, 1001, 10), 3000])
def test_nesting_breaks_nothing(depth):
    nested = "[" * depth + "]" * depth
    payload = f'{{"user_id": 7, "user_type": {nested}, "type": {nested}, "jti": {nested}, "exp": {NOW + 300}}}'

    assert refusal(payload) in (ClaimsInvalid, TokenInvalid)


def test_a_huge_token_that_is_signed_is_a_token():
    assert verify(GUIDE | {"extra": "x" * 1_000_000}).user == 7


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
claim_names = st.sampled_from(["user_id", "id", "sub", "user_type", "type", "exp", "iat", "nbf", "jti", "parent_id"])
likely_values = json_values | st.sampled_from([7, "7", 8, "parent", "child", NOW, NOW + 300, NOW - 300, HUGE, -HUGE])


@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r"[A-Za-z0-9_=-]*(\.[A-Za-z0-9_=-]*){1,3}"))
@settings(deadline=None)
def test_no_text_whatsoever_raises_anything_else(text):
    assert refusal_of(text) is TokenInvalid


@given(st.sampled_from([GUIDE, BACKEND]), st.dictionaries(claim_names, likely_values, max_size=4))
@settings(deadline=None, max_examples=300)
def test_no_claims_whatsoever_raise_anything_else(spelling, changes):
    try:
        claims = verify(spelling | changes)
    except NotSignedIn:
        return
    assert claims.kind in ("parent", "child")
    assert type(claims.user) is int
    assert claims.user > 0
    assert claims.parent_id is None or (type(claims.parent_id) is int and claims.parent_id > 0)
    assert claims.jti is None or claims.jti.encode() is not None


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5u", "zip"]), json_values))
@settings(deadline=None)
def test_no_header_of_a_token_raises_anything_else(header):
    try:
        assert verify_token(signed(GUIDE, HS256 | header)).user == 7
    except TokenInvalid:
        return


@given(st.binary(max_size=200) | json_values)
@settings(deadline=None)
def test_no_payload_whatsoever_raises_anything_else(payload):
    assert refusal_of(signed(payload)) in (TokenInvalid, ClaimsInvalid, TokenExpired)


# Making


@pytest.mark.parametrize("kind", ["parent", "child"])
def test_a_minted_token_signs_in_until_it_expires(clock, kind):
    token = tokens.mint(7, kind, SECRET, seconds=60)

    assert verify_token(token) == Claims(user=7, kind=kind, jti=None, parent_id=None)
    clock(NOW + 60)
    assert refusal_of(token) is TokenExpired


def signed(payload, header=HS256, secret=SECRET, digest="sha256"):
    """A token of these parts (objects, or their text or bytes), signed whatever they say."""
    head = ".".join(base64url(part if isinstance(part, bytes) else as_text(part)) for part in (header, payload))
    return f"{head}.{base64url(hmac.digest(secret.encode(), head.encode(), getattr(hashlib, digest)))}"


def as_text(part):
    return (part if isinstance(part, str) else json.dumps(part)).encode(errors="surrogatepass")


def base64url(data):
    return urlsafe_b64encode(data).decode().rstrip("=")


def without(payload, claim):
    return {name: value for name, value in payload.items() if name != claim}


def verify(payload):
    return verify_token(signed(payload))


def verify_token(token):
    return tokens.verify(token, SECRET)


def refusal(payload):
    return refusal_of(signed(payload))


def refusal_of(token):
    """The class of the error that refuses the token."""
    with pytest.raises(NotSignedIn) as caught:
        verify_token(token)
    return caught.type
