"""Examples for the API's description: of what is sent and answered, and of input that is refused."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from library_server.errors import FieldProblem, InvalidInput
from library_server.web.inputs import from_object, from_query

REFERENCE = "#/components/schemas/{model}"
_BY_TYPE = {"string": "…", "integer": 1, "number": 0.5, "boolean": False}
_CHANGED_AT_ONCE = 2

Schema = dict[str, Any]


def of_schema(schema: Schema, definitions: dict[str, Schema], which: int = 0) -> Any:
    """An example of a JSON schema, from its fields' own; `which` where they have several, the last where fewer."""
    if "examples" in schema:
        return schema["examples"][min(which, len(schema["examples"]) - 1)]
    if "$ref" in schema:
        return of_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions, which)
    if "anyOf" in schema:
        return of_schema(schema["anyOf"][0], definitions, which)
    if schema.get("default") is not None:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("type") == "array":
        return [of_schema(schema["items"], definitions, which)]
    if "properties" in schema:
        return {name: of_schema(each, definitions, which) for name, each in schema["properties"].items()}
    return _BY_TYPE.get(schema.get("type", ""), {})


def of_request(schema: Schema, definitions: dict[str, Schema]) -> dict[str, Any]:
    """An example of a body or form: its fields, or a small change where none is required."""
    whole: dict[str, Any] = of_schema(schema, definitions)
    return whole if schema.get("required") else dict(list(whole.items())[-_CHANGED_AT_ONCE:])


def refused_bodies(body: type[BaseModel], good: dict[str, Any]) -> Iterator[InvalidInput]:
    """What is answered to bodies that are none, or are not quite as `good` as they should be."""
    yield InvalidInput("Request must be JSON")
    yield InvalidInput("Invalid JSON data", [FieldProblem("body", "must be a JSON object")])
    numbers = [name for name, value in good.items() if type(value) is int]
    wrong = {numbers[0]: -1} if numbers else {next(iter(good)): 5}
    for given in ({}, good | {"colour": "red"}, good | wrong):
        try:
            from_object(body, given)
        except InvalidInput as error:
            yield error


def refused_queries(query: type[BaseModel], good: dict[str, Any]) -> Iterator[InvalidInput]:
    """What is answered to a query without what it needs, and to one with a wrong value."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in good.items()}
    for given in ({}, *(texts | {name: "x"} for name in query.model_fields)):
        try:
            from_query(query, given)
        except InvalidInput as error:
            yield error
            if given:
                return
