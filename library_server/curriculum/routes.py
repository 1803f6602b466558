"""The curriculum over HTTP: parse, one call, status. Every resource has the same routes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response, url_for

from library_server.accounts.guards import current_actor, require_editor, require_user
from library_server.curriculum import queries, services
from library_server.curriculum.errors import RowNotFound
from library_server.curriculum.models import Row
from library_server.curriculum.resources import RESOURCES, Resource
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.inputs import load_body, load_query
from library_server.web.openapi import document
from library_server.web.replica import may_lag
from library_server.web.responses import expected_revisions, json_response, revalidated

bp = LibraryBlueprint("curriculum", __name__)

View = Callable[..., Response]


@may_lag
def list_rows(resource: Resource) -> Response:
    """The {many} of the curriculum, filtered and paged.

    A page past the end is empty.
    """
    query = load_query(resource.query)
    applied = {name: getattr(query, name) for name in resource.filters}
    rows, total = queries.list_rows(resource, applied, query.window)
    pagination = query.window.describe(total)
    return revalidated({resource.many: resource.dump(rows), "filters_applied": applied, "pagination": pagination})


def create_row(resource: Resource) -> Response:
    """Creates a {one}."""
    row = services.create_row(current_actor(), resource, load_body(resource.draft).values())
    response = _told(resource, row, 201, message=f"{resource.noun} created successfully", id=row.id)
    response.headers["Location"] = url_for(f"library.curriculum.get_{resource.one}", row_id=row.id)
    return response


def get_row(resource: Resource, row_id: int) -> Response:
    """One {one}. Its `ETag` is what `If-Match` takes when it is changed."""
    return _told(resource, queries.get_row(resource, row_id))


def replace_row(resource: Resource, row_id: int) -> Response:
    """Replaces a {one}: what is not named is null."""
    return _changed(resource, row_id, load_body(resource.draft).values())


def change_row(resource: Resource, row_id: int) -> Response:
    """Changes a {one}: what is not named stays."""
    return _changed(resource, row_id, load_body(resource.change).values())


def delete_row(resource: Resource, row_id: int) -> Response:
    """Deletes a {one} for good. Its recording, where it has one, stays."""
    services.delete_row(current_actor(), resource, row_id, expected_revisions())
    return json_response({"message": f"{resource.noun} deleted successfully", "id": row_id})


def _changed(resource: Resource, row_id: int, values: dict[str, Any]) -> Response:
    row = services.change_row(current_actor(), resource, row_id, values, expected_revisions())
    return _told(resource, row, message=f"{resource.noun} updated successfully")


def _told(resource: Resource, row: Row, status: int = 200, **more: Any) -> Response:
    [shown] = resource.dump([row])
    return revalidated(more | {resource.one: shown}, resource.revision(row), status)


def _add_routes(resource: Resource) -> None:
    every = f"/content/curriculum/{resource.name}"
    each = f"{every}/<int:row_id>"
    one, replies, fails = resource.one, resource.replies, (RowNotFound(f"{resource.noun} not found"),)

    def add(method: str, rule: str, endpoint: str, view: View, guard: Callable[[View], View], described: Any) -> None:
        bound: Any = partial(view, resource)
        bound.__module__, bound.__name__, bound.__qualname__ = __name__, endpoint, endpoint  # limits go by name
        guarded = guard(bound)
        guarded.__doc__ = (view.__doc__ or "").format(one=one, many=resource.many)
        bp.add_url_rule(rule, endpoint, described(guarded), methods=[method])

    listed = document(replies.listed, query=resource.query)
    add("GET", every, f"list_{resource.many}", list_rows, require_user, listed)
    created = document(replies.created, status=201, body=resource.draft)
    add("POST", every, f"create_{one}", create_row, require_editor, created)
    add("GET", each, f"get_{one}", get_row, require_user, document(replies.single, fails=fails))
    replaced = document(replies.updated, body=resource.draft, if_match=True, fails=fails)
    add("PUT", each, f"replace_{one}", replace_row, require_editor, replaced)
    changed = document(replies.updated, body=resource.change, if_match=True, fails=fails)
    add("PATCH", each, f"change_{one}", change_row, require_editor, changed)
    deleted = document(replies.deleted, if_match=True, fails=fails)
    add("DELETE", each, f"delete_{one}", delete_row, require_editor, deleted)


for _resource in RESOURCES:
    _add_routes(_resource)
