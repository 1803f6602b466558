"""The catalogue over HTTP: parse, one call, status."""

from collections.abc import Callable
from functools import wraps

from flask import Response, current_app, request, url_for

from library_server.accounts.guards import current_actor, require_editor, require_user
from library_server.catalog import queries, replies, schemas, services
from library_server.catalog.errors import ContentNotFound, HasLearningRecords
from library_server.catalog.models import ContentItem
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.caching import Asked, cached, query_key
from library_server.web.inputs import load_body, load_query
from library_server.web.openapi import document
from library_server.web.replica import may_lag
from library_server.web.responses import Page, expected_revisions, json_response, page, revalidated

bp = LibraryBlueprint("catalog", __name__)


def _item_key(asked: Asked) -> str | None:
    shown = asked.query.get("active", "") in ("", "true")
    return f"content_cache:{asked.arguments['item_id']}" if shown else None


def _tell_views(view: Callable[..., Response]) -> Callable[..., Response]:
    @wraps(view)
    def telling(item_id: int) -> Response:
        response = view(item_id=item_id)
        if request.method == "GET" and response.status_code == 200:
            services.item_viewed.send(current_app._get_current_object(), item_id=item_id)  # type: ignore[attr-defined]
        return response

    telling.library_signal = services.item_viewed  # type: ignore[attr-defined]
    return telling


@bp.get("/content")
@document(replies.ItemList, query=schemas.ListQuery)
@require_user
@cached(query_key(schemas.ListQuery))
@may_lag
def list_items() -> Page:
    """The content library, filtered and paged.

    By `download_priority` (1 first, missing last), then by id. A page past the end is empty.
    """
    query = load_query(schemas.ListQuery)
    items, total = queries.list_items(current_actor(), query.filters, query.window, query.q, query.active)
    return page(
        {
            "content": [schemas.dump_item(item) for item in items],
            "filters_applied": query.filters,
            "pagination": query.window.describe(total),
        }
    )


@bp.post("/content")
@document(replies.ItemCreated, status=201, body=schemas.ContentDraft)
@require_editor
def create_item() -> Response:
    """Creates an item."""
    item = services.create_item(current_actor(), load_body(schemas.ContentDraft).values())
    payload = {
        "message": "Content created successfully",
        "content_id": item.id,
        "content_type": item.content_type,
        "subject_area": item.subject_area,
        "content": schemas.dump_item(item),
    }
    response = revalidated(payload, schemas.revision(item), 201)
    response.headers["Location"] = url_for("library.catalog.get_item", item_id=item.id)
    return response


@bp.get("/content/<int:item_id>")
@document(replies.ItemReply, query=schemas.ItemQuery, fails=(ContentNotFound,))
@require_user
@_tell_views
@cached(_item_key)
def get_item(item_id: int) -> Page:
    """One item. Its `ETag` is what `If-Match` takes when it is changed."""
    item = queries.get_item(current_actor(), item_id, load_query(schemas.ItemQuery).active)
    return page({"content": schemas.dump_item(item)}, schemas.revision(item))


@bp.put("/content/<int:item_id>")
@document(replies.ItemUpdated, body=schemas.ContentDraft, if_match=True, fails=(ContentNotFound,))
@require_editor
def replace_item(item_id: int) -> Response:
    """Replaces an item: what is not named is set to its default."""
    values = load_body(schemas.ContentDraft).values()
    return _updated(services.change_item(current_actor(), item_id, values, expected_revisions()))


@bp.patch("/content/<int:item_id>")
@document(replies.ItemUpdated, body=schemas.ContentChange, if_match=True, fails=(ContentNotFound,))
@require_editor
def change_item(item_id: int) -> Response:
    """Changes an item: what is not named stays."""
    values = load_body(schemas.ContentChange).values()
    return _updated(services.change_item(current_actor(), item_id, values, expected_revisions()))


@bp.delete("/content/<int:item_id>")
@document(replies.ItemDeleted, query=schemas.DeleteQuery, if_match=True, fails=(ContentNotFound, HasLearningRecords))
@require_editor
def delete_item(item_id: int) -> Response:
    """Retires an item, or removes it for good with `purge=true`."""
    if load_query(schemas.DeleteQuery).purge:
        services.purge_item(current_actor(), item_id, expected_revisions())
        return json_response({"message": "Content deleted successfully", "content_id": item_id})
    services.retire_item(current_actor(), item_id, expected_revisions())
    return json_response({"message": "Content retired successfully", "content_id": item_id})


@bp.get("/content/subjects")
@document(replies.Subjects)
@require_user
@cached(query_key(schemas.NoQuery))
@may_lag
def list_subjects() -> Page:
    """The subject areas there are, with counts."""
    counts = queries.count_by(current_actor(), "subject_area")
    return page({"subjects": list(counts), "subject_counts": counts})


@bp.get("/content/age-ranges")
@document(replies.AgeRanges)
@require_user
@cached(query_key(schemas.NoQuery))
@may_lag
def list_age_ranges() -> Page:
    """The age ranges there are, with counts."""
    counts = queries.count_by(current_actor(), "age_range")
    return page({"age_ranges": list(counts), "age_range_counts": counts})


@bp.get("/content/content-types")
@document(replies.ContentTypes)
@require_user
@cached(query_key(schemas.NoQuery))
@may_lag
def list_content_types() -> Page:
    """The content types there are, with counts."""
    counts = queries.count_by(current_actor(), "content_type")
    return page({"content_types": list(counts), "content_type_counts": counts})


def _updated(item: ContentItem) -> Response:
    payload = {"message": "Content updated successfully", "content": schemas.dump_item(item)}
    return revalidated(payload, schemas.revision(item))
