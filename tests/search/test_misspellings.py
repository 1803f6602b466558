"""Children's spellings find what they mean: errors as teachers collect them, against a library of many words."""

import csv
from pathlib import Path

import pytest

from library_server.dev import command

pytestmark = pytest.mark.parametrize("shape", ["guide"])

MANIFEST = Path(command.__file__).parent / "sample" / "manifest.csv"

# as a child writes it: what is meant. By kind: vowels swapped, letters doubled or not, as it sounds, letters lost or
# turned round.
VOWELS = {
    "elifant": "elephant", "dinasor": "dinosaur", "butterfli": "butterfly", "monky": "monkey", "appel": "apple",
    "pensil": "pencil", "flowr": "flower", "animul": "animal", "tabel": "table", "hospitel": "hospital",
    "seperate": "separate", "calender": "calendar", "peple": "people", "watir": "water",
}  # fmt: skip
DOUBLED = {
    "rabit": "rabbit", "baloon": "balloon", "happpy": "happy", "diner": "dinner", "leter": "letter", "litle": "little",
    "tommorow": "tomorrow", "puding": "pudding", "buble": "bubble", "speling": "spelling", "untill": "until",
    "carrott": "carrot",
}  # fmt: skip
SOUNDS = {
    "fone": "phone", "nite": "night", "skool": "school", "kween": "queen", "sircle": "circle", "jiraf": "giraffe",
    "foto": "photo", "enuf": "enough", "becuz": "because", "rong": "wrong", "nife": "knife", "bute": "boot",
    "kat": "cat", "wich": "witch", "lafing": "laughing", "siense": "science", "muther": "mother", "thum": "thumb",
    "wale": "whale", "nee": "knee", "trane": "train", "sed": "said", "wot": "what", "cumpewter": "computer",
    "vakashun": "vacation", "ruff": "rough", "shure": "sure", "frend": "friend", "wimen": "women", "hoal": "whole",
    "bred": "bread",
}  # fmt: skip
LOST = {
    "freind": "friend", "gril": "girl", "bule": "blue", "wensday": "wednesday", "libary": "library",
    "suprise": "surprise", "crocdile": "crocodile", "tirangle": "triangle", "febuary": "february",
    "brithday": "birthday", "chrismas": "christmas", "choclate": "chocolate", "sandwhich": "sandwich",
    "rember": "remember",
}  # fmt: skip
PAIRS = VOWELS | DOUBLED | SOUNDS | LOST
LEAST_FOUND = 0.9


@pytest.fixture
def library(make_item, sql):
    """An item for each word that is meant, among the sample library's."""
    with MANIFEST.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            sql(
                "INSERT INTO content_library (content_type, subject_area, age_range, title, description, "
                "skill_objectives, content_metadata) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [row[name] or None for name in ("content_type", "subject_area", "age_range", "title", "description")]
                + [row["skill_objectives"] or "[]", row["content_metadata"] or "{}"],
            )
    return {word: make_item(title=f"About {word}", description="") for word in sorted(set(PAIRS.values()))}


def test_what_children_write_finds_what_they_mean(client, as_child, library):
    found = {}
    for wrong, right in PAIRS.items():
        body = client.get("/content/search", query_string={"q": wrong}, headers=as_child).get_json()
        found[wrong] = library[right] in [item["content_id"] for item in body["content"]]
    missed = sorted(wrong for wrong, there in found.items() if not there)
    share = 1 - len(missed) / len(PAIRS)
    print(f"{share:.0%} of {len(PAIRS)} misspellings found on the first page; missed: {', '.join(missed)}")
    assert len(PAIRS) >= 40
    assert share >= LEAST_FOUND, missed


def test_what_children_type_suggests_what_they_mean(client, as_child, library):
    missed = []
    for wrong, right in PAIRS.items():
        body = client.get("/content/suggest", query_string={"q": wrong}, headers=as_child).get_json()
        if library[right] not in [item["content_id"] for item in body["suggestions"]]:
            missed.append(wrong)
    share = 1 - len(missed) / len(PAIRS)
    print(f"{share:.0%} of {len(PAIRS)} misspellings suggested; missed: {', '.join(missed)}")
    assert share >= LEAST_FOUND - 0.1, missed


def test_near_spellings_say_that_they_are_near(client, as_child, make_item):
    make_item(title="The elephant's trunk", description="An elephant & a mouse")
    make_item(title="Mouse")
    assert client.get("/content/search?q=elifant+-mice", headers=as_child).get_json()["pagination"]["total"] == 1
    assert client.get("/content/search?q=elifant+-mouse", headers=as_child).get_json()["content"] == []
    body = client.get("/content/search?q=the+elifant+mowse&subject_area=math", headers=as_child).get_json()
    assert body["fuzzy"] is True
    assert [item["highlight"] for item in body["content"]] == [
        {
            "title": "The <mark>elephant&#x27;s</mark> trunk",
            "description": "An <mark>elephant</mark> &amp; a <mark>mouse</mark>",
        }
    ]
    assert body["facets"]["subject_area"] == {"math": 1}


@pytest.mark.parametrize(
    ("q", "title"),
    [
        *((q, "Big elephant") for q in ("a elifant", "my elifant", "the elifant", "elifant is big", "2 elifant")),
        *((q, "Three little pigs and a wolff") for q in ("3 litle pigs", "the wolf and the piggz", "litle pigs 3")),
    ],
)
def test_what_says_nothing_need_not_be_near_anything(client, as_child, make_item, q, title):
    make_item(title="Big elephant")
    make_item(title="Three little pigs and a wolff")
    body = client.get("/content/search", query_string={"q": q}, headers=as_child).get_json()
    assert (body["fuzzy"], [item["title"] for item in body["content"]]) == (True, [title])
    suggested = client.get("/content/suggest", query_string={"q": q}, headers=as_child).get_json()["suggestions"]
    assert [item["title"] for item in suggested] == [title]


def test_nothing_near_is_nothing_found(client, as_child, make_item):
    make_item(title="Elephant")
    for q in ("qqwxzvvk", "elifant qqwxzvvk", "zz", "the zz", "7 1", "over the"):
        body = client.get("/content/search", query_string={"q": q}, headers=as_child).get_json()
        assert (body["fuzzy"], body["pagination"]["total"]) == (False, 0)


def test_a_filter_that_leaves_nothing_is_no_misspelling(client, as_child, make_item):
    make_item(title="Rhyme")
    make_item(title="Time", subject_area="science")
    body = client.get("/content/search?q=rhyme&subject_area=science", headers=as_child).get_json()
    assert (body["fuzzy"], body["content"], body["facets"]["subject_area"]) == (False, [], {"math": 1})
