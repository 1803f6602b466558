"""The examples in the API's description keep to its schemas, and the server answers them as it says."""

import io
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from library_server.dev.command import SAMPLE
from library_server.extensions import db
from library_server.web.parameters import example_of
from tests.conftest import make_child
from tests.web.test_openapi import DESCRIPTION, operations, responses_of

ORDER = ("get", "put", "patch", "post", "delete")  # what is deleted is wanted before
SPIDER = SAMPLE / "files/audio/itsy-bitsy-spider-spoken.mp3"
FOLDERS = ("CONTENT", "ASSETS", "UPLOADS")
pytestmark = pytest.mark.parametrize("shape", ["guide"])


@pytest.fixture
def app(make_app, database_url, redis, tmp_path):
    """The application with folders of this test's own."""
    made = make_app(database_url, **{f"{name}_STORAGE_PATH": str(tmp_path / name) for name in FOLDERS})
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def description(client):
    """The document as a client gets it."""
    return client.get(DESCRIPTION).get_json()


def test_every_body_has_examples_that_keep_to_its_schema(description):
    for path, method, operation in operations(description):
        told = [operation.get("requestBody", {}), *responses_of(description, operation).values()]
        kinds = [kind for each in told for kind in each.get("content", {}).values()]
        assert kinds
        for kind in kinds:
            examples = [example["value"] for example in kind.get("examples", {}).values()]
            examples += [kind["example"]] if "example" in kind else []
            assert examples, (method, path)
            for example in examples:
                schema = {**kind["schema"], "components": description["components"]}
                Draft202012Validator(schema).validate(example)
                assert "'…'" not in str(example), f"a field of {method} {path} has no example of its own"


def test_every_parameter_has_an_example_that_keeps_to_its_schema(description):
    for _, _, operation in operations(description):
        for parameter in operation["parameters"]:
            if parameter["in"] != "header":
                Draft202012Validator(parameter["schema"]).validate(example_of(parameter))
    for header in description["components"]["headers"].values():
        Draft202012Validator(header["schema"]).validate(header["example"])


def test_every_error_has_an_example_of_its_own_and_a_failure_of_ours_a_request_id(description):
    for path, method, operation in operations(description):
        for status, response in responses_of(description, operation).items():
            examples = response.get("content", {}).get("application/json", {}).get("examples", {})
            for name, example in examples.items():
                assert example["value"]["message"].startswith(name), (method, path)
                assert ("request_id" in example["value"]) == (int(status) >= 500)
        assert "500" in operation["responses"], (method, path)


def test_every_example_is_answered_as_it_stands(app, description, as_parent, parent, make_item, sql, tmp_path):
    _tell_the_story(parent, make_item, sql, tmp_path)
    for path, method, operation in sorted(operations(description), key=lambda each: ORDER.index(each[1])):
        given = {kind: {} for kind in ("path", "query")}
        for parameter in operation["parameters"]:
            if parameter["in"] != "header":
                given[parameter["in"]][parameter["name"]] = example_of(parameter)
        query = {name: str(value).lower() if value is False else value for name, value in given["query"].items()}
        arguments = {"query_string": query, "headers": as_parent, **_body(operation)}
        with app.test_client().open(path.format(**given["path"]), method=method, **arguments) as response:
            assert response.status_code in (200, 201), (method, path, response.get_data())
            told = operation["responses"][str(response.status_code)]["content"]
            if response.mimetype == "application/json":
                expected = told["application/json"]["example"]
                assert response.get_json().get("message") == expected.get("message"), (method, path)
        if "text/csv" in told:
            response = app.test_client().get(path.format(**given["path"]), query_string="format=csv", headers=as_parent)
            assert response.text.split("\r\n")[0] == told["text/csv"]["example"].split("\r\n")[0]


def _tell_the_story(parent, make_item, sql, folder: Path):
    """What the examples' numbers and paths name is there."""
    for path in ("CONTENT/audio/itsy-bitsy-spider-3f2a9c1e.mp3", "ASSETS/icons/star.png"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(SPIDER.read_bytes())
    make_item(id=7, file_path="audio/itsy-bitsy-spider-3f2a9c1e.mp3")
    assert make_child(sql, parent) == 1
    sql("INSERT INTO heggerty_curriculum_data (id, lesson_number, skill_focus, activity_type) VALUES (5, 1, 'x', 'x')")
    sql("INSERT INTO nursery_rhyme_data (id, rhyme_name) VALUES (5, 'x')")
    sql(
        "INSERT INTO multi_subject_curriculum (id, subject, grade_level, unit_title, lesson_sequence) "
        "VALUES (5, 'x', 'K', 'x', 1)"
    )


def _body(operation):
    for kind, told in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json":
            return {"json": told["example"]}
        file = io.BytesIO(SPIDER.read_bytes()), told["example"]["file"]
        return {"data": told["example"] | {"file": file}, "content_type": kind}
    return {}
