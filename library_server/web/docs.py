"""The API's description as JSON and as a page. Every asset of the page comes from here."""

from pathlib import Path

import flask_swagger_ui
from flask import Response, current_app, send_from_directory, url_for
from werkzeug.exceptions import NotFound

from library_server.web.blueprints import LibraryBlueprint
from library_server.web.openapi import describe
from library_server.web.responses import json_response

bp = LibraryBlueprint("docs", __name__)

_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_ONLY_OURS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Library Server API</title>
<link rel="icon" href="{base}/favicon-32x32.png">
<link rel="stylesheet" href="{base}/swagger-ui.css">
<div id="api" data-description="{description}"></div>
<noscript>The description itself is at <a href="{description}">{description}</a>.</noscript>
<script src="{base}/swagger-ui-bundle.js"></script>
<script src="{base}/start.js"></script>
"""
_START = """const api = document.getElementById("api");
SwaggerUIBundle({
  domNode: api,
  url: api.dataset.description,
  validatorUrl: null,
  persistAuthorization: false,
});
"""


@bp.get("/api/content/openapi.json")
def openapi() -> Response:
    """The API's description."""
    kept = current_app.extensions.setdefault("library_openapi", {})
    if not kept:
        kept.update(describe(current_app._get_current_object()))  # type: ignore[attr-defined]
    return json_response(kept, headers={"Cache-Control": "public, max-age=300"})


@bp.get("/api/content/docs")
def page() -> Response:
    """The API's description to read and try."""
    description = url_for("library.docs.openapi")
    base = url_for("library.docs.page")
    response = Response(_PAGE.format(description=description, base=base), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _ONLY_OURS
    return response


@bp.get("/api/content/docs/<name>")
def asset(name: str) -> Response:
    """A part of the page."""
    if name == "start.js":
        return Response(_START, mimetype="text/javascript")
    if name not in _ASSETS:
        raise NotFound
    return send_from_directory(_SWAGGER_UI, name, max_age=86_400)
