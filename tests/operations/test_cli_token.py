"""`flask library token`: a token for local trials, and never one in production."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from library_server.extensions import db
from tests.conftest import SECRET, make_child, make_parent

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Callable[..., Result]:
    """``run("--parent", "1")``: the command with these words; it needs no database."""
    app = make_app(NOWHERE)
    return lambda *words: app.test_cli_runner().invoke(args=["library", "token", *words])


@pytest.mark.parametrize("kind", ["parent", "child"])
@pytest.mark.parametrize("environment", ["testing", "development"])
def test_the_token_signs_in(
    kind: str,
    environment: str,
    database_url: str,
    redis: object,
    make_app: Callable[..., Flask],
    sql: Callable[..., Any],
) -> None:
    parent = make_parent(sql)
    user = {"parent": parent, "child": make_child(sql, parent)}[kind]
    app = make_app(database_url, APP_ENV=environment)
    printed = app.test_cli_runner().invoke(args=["library", "token", f"--{kind}", str(user)])
    headers = {"Authorization": f"Bearer {printed.output.strip()}"}
    assert printed.exit_code == 0
    assert app.test_client().get("/content", headers=headers).status_code == 200
    draft = {"content_type": "story", "subject_area": "math", "age_range": "all"}
    written = app.test_client().post("/content", json=draft, headers=headers)
    assert written.status_code == {"parent": 201, "child": 403}[kind]
    with app.app_context():
        db.engine.dispose()


def test_the_token_is_the_only_thing_printed(run: Callable[..., Result]) -> None:
    lines = run("--parent", "3").output.splitlines()
    assert len(lines) == 1
    assert lines[0].count(".") == 2


@pytest.mark.parametrize(("words", "hours"), [((), 12), (("--hours", "1"), 1), (("--hours", "8760"), 8760)])
def test_the_token_is_in_the_guide_s_spelling_and_lives_as_long_as_told(
    words: tuple[str, ...], hours: int, run: Callable[..., Result]
) -> None:
    claims = jwt.decode(run("--child", "7", *words).output.strip(), SECRET, algorithms=["HS256"])
    assert {name: claims[name] for name in ("user_id", "user_type", "sub")} == {
        "user_id": 7,
        "user_type": "child",
        "sub": "7",
    }
    assert claims["exp"] - claims["iat"] == hours * 3600


def test_a_token_for_somebody_who_does_not_exist_signs_nobody_in(
    run: Callable[..., Result], client: FlaskClient
) -> None:
    token = run("--parent", "404").output.strip()
    answer = client.get("/content", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["message"]) == (401, "User not found")


@pytest.mark.parametrize("words", [["--parent", "1"], ["--child", "1", "--hours", "1"]], ids=" ".join)
def test_production_refuses(words: list[str], make_app: Callable[..., Flask]) -> None:
    app = make_app(NOWHERE, APP_ENV="production")
    result = app.test_cli_runner().invoke(args=["library", "token", *words])
    assert result.exit_code == 1
    assert result.output == "Error: tokens are the backend's to give in production (APP_ENV)\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give one of --parent and --child"),
        (["--parent", "1", "--child", "2"], "give one of --parent and --child"),
        (["--hours", "3"], "give one of --parent and --child"),
        (["--parent", "0"], "Invalid value for '--parent'"),
        (["--child", "-1"], "Invalid value for '--child'"),
        (["--parent", "ada@example.org"], "Invalid value for '--parent'"),
        (["--parent", "1", "--hours", "0"], "Invalid value for '--hours'"),
        (["--parent", "1", "--hours", "8761"], "Invalid value for '--hours'"),
        (["--parent"], "requires an argument"),
        (["--parent", "1", "2"], "unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_usage_is_told(words: list[str], sentence: str, run: Callable[..., Result]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "eyJ" not in result.output
