"""The bare reference: what Flask takes to answer with a kilobyte that is there already."""

from flask import Flask, Response

BODY = b'{"content": "' + b"x" * 1008 + b'"}'

app = Flask(__name__)


@app.get("/")
def answer() -> Response:
    """A kilobyte."""
    return Response(BODY, mimetype="application/json")
