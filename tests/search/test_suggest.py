"""Suggestions: titles as one types."""

import pytest

one_shape = pytest.mark.parametrize("shape", ["backend"])


@pytest.fixture
def suggest(client, as_child):
    """``suggest("words")``: the titles."""

    def ask(q):
        body = client.get("/content/suggest", query_string={"q": q}, headers=as_child).get_json()
        assert (list(body), body["query"]) == (["query", "suggestions"], q)
        return [suggestion["title"] for suggestion in body["suggestions"]]

    return ask


def test_suggestions_have_the_contracts_shape(client, as_child, make_item):
    item = make_item(title="", content_metadata={"title": "Étoile & <b>"}, content_type="game")
    expected = [{"content_id": item, "title": "Étoile & <b>", "content_type": "game"}]
    assert client.get("/content/suggest?q=eto", headers=as_child).get_json()["suggestions"] == expected


def test_beginnings_come_first_then_words_and_near_ones_only_where_there_are_none(suggest, make_item):
    make_item(title="The Itsy Bitsy Spider")
    make_item(title="Spiral", download_priority=2)
    make_item(title="Spider's web", download_priority=1)
    make_item(title="Spectacles")
    make_item(title="Spider", active=False)
    assert suggest("s") == ["Spider's web", "Spiral", "Spectacles"]
    assert suggest("spi") == ["Spider's web", "Spiral", "The Itsy Bitsy Spider"]
    assert suggest("the it") == suggest("The  ITSY-b") == suggest("bitsy sp") == ["The Itsy Bitsy Spider"]
    assert suggest("spyd") == ["Spider's web", "The Itsy Bitsy Spider"]
    assert suggest("itsi bitsi") == ["The Itsy Bitsy Spider"]
    assert suggest("spiders web") == ["Spider's web"]
    assert suggest("xylophone") == suggest("-") == suggest("🕷") == []


@one_shape
def test_there_are_ten_at_most_the_best_ones(suggest, make_item):
    for number in range(25):
        make_item(title=f"Lamb {number:02}", download_priority=10 - number % 10, usage_count=number)
    titles = suggest("la")
    assert len(titles) == 10
    assert titles[:3] == ["Lamb 19", "Lamb 09", "Lamb 18"]


@one_shape
def test_a_number_or_a_short_word_within_a_title_is_found(suggest, make_item):
    make_item(title="Counting to 10")
    assert suggest("10") == suggest("to") == suggest("counting to 1") == ["Counting to 10"]


@one_shape
def test_operators_are_no_operators_here(suggest, make_item):
    make_item(title="Cat or dog")
    assert suggest("cat or d") == suggest('"cat" -or') == ["Cat or dog"]
