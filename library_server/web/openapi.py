"""The API's description (OpenAPI 3.1), made from the routes and schemas themselves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apispec import APISpec
from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from library_server.errors import (
    BodyTooLarge,
    EditorRequired,
    LibraryError,
    ParentRequired,
    PreconditionFailed,
    Unavailable,
)
from library_server.version import __version__
from library_server.web import examples
from library_server.web.failures import (
    REASONS,
    SHARED,
    Error,
    Failure,
    TooMany,
    header_components,
    headers,
    responses,
    too_many,
)
from library_server.web.files import RangeNotSatisfiable
from library_server.web.parameters import IF_MATCH, VARIABLE, example_of, in_path, in_query

View = TypeVar("View", bound=Callable[..., Any])

_FILE = {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "the bytes of the file"}}
_SIZE = 48_213
_ABOUT = """The content of Elemental Genius: catalogue, files and curriculum.

Every answer bears `X-Request-ID`, those of limited routes also `X-RateLimit-Limit`, `-Remaining` and `-Reset`. Every
route answers with and without a trailing slash."""


@dataclass(frozen=True)
class Operation:
    """What the description says of a view beyond its rule and docstring."""

    reply: type[BaseModel] | None  # None: the bytes of a file
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None  # of JSON
    form: type[BaseModel] | None = None  # of multipart/form-data
    if_match: bool = False
    csv: str | None = None  # an example, where the query's `format` may ask for it
    public: bool = False
    link: bool = False  # a signed link does instead of a token
    fails: tuple[Failure, ...] = ()  # beyond what guards, schemas and files refuse
    rule: str | None = None  # where two rules would be described alike
    path: Mapping[str, str] = field(default_factory=dict)  # examples for the rule's variables
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
        info={"description": _ABOUT, "license": {"name": "MIT"}},
        security=[{"bearer": []}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.security_scheme("link", {"type": "apiKey", "in": "query", "name": "signature"})
    described = list(_operations(app))
    schemas = _schemas([operation for _, _, operation, _ in described])
    for name, schema in schemas.items():
        spec.components.schema(name, schema)
    for name, header in header_components().items():
        spec.components.header(name, header)
    shared = {SHARED[code]: response for code, response in responses([Unavailable, LibraryError]).items()}
    for rule, view, operation, methods in described:
        path = VARIABLE.sub(r"{\g<name>}", operation.rule or rule.rule)
        told = _describe(rule, view, operation, schemas)
        told["responses"] = {str(code): _share(code, told["responses"][code], shared) for code in told["responses"]}
        spec.path(path=path, operations=dict.fromkeys(methods, told))
    for name, response in shared.items():
        spec.components.response(name, response)
    document: dict[str, Any] = spec.to_dict()
    return document


def _share(code: int, response: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """A reference, where the response is the one that most routes share."""
    name = SHARED.get(code)
    if name is None or shared.setdefault(name, response) != response:
        return response
    return {"$ref": f"#/components/responses/{name}"}


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
    _, everything = models_json_schema(models, ref_template=examples.REFERENCE)
    definitions: dict[str, Any] = everything["$defs"]
    return definitions


def _describe(
    rule: Rule, view: Callable[..., Any], operation: Operation, definitions: dict[str, Any]
) -> dict[str, Any]:
    summary, _, description = (view.__doc__ or "").strip().partition("\n")
    query = list(in_query(operation.query))
    described: dict[str, Any] = {
        "operationId": _name(rule),
        "summary": summary,
        "description": " ".join(description.split()),
        "tags": [rule.endpoint.split(".")[-2]],
        "parameters": [
            *in_path(operation.rule or rule.rule, operation.path),
            *query,
            *(IF_MATCH if operation.if_match else ()),
        ],
    }
    if operation.public:
        described["security"] = []
    if operation.link:
        described["security"] = [{"bearer": []}, {"link": []}]
    example: dict[str, Any] = {}
    if sent := operation.body or operation.form:
        example = examples.of_request(definitions[sent.__name__], definitions)
        kind = "application/json" if operation.body else "multipart/form-data"
        content = {kind: {"schema": _reference(sent), "example": example}}
        described["requestBody"] = {"required": True, "content": content}
    asked = {parameter["name"]: example_of(parameter) for parameter in query}
    failures = [*getattr(view, "library_fails", ()), *_failures(rule, operation, asked, example)]
    found = responses(failures) | _more_failures(operation, definitions) | _successes(rule, operation, definitions)
    described["responses"] = dict(sorted(found.items()))
    return described


def _name(rule: Rule) -> str:
    *_, blueprint, view = rule.endpoint.split(".")
    return f"direct_{view}" if blueprint.startswith("direct") else view


def _failures(rule: Rule, operation: Operation, asked: dict[str, Any], sent: dict[str, Any]) -> Iterator[Failure]:
    """How it may fail beyond what its guards refuse; `asked` and `sent` are good queries and bodies."""
    yield from operation.fails
    if operation.query:
        yield from examples.refused_queries(operation.query, asked)
        yield from (ParentRequired, EditorRequired) if "active" in asked else ()
    if operation.body:
        yield from examples.refused_bodies(operation.body, sent)
        yield BodyTooLarge
    if operation.reply is None:
        yield from (PreconditionFailed("Precondition failed"), RangeNotSatisfiable(_SIZE))
    elif operation.if_match or (_reads(rule) and not operation.public):
        yield PreconditionFailed
    if not operation.public:
        yield Unavailable
    yield LibraryError


def _more_failures(operation: Operation, definitions: dict[str, Any]) -> dict[int, Any]:
    """Those that say more than Error does."""
    found = {}
    if operation.reply is None or not operation.public:
        found[429] = too_many(examples.of_schema(definitions["TooMany"], definitions))
    if operation.failure:
        code, model = operation.failure
        found[code] = _answer(code, _json(model, definitions, which=1), ["X-Request-ID", "Retry-After"])
    return found


def _successes(rule: Rule, operation: Operation, definitions: dict[str, Any]) -> dict[int, Any]:
    is_file, code = operation.reply is None, operation.status
    tagged = is_file or operation.body is not None or (_reads(rule) and not operation.public)
    names = ["X-Request-ID", *(["ETag"] if tagged else []), *(["Accept-Ranges"] if is_file else [])]
    created = ["Location"] if code == 201 and operation.body else []
    answers = _json(operation.reply, definitions) if operation.reply else _FILE
    if operation.csv:
        answers["text/csv"] = {"schema": {"type": "string"}, "example": operation.csv}
    dated = ["Last-Modified"] if is_file else []
    found = {code: _answer(code, answers, [*names, *created, *dated])}
    if is_file:
        found[206] = _answer(206, _FILE, [*names, *dated, "Content-Range"])
    if tagged and _reads(rule):
        found[304] = _answer(304, {}, names)
    return found


def _reads(rule: Rule) -> bool:
    return "GET" in (rule.methods or ())


def _answer(code: int, content: dict[str, Any], names: list[str]) -> dict[str, Any]:
    described = {"description": REASONS[code], "headers": headers(*names)}
    return described | ({"content": content} if content else {})


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": examples.REFERENCE.format(model=model.__name__)}


def _json(model: type[BaseModel], definitions: dict[str, Any], which: int = 0) -> dict[str, Any]:
    example = examples.of_schema(definitions[model.__name__], definitions, which)
    return {"application/json": {"schema": _reference(model), "example": example}}
