"""The documents say what the code does."""

import re
from pathlib import Path

from flask import Flask

from library_server.config import Config

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()


def test_every_setting_is_in_the_readme() -> None:
    table = README.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert table == settings_table()


def test_every_route_is_in_the_readme(app: Flask) -> None:
    routes = README.partition("## Routes")[2].partition("## Operating")[0]
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?\w+>", "<id>", rule.rule.replace("<path:path>", "{path}")).replace("{path}", "<path>")
        if "/api/content/health" in path or path == "/api/content/docs/<id>":
            continue  # told in words
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert f"`{method} {path}`" in routes


def test_every_document_is_found_from_the_readme() -> None:
    for document in (PROJECT / "docs").glob("*.md"):
        assert f"(docs/{document.name})" in README


def settings_table() -> str:
    """The README's table of settings, from the settings themselves."""
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(default)
        if isinstance(default, bool):
            default = str(default).lower()
        rows.append(f"| `{name.upper()}` | {'—' if default in ('', None) else f'`{default}`'} | {field.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(settings_table(), end="")  # noqa: T201 (to paste into the README)
