"""The floors of docs/architecture.md: each module imports only lower ones, and few of them see the request."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "library_server"

FLOORS = {
    "lib": -1,
    "config": 0, "errors": 0, "actor": 0, "version": 0,
    "extensions": 1, "metrics": 1,
    "storage": 2, "shared": 2,
    "web": 3,
    "accounts": 4,
    "catalog": 5, "lane": 5, "file_lane": 7,
    "curriculum": 6, "files": 6, "recommendations": 6, "search": 6,
    "usage": 7,
    "app": 8, "cli": 8, "operations": 8, "dev": 8, "__init__": 8,
}  # fmt: skip
SEE_THE_REQUEST = ("routes.py", "guards.py", "limits.py")  # limits are about who asks, and from where

MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_floors(module: Path) -> None:
    own = room_of(module)
    for imported in library_imports(module):
        other = imported.split(".")[1] if "." in imported else "__init__"
        assert other == own or FLOORS[other] < FLOORS[own] or FLOORS[own] == 8, f"{module} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_only_routes_guards_and_web_see_the_request(module: Path) -> None:
    if room_of(module) == "web" or module.name in SEE_THE_REQUEST:
        return
    imports = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if node.module == "flask" for alias in node.names}
    assert not names & ({"request", "session"} if room_of(module) == "shared" else {"request", "g", "session"})


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def library_imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("library_server"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("library_server"):
            if node.module == "library_server":
                yield from (f"library_server.{alias.name}" for alias in node.names if alias.name != "create_app")
            else:
                yield str(node.module)
