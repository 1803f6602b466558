"""Who may call us from a page of another origin."""

from typing import Any

import pytest

from library_server.extensions import db

pytestmark = pytest.mark.parametrize("shape", ["guide"])
APP = "https://app.example.org"
ASK = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization, if-match"}


@pytest.fixture
def allowed(make_app: Any, database_url: str, redis: Any) -> Any:
    app = make_app(database_url, CORS_ORIGINS=f"{APP},http://localhost:3000")
    yield app.test_client()
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
def test_a_page_that_is_allowed_may_call_and_read(origin: str, allowed: Any, as_parent: Any, make_item: Any) -> None:
    item = make_item()
    asked = allowed.options(f"/content/{item}", headers={"Origin": origin} | ASK)
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert set(asked.headers["Access-Control-Allow-Headers"].lower().split(", ")) >= {"authorization", "if-match"}
    for path, status in ((f"/content/{item}", 200), ("/content/999", 404)):
        answer = allowed.get(path, headers=as_parent | {"Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, origin)
        assert {"Authorization", "Origin"} & set(", ".join(answer.headers.getlist("Vary")).split(", "))
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.org",
        f"{APP}.evil.org",
        "https://app-example.org",
        "null",
        f"{APP}:8443",
        "http://app.example.org",
    ],
)
def test_other_pages_may_not(origin: str, allowed: Any, as_parent: Any) -> None:
    for answer in (
        allowed.options("/content", headers={"Origin": origin} | ASK),
        allowed.get("/content", headers=as_parent | {"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_nobody_may_by_default(client: Any, as_parent: Any) -> None:
    assert "Access-Control-Allow-Origin" not in client.get("/content", headers=as_parent | {"Origin": APP}).headers


@pytest.mark.parametrize(
    "value", ["*", "app.example.org", f"{APP}/", f"{APP}/page", "https://.*", "https://a b", "null"]
)
def test_an_origin_that_is_none_is_refused_at_start(value: str, make_app: Any, database_url: str) -> None:
    with pytest.raises(Exception, match="CORS_ORIGINS must be origins"):
        make_app(database_url, CORS_ORIGINS=value)
