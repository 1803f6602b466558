"""A library of three thousand generated items: search finds, counts and pages what a plain reading of them does."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest

from library_server.search import queries

pytestmark = pytest.mark.parametrize("shape", ["guide"])

ITEMS = 3_000
# None begins another, and the stemmer leaves all apart.
WORDS = (
    *("tiger", "lantern", "river", "apple", "robot", "garden", "violin", "marble", "zebra", "window", "blanket"),
    *("kitchen", "pepper", "saddle", "ticket", "umbrella", "wagon", "yellow", "basket", "castle", "dolphin"),
    *("engine", "feather", "guitar", "helmet", "island", "jungle", "kettle", "ladder", "mountain"),
)
RARE = "elephant"
VALUES = {
    "content_type": ["story", "game", "lesson"],
    "subject_area": ["math", "science", "music", "art"],
    "age_range": ["3-5", "6-8", "all"],
    "difficulty_level": ["beginner", "advanced", None],
}

# What is typed, and whether an item with these words, in the order of its texts, is meant.
QUERIES = {
    "tiger": lambda words: "tiger" in words,
    "TIG": lambda words: "tiger" in words,
    "tiger river": lambda words: {"tiger", "river"} <= {*words},
    '"tiger river"': lambda words: ("tiger", "river") in pairwise(words),
    "tiger -river": lambda words: "tiger" in words and "river" not in words,
    "tiger river or zebra": lambda words: {"tiger", "river"} <= {*words} or "zebra" in words,
    "-tiger": lambda words: "tiger" not in words,
    RARE: lambda words: RARE in words,
}
FILTERS = [
    {},
    {"subject_area": "music"},
    {"age_range": "3-5", "difficulty_level": "advanced"},
    {"content_type": "game"},
]


@pytest.fixture
def items(sql):
    """The active ones: id, filters, words in the order title, objectives, description, metadata."""
    chance = random.Random(11)
    rows = []
    for number in range(ITEMS):
        texts = [chance.choices(WORDS, k=count) for count in (2, 1, 4, 1)]
        if number % 500 == 7:
            texts[number % 3] += [RARE]
        title, objectives, description, metadata = texts
        rows.append(
            {name: chance.choice(values) for name, values in VALUES.items()}
            | {
                "title": " ".join(title).title(),
                "skill_objectives": objectives,
                "description": ", ".join(description) + ".",
                "content_metadata": {"text": " ".join(metadata)},
                "download_priority": chance.randint(1, 10),
                "usage_count": chance.randint(0, 500),
                "active": chance.choice([True] * 20 + [None, False]),
                "words": [word for text in texts for word in text],
            }
        )
    names = ", ".join(name for name in rows[0] if name != "words")
    found = sql(
        f"INSERT INTO content_library ({names}) SELECT {names} "
        "FROM json_populate_recordset(NULL::content_library, %s) RETURNING id",
        (json.dumps(rows),),
    )
    return [row | {"id": each["id"]} for each, row in zip(found, rows, strict=True) if row["active"] is not False]


def test_everything_is_found_counted_and_paged_as_a_plain_reading_has_it(search, items):
    for q, is_meant in QUERIES.items():
        meant = [item for item in items if is_meant(item["words"])]
        assert len(meant) > 5, q
        for wanted in FILTERS:
            matching = {item["id"] for item in meant if fits(item, wanted)}
            first = search(q, per_page=50, **wanted)
            assert (q, wanted, first["pagination"]["total"]) == (q, wanted, len(matching))
            assert first["fuzzy"] is False
            for name in VALUES:
                others = {other: value for other, value in wanted.items() if other != name}
                counts = Counter(item[name] for item in meant if item[name] and fits(item, others))
                assert (q, wanted, first["facets"][name]) == (q, wanted, counts)
            pages = [
                first,
                *(search(q, per_page=50, page=n, **wanted) for n in range(2, first["pagination"]["pages"] + 1)),
            ]
            found = [item["content_id"] for page in pages for item in page["content"]]
            assert (q, wanted, len(found), {*found}) == (q, wanted, len(matching), matching)


def test_titles_come_first_then_scores_then_priority(search, items):
    by_id = {item["id"]: item for item in items}
    listed = search("tiger violin", per_page=50)
    assert 50 < listed["pagination"]["total"] <= queries.RANKED  # all are ordered by their text
    found = [(item["score"], by_id[item["content_id"]]) for item in listed["content"]]
    assert [(-score, item["download_priority"]) for score, item in found] == sorted(
        (-score, item["download_priority"]) for score, item in found
    )
    both = sum({"tiger", "violin"} <= {*item["title"].lower().split()} for item in items)
    assert all({"tiger", "violin"} <= {*item["title"].lower().split()} for _, item in found[:both])


@pytest.mark.parametrize("q", ["elifant", "a elifant", "elefunt"])
def test_a_misspelling_finds_the_rare_word_among_all(search, items, q):
    body = search(q)
    assert body["fuzzy"] is True
    assert {item["content_id"] for item in body["content"]} == {item["id"] for item in items if RARE in item["words"]}


def fits(item, wanted):
    return all(item[name] == value for name, value in wanted.items())
