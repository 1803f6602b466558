"""The parameters of routes, for the API's description."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from library_server.web import examples

VARIABLE = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
IF_MATCH = (
    {
        "name": "If-Match",
        "in": "header",
        "description": "The item's ETag: answers 412 if somebody else has changed it since.",
        "schema": {"type": "string"},
    },
)
_IDS = {"item_id": 7, "child_id": 1, "row_id": 5}


def in_path(rule: str, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The variables of a rule; `given`: examples for those that are no numbers."""
    for variable in VARIABLE.finditer(rule):
        name, whole = variable["name"], variable["converter"] == "int"
        schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1} if whole else {"type": "string"}
        example = _IDS[name] if whole else given[name]
        yield {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def in_query(query: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    """The fields of a query. Optional ones have their example in the schema: a page would fill them all in."""
    described = query.model_json_schema() if query else {"properties": {}}
    for name, schema in described["properties"].items():
        example = examples.of_schema(schema, {})
        required = name in described.get("required", ())
        parameter = {
            "name": name,
            "in": "query",
            "required": required,
            "description": schema.pop("description", ""),
            "schema": _of_text(schema) | ({} if required else {"examples": [example]}),
        }
        yield parameter | ({"example": example} if required else {})


def example_of(parameter: dict[str, Any]) -> Any:
    """The example of a parameter, wherever it stands."""
    return parameter["example"] if "example" in parameter else parameter["schema"]["examples"][0]


def _of_text(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a query's value, which is never null: absent is not null."""
    schema = {name: told for name, told in schema.items() if name not in ("title", "examples")}
    variants = [variant for variant in schema.pop("anyOf", []) if variant != {"type": "null"}]
    if schema.get("default", "") is None:
        schema.pop("default")
    return schema | (variants[0] if variants else {})
