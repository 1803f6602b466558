"""Recommendations over HTTP: parse, one call, status."""

from flask import Response

from library_server.accounts.guards import current_actor, require_user
from library_server.recommendations import replies, schemas, services
from library_server.recommendations.errors import AccessDenied, ChildNotFound
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.caching import with_generation
from library_server.web.inputs import load_query
from library_server.web.openapi import document
from library_server.web.replica import may_lag
from library_server.web.responses import revalidated

bp = LibraryBlueprint("recommendations", __name__)


@bp.get("/content/child/<int:child_id>/recommendations")
@document(replies.RecommendationList, query=schemas.RecommendationQuery, fails=(AccessDenied, ChildNotFound))
@require_user
@with_generation
@may_lag
def recommend(child_id: int) -> Response:
    """What suits a child next, and why; for that child and its parent.

    Items of its age range or for all ages that it has not mastered, by what it needs to practise. The same all day,
    as long as neither its progress nor the library changes.
    """
    limit = load_query(schemas.RecommendationQuery).limit
    return revalidated(schemas.dump(services.recommend(current_actor(), child_id, limit)))
