"""The API's description (OpenAPI 3.1), made from the routes and schemas themselves."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from apispec import APISpec
from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from library_server.version import __version__

View = TypeVar("View", bound=Callable[..., Any])

_VARIABLE = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
_REASONS = {
    200: "OK",
    201: "Created",
    206: "The ranges that were asked for",
    304: "Not modified",
    400: "The input is wrong; the message says what to mend",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    409: "Refused because of what refers to it",
    412: "Changed since `If-Match` was read",
    413: "Too large",
    416: "No such range in the file",
    429: "Too many requests",
    503: "Unavailable for the moment",
    507: "The disk is full",
}
_FILE = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


class FieldError(BaseModel):
    """What to mend in one field."""

    field: str
    message: str


class Error(BaseModel):
    """Every error of every route. `errors` is there when it can be told field by field, `request_id` from 500 on."""

    message: str
    errors: list[FieldError] | None = None
    request_id: str | None = None


class TooMany(BaseModel):
    """The answer to more requests than the limit allows. `X-RateLimit-*` headers tell how many are left."""

    message: str
    retry_after_seconds: int


@dataclass(frozen=True)
class Operation:
    """What the description says of a view beyond its rule and docstring."""

    reply: type[BaseModel] | None  # None: the bytes of a file
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None  # of JSON
    form: type[BaseModel] | None = None  # of multipart/form-data
    if_match: bool = False
    csv: bool = False  # the query's `format` may ask for it
    public: bool = False
    link: bool = False  # a signed link does instead of a token
    may_fail: tuple[int, ...] = ()
    rule: str | None = None  # where two rules would be described alike
    failure: tuple[int, type[BaseModel]] | None = None  # one that says more than Error


def document(reply: type[BaseModel] | None, **details: Any) -> Callable[[View], View]:
    """Describes a view (`details`: the fields of Operation). It wraps nothing, so a request pays nothing for it."""

    def mark(view: View) -> View:
        view.openapi = Operation(reply, **details)  # type: ignore[attr-defined]
        return view

    return mark


def describe(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of every described route of `app`."""
    spec = APISpec(
        title="Library Server",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "description": "The content of Elemental Genius: catalogue, files and curriculum.",
            "license": {"name": "MIT"},
        },
        security=[{"bearer": []}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.security_scheme("link", {"type": "apiKey", "in": "query", "name": "signature"})
    described = list(_operations(app))
    for name, schema in _schemas([operation for _, _, operation, _ in described]).items():
        spec.components.schema(name, schema)
    for rule, view, operation, methods in described:
        path = _VARIABLE.sub(r"{\g<name>}", operation.rule or rule.rule)
        spec.path(path=path, operations={method: _describe(rule, view, operation) for method in methods})
    document: dict[str, Any] = spec.to_dict()
    return document


def _operations(app: Flask) -> Iterator[tuple[Rule, Callable[..., Any], Operation, list[str]]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, "openapi", None)
        if operation is not None:
            yield (
                rule,
                view,
                operation,
                [name.lower() for name in sorted(rule.methods or ()) if name not in ("HEAD", "OPTIONS")],
            )


def _schemas(operations: list[Operation]) -> dict[str, Any]:
    bodies = {model for operation in operations for model in (operation.reply, operation.body, operation.form) if model}
    models: list[Any] = [(model, "validation") for model in sorted({Error, TooMany, *bodies}, key=str)]
    _, everything = models_json_schema(models, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = everything["$defs"]
    return definitions


def _describe(rule: Rule, view: Callable[..., Any], operation: Operation) -> dict[str, Any]:
    summary, _, description = (view.__doc__ or "").strip().partition("\n")
    described: dict[str, Any] = {
        "operationId": _name(rule),
        "summary": summary,
        "description": " ".join(description.split()),
        "tags": [rule.endpoint.split(".")[-2]],
        "parameters": [
            *_path_parameters(operation.rule or rule.rule),
            *_query_parameters(operation.query),
            *_header_parameters(operation),
        ],
        "responses": _responses(rule, operation),
    }
    if operation.public:
        described["security"] = []
    if operation.link:
        described["security"] = [{"bearer": []}, {"link": []}]
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    if operation.form:
        form = {"schema": {"$ref": f"#/components/schemas/{operation.form.__name__}"}}
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": form}}
    return described


def _name(rule: Rule) -> str:
    *_, blueprint, view = rule.endpoint.split(".")
    return f"direct_{view}" if blueprint.startswith("direct") else view


def _responses(rule: Rule, operation: Operation) -> dict[str, Any]:
    failures = set(operation.may_fail)
    if operation.query or operation.body or operation.form:
        failures.add(400)
    if operation.body:
        failures.add(413)
    if not operation.public:
        failures |= {401, 403, 503}
    if rule.arguments:
        failures.add(404)
    if operation.if_match or ("GET" in (rule.methods or ()) and not operation.public):
        failures.add(412)
    responses = {str(code): {"description": _REASONS[code], "content": _json(Error)} for code in sorted(failures)}
    if operation.reply is None or not operation.public:
        responses["429"] = {"description": _REASONS[429], "content": _json(TooMany)}
    if operation.failure:
        code, model = operation.failure
        responses[str(code)] = {"description": _REASONS[code], "content": _json(model)}
    answers = _json(operation.reply) if operation.reply else _FILE
    if operation.csv:
        answers["text/csv"] = {"schema": {"type": "string"}}
    responses[str(operation.status)] = {"description": _REASONS[operation.status], "content": answers}
    if operation.reply is None:
        responses["206"] = {"description": _REASONS[206], "content": _FILE}
    if "GET" in (rule.methods or ()) and (operation.reply is None or not operation.public):
        responses["304"] = {"description": _REASONS[304]}
    return dict(sorted(responses.items()))


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _path_parameters(rule: str) -> Iterator[dict[str, Any]]:
    for variable in _VARIABLE.finditer(rule):
        whole = variable["converter"] == "int"
        schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1} if whole else {"type": "string"}
        yield {"name": variable["name"], "in": "path", "required": True, "schema": schema}


def _query_parameters(query: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    described = query.model_json_schema() if query else {"properties": {}}
    for name, schema in described["properties"].items():
        schema.pop("title", None)
        yield {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            "description": schema.pop("description", ""),
            "schema": _without_null(schema),
        }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query value is text: absent is not null."""
    variants = [variant for variant in schema.pop("anyOf", []) if variant != {"type": "null"}]
    if schema.get("default", "") is None:
        schema.pop("default")
    return schema | (variants[0] if variants else {})


def _header_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.if_match:
        text = "The item's ETag: answers 412 if somebody else has changed it since."
        yield {"name": "If-Match", "in": "header", "description": text, "schema": {"type": "string"}}
