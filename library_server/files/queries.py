"""Who may see a file: asked of the catalogue's predicate, with the items that own its path."""

from sqlalchemy import func, select

from library_server.catalog.models import ContentItem
from library_server.catalog.services import is_in_curriculum
from library_server.catalog.visibility import shown
from library_server.extensions import db


def is_retired(path: str) -> bool:
    """Whether items own the path and none of them is shown, nor any lesson or rhyme that uses it.

    A file that no row owns is not retired.
    """
    owners, shown_owners = db.session.execute(
        select(func.count(), func.count().filter(shown())).where(ContentItem.file_path == path)
    ).one()
    return bool(owners) and not shown_owners and not is_in_curriculum(path)
