"""PostgreSQL is asked about those texts alone that may have a hit: none is missed, however the stemmer bends a word."""

import re

import pytest
from sqlalchemy import text

from library_server.extensions import db
from library_server.search import highlights
from library_server.search.words import fold

one_shape = pytest.mark.parametrize("shape", ["backend"])
# Irregular ones of the stemmer, its changed endings, and what children say.
WORDS = """
    skis skies dying lying tying idly gently ugly early only singly sky news howe atlas cosmos bias andes cry cries by
    sensibility possibility ability national sensational relational realization organizer organization happiness
    hopefulness callousness decisiveness formality electricity electrical activity geology biology vietnamization
    conditional rational valency fluency hesitancy digitizer conformably radically differently vilely analogously
    predication operator feudalism luxuriated hopping hoped tanned falling hissing fizzed failing filing ponies caresses
    ties cats agreed plastered motoring bled sing troubled sized matting mating meeting milling messing meetings happy
    enjoy say revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment
    dependent adoption communism activate angularity homologous effective bowdlerize probate rate cease controll roll
    proceeding exceed succeeding inning outing canning herring earring generate generously communication arsenic
    x ox 7 2026 ice-cream it's naïve
"""


@one_shape
def test_every_word_has_the_beginning_that_is_looked_for(app):
    with app.app_context():
        for word in map(fold, WORDS.split()):
            query = db.session.scalar(
                text("SELECT CAST(plainto_tsquery('pg_catalog.english', :word) AS text)"), {"word": word}
            )
            assert all(part in word for part in highlights._beginnings(query)), (word, query)


@one_shape
def test_texts_without_a_hit_are_not_asked_about_and_all_others_are(app, statements):
    with app.app_context():
        texts = ["The ponies of the moon", "", "Sun & sea", "A PONY", "Sun & sea", "A pony tale"]
        marked = highlights.highlight(texts, "'poni'")
        assert [re.findall("<mark>(.*?)</mark>", each) for each in marked] == [
            ["ponies"],
            [],
            [],
            ["PONY"],
            [],
            ["pony"],
        ]
        assert marked[2] == "Sun &amp; sea"
        assert len(statements) == 1
        statements.clear()
        assert highlights.highlight(["Sun & sea"], "'poni':*A | '=poni':*") == ["Sun &amp; sea"]
        assert statements == []
        assert highlights.highlight(["a b"], "'a''b'") == ["a b"]  # a lexeme with quotes: asked about
        assert len(statements) == 1


@one_shape
def test_texts_that_are_asked_about_together_do_not_touch_each_other(app):
    with app.app_context():
        endless = "pony " + "x" * 3000  # PostgreSQL leaves such a word out
        texts = ["pony | tale", " pony ", "pony\n", endless, "<b>pony</b>", "last pony"]
        assert highlights.highlight(texts, "'poni'") == [
            "<mark>pony</mark> | tale",
            " <mark>pony</mark> ",
            "<mark>pony</mark>\n",
            endless,
            "&lt;b&gt;<mark>pony</mark>&lt;/b&gt;",
            "last <mark>pony</mark>",
        ]
