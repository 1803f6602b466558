"""What there is, with counts: subjects, age ranges and content types."""

import pytest

FACETS = [
    ("/content/subjects", "subjects", "subject_counts"),
    ("/content/age-ranges", "age_ranges", "age_range_counts"),
    ("/content/content-types", "content_types", "content_type_counts"),
]
one_shape = pytest.mark.parametrize("shape", ["backend"])


def test_facets_count_active_items_by_value(client, as_child, make_item):
    for value, active in (("b", True), ("a", None), ("b", True), ("b", None), ("a", False), ("retired", False)):
        make_item(**_everywhere(value), active=active)
    make_item(subject_area="math", age_range="13+", content_type="game")
    expected = {
        "/content/subjects": {"subjects": ["a", "b", "math"], "subject_counts": {"a": 1, "b": 3, "math": 1}},
        "/content/age-ranges": {"age_ranges": ["13+", "a", "b"], "age_range_counts": {"13+": 1, "a": 1, "b": 3}},
        "/content/content-types": {
            "content_types": ["a", "b", "game"],
            "content_type_counts": {"a": 1, "b": 3, "game": 1},
        },
    }
    for path, body in expected.items():
        response = client.get(path, headers=as_child)
        assert (response.status_code, response.get_json()) == (200, body)


def test_an_empty_library_has_empty_facets(client, as_child):
    for path, names, counts in FACETS:
        assert client.get(path, headers=as_child).get_json() == {names: [], counts: {}}


@one_shape
def test_an_editor_is_told_the_same_as_a_child(client, as_parent, as_child, make_item):
    make_item(**_everywhere("retired"), active=False)
    make_item()
    for path, names, _ in FACETS:
        told = client.get(path, headers=as_child).get_json()
        assert len(told[names]) == 1
        for query in ("", "?active=all", "?active=false"):
            assert client.get(f"{path}{query}", headers=as_parent).get_json() == told


@one_shape
def test_values_that_nobody_may_write_are_counted_as_they_are(client, as_child, make_item):
    values = ["", " ", "Odd Value", "é", "💡", 'quote"', "null"]
    for value in values:
        make_item(**_everywhere(value))
    for path, names, counts in FACETS:
        body = client.get(path, headers=as_child).get_json()
        assert sorted(body[names]) == sorted(values)
        assert body[counts] == dict.fromkeys(values, 1)


@one_shape
def test_facets_answer_under_both_slashes_and_to_head(client, as_child, make_item):
    make_item()
    for path, *_ in FACETS:
        plain, slashed = client.get(path, headers=as_child), client.get(f"{path}/", headers=as_child)
        assert (slashed.status_code, slashed.get_data()) == (200, plain.get_data())
        head = client.head(path, headers=as_child)
        assert (head.status_code, head.get_data(), head.headers["ETag"]) == (200, b"", plain.headers["ETag"])


@one_shape
def test_facets_are_not_for_strangers(client):
    for path, *_ in FACETS:
        response = client.get(path)
        assert (response.status_code, response.get_json()) == (401, {"message": "Authentication token is missing"})


@one_shape
def test_a_facet_that_is_known_already_is_304_until_the_library_changes(client, as_parent, make_item):
    for path, names, counts in FACETS:
        item = make_item()
        first = client.get(path, headers=as_parent)
        known = as_parent | {"If-None-Match": first.headers["ETag"]}
        again = client.get(path, headers=known)
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        client.delete(f"/content/{item}", headers=as_parent)
        assert client.get(path, headers=known).get_json() == {names: [], counts: {}}


@one_shape
def test_the_number_of_statements_does_not_grow_with_the_values(client, as_child, make_item, statements):
    for value in "abcdefgh":
        make_item(**_everywhere(value))
    client.get("/content", headers=as_child)
    for path, names, _ in FACETS:
        statements.clear()
        assert len(client.get(path, headers=as_child).get_json()[names]) == 8
        assert len(statements) == 1


@one_shape
def test_nothing_but_reading_is_allowed(client, as_parent):
    for path, *_ in FACETS:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            response = client.open(path, method=method, headers=as_parent)
            assert (path, method, response.status_code) == (path, method, 405)
            assert {word.strip() for word in response.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}
            assert list(response.get_json()) == ["message"]


def _everywhere(value):
    return {"subject_area": value, "age_range": value, "content_type": value}
