"""Who may see a file: asked of the catalogue's predicate, with the items that own its path."""

from sqlalchemy import func, select

from library_server.catalog.models import ContentItem
from library_server.catalog.services import is_in_curriculum
from library_server.catalog.visibility import shown
from library_server.extensions import db
from library_server.lib.digests import tag
from library_server.web.caching import kept, prefetch
from library_server.web.responses import Page, page


def expect(path: str) -> None:
    """That `is_retired` will be asked: what is kept of the answer comes with the request's next round trip to Redis."""
    prefetch(retired_key(path))


def is_retired(path: str) -> bool:
    """Whether items own the path and none of them is shown, nor any lesson or rhyme that uses it.

    A file that no row owns is not retired. What the items say is kept as answers are; the curriculum is always asked.
    """
    hidden = kept(retired_key(path), lambda: _is_hidden(path)).body == b"true"
    return hidden and not is_in_curriculum(path)


def _is_hidden(path: str) -> Page:
    owners, shown_owners = db.session.execute(
        select(func.count(), func.count().filter(shown())).where(ContentItem.file_path == path)
    ).one()
    return page(bool(owners) and not shown_owners)


def retired_key(path: str) -> str:
    """Where it is kept whether the items that own the file are all retired: the page ``true`` or ``false``."""
    return f"library:file:{tag(path.encode(errors='surrogatepass'))}"
