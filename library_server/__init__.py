"""The Library Server: the content service of Elemental Genius."""

from library_server.app import create_app, init_app
from library_server.version import __version__

__all__ = ["__version__", "create_app", "init_app"]
