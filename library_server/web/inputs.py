"""Inputs: query strings and JSON bodies, read into schemas; what is wrong is said field by field."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from library_server.config import current_config
from library_server.errors import BodyTooLarge, FieldProblem, InvalidInput
from library_server.lib import json
from library_server.lib.paging import Window, window

MAX_JSON_BYTES = 8 * 1024 * 1024
_MAX_PROBLEMS = 10
_MAX_NAME_LENGTH = 60
_EXACT_DIGITS = 18

Schema = TypeVar("Schema", bound=BaseModel)


def _whole(value: object, least: int, what: str) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise ValueError(f"must be a {what} whole number")
    number = int(value) if len(value) <= _EXACT_DIGITS else 10**_EXACT_DIGITS
    if number < least:
        raise ValueError(f"must be a {what} whole number")
    return number


def _yes_or_no(value: object) -> bool:
    if value not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return value in ("true", "1")


def _storable(value: object) -> object:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not contain NUL")
    return value


PositiveNumber = Annotated[
    int,
    BeforeValidator(lambda value: _whole(value, 1, "positive")),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
WholeNumber = Annotated[
    int,
    BeforeValidator(lambda value: _whole(value, 0, "non-negative")),
    WithJsonSchema({"type": "integer", "minimum": 0}),
]
YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no), WithJsonSchema({"type": "boolean"})]

_WINDOW = frozenset(("page", "per_page", "limit", "offset"))
STORABLE = AfterValidator(_storable)  # text that PostgreSQL can hold


class WindowQuery(BaseModel):
    """What the query of every list shares: its window, in either spelling."""

    page: PositiveNumber | None = Field(None, description="From 1.", examples=[1])
    per_page: PositiveNumber | None = Field(None, description="Default 20, at most 50.", examples=[20])
    limit: PositiveNumber | None = Field(None, description="The same as `per_page`.", examples=[20])
    offset: WholeNumber | None = Field(None, description="Rows to skip, instead of `page`.", examples=[0])

    @property
    def window(self) -> Window:
        """Which rows of the list."""
        return window(self.page, self.per_page, self.limit, self.offset)


def load_query(schema: type[Schema]) -> Schema:
    """The query string as `schema`. Raises InvalidInput."""
    return from_query(schema, request.args)


def from_query(schema: type[Schema], arguments: Mapping[str, str]) -> Schema:
    """`arguments` as `schema`. Unknown names are let pass.

    Raises InvalidInput: a missing parameter first, then wrong values.
    """
    required = [name for name, field in schema.model_fields.items() if field.is_required()]
    missing = [name for name in required if not arguments.get(name, "").strip()]
    if missing:
        raise InvalidInput(f"Missing required parameter: {', '.join(missing)}")
    return _validated(schema, known(schema, arguments))


def known(schema: type[BaseModel], arguments: Mapping[str, str]) -> dict[str, str]:
    """Those of `arguments` that `schema` knows. An empty one counts as absent, but for numbers of a page's window."""
    return {
        name: value for name, value in arguments.items() if name in schema.model_fields and (value or name in _WINDOW)
    }


def load_body(schema: type[Schema]) -> Schema:
    """The JSON body as `schema`. Raises InvalidInput in the contract's words."""
    if not request.is_json:
        raise InvalidInput("Request must be JSON")
    request.max_content_length = MAX_JSON_BYTES + 1  # one more, to tell a body of unknown length that goes on
    data = request.get_data(cache=False)
    if len(data) > MAX_JSON_BYTES:
        raise BodyTooLarge
    try:
        body = json.decode(data)
    except json.NotJson as error:
        raise InvalidInput("Invalid JSON data", [FieldProblem("body", str(error))]) from None
    if not isinstance(body, dict):
        raise InvalidInput("Invalid JSON data", [FieldProblem("body", "must be a JSON object")])
    return from_object(schema, body)


def from_object(schema: type[Schema], given: dict[str, Any]) -> Schema:
    """`given` as `schema`. Raises InvalidInput: missing fields first, then unexpected ones, then wrong values."""
    required, known = _fields(schema)
    missing = [name for name in required if given.get(name) is None]
    if missing:
        raise InvalidInput(f"Missing required fields: {', '.join(missing)}")
    if not given.keys() <= known:
        unexpected = [name[:_MAX_NAME_LENGTH] for name in given if name not in known]
        raise InvalidInput(f"Unexpected fields: {', '.join(unexpected[:_MAX_PROBLEMS])}")
    return _validated(schema, given)


@cache
def _fields(schema: type[BaseModel]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names that `schema` requires, and all that it knows."""
    fields = schema.model_fields
    return tuple(name for name, field in fields.items() if field.is_required()), frozenset(fields)


def _validated(schema: type[Schema], given: dict[str, Any]) -> Schema:
    try:
        return schema.model_validate(given, context=current_config())
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors(include_url=False, include_input=False)]
        sentences = "; ".join(f"{field} {message}" for field, message in problems[:_MAX_PROBLEMS])
        raise InvalidInput(sentences, problems[:_MAX_PROBLEMS]) from None


def _problem(found: Any) -> FieldProblem:
    message = found["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return FieldProblem(str(found["loc"][0]), message[:1].lower() + message[1:])
