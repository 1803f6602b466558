"""Downloads raise an item's ``usage_count``."""

from sqlalchemy import func, update

from library_server.catalog.models import ContentItem
from library_server.extensions import db
from library_server.files.services import item_downloaded


def connect() -> None:
    """Counts from now on, in whichever application something is used."""
    item_downloaded.connect(count_download)


def count_download(sender: object, item_id: int) -> None:
    """Adds one, in a statement of its own: two at once are two."""
    used = func.coalesce(ContentItem.usage_count, 0) + 1
    db.session.execute(update(ContentItem).where(ContentItem.id == item_id).values(usage_count=used))
    db.session.commit()
