"""The WSGI entry point: ``gunicorn wsgi:app``, ``flask --app wsgi …``."""

from library_server import create_app
from library_server.config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    raise SystemExit(f"library-server: {error}") from None
