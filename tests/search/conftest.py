"""Asking for a search."""

import pytest


@pytest.fixture
def search(client, as_child):
    """``search("words", page=2)``: the answer's body."""

    def ask(q, headers=as_child, **query):
        response = client.get("/content/search", query_string={"q": q, **query}, headers=headers)
        assert response.status_code == 200, response.get_data()
        return response.get_json()

    return ask
