"""Search over HTTP: parse, one call, status."""

from library_server.accounts.guards import current_actor, require_user_within
from library_server.search import queries, replies, schemas, suggestions
from library_server.search.errors import SearchTookTooLong
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.caching import cached, query_key
from library_server.web.inputs import load_query
from library_server.web.openapi import document
from library_server.web.replica import may_lag
from library_server.web.responses import Page, page

bp = LibraryBlueprint("search", __name__)


@bp.get("/content/search")
@document(replies.SearchReply, query=schemas.SearchQuery, fails=(SearchTookTooLong,))
@require_user_within("search")
@cached(query_key(schemas.SearchQuery))
@may_lag
def search_items() -> Page:
    """Full-text search.

    In titles, objectives, descriptions and metadata, best first; filters and pages as in lists. Where nothing has the
    words, near spellings are offered.
    """
    query = load_query(schemas.SearchQuery)
    found = queries.search(current_actor(), query.q, query.filters, query.window, query.active)
    return page(
        {
            "query": query.q,
            "fuzzy": found.fuzzy,
            "content": schemas.dump_found(found),
            "filters_applied": query.filters,
            "pagination": query.window.describe(found.total),
            "facets": found.facets,
        }
    )


bp.add_url_rule("/api/content/search", "search_items_api", search_items)


@bp.get("/content/suggest")
@document(replies.Suggestions, query=schemas.SuggestQuery, fails=(SearchTookTooLong,))
@require_user_within("search")
@cached(query_key(schemas.SuggestQuery))
@may_lag
def suggest_titles() -> Page:
    """Titles for a search box, as one types."""
    query = load_query(schemas.SuggestQuery)
    found = suggestions.suggest(current_actor(), query.q)
    return page({"query": query.q, "suggestions": [schemas.dump_suggestion(item) for item in found]})
