"""docker-compose.yml and the Dockerfile: what they promise, as far as it can be read (try_image.py runs it)."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from library_server.version import __version__
from tests.nginx import servers as run

PROJECT = Path(__file__).parent.parent.parent
COMPOSE = [PROJECT / "docker-compose.yml", *sorted((PROJECT / "deploy").glob("compose.*.yml"))]
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE[0].read_text())["services"]
NETWORKS: dict[str, Any] = yaml.safe_load(COMPOSE[0].read_text())["networks"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def test_only_nginx_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service or "network_mode" in service] == ["nginx"]
    assert all(NETWORKS[name] and NETWORKS[name]["internal"] for name in ("data", "web"))
    assert [name for name, service in SERVICES.items() if "outside" in service["networks"]] == ["nginx"]
    assert "data" not in SERVICES["nginx"]["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service or name == "postgres"


def test_a_service_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & SERVICES["library-server"].keys()


def test_no_secret_has_a_default_and_every_variable_is_explained() -> None:
    used = {name: rest for path in COMPOSE for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", path.read_text())}
    told = dict(re.findall(r"^(\w+)=(.*)$", (PROJECT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name in used if name not in told} == {"BACKEND_FOLDER", "TLS_FOLDER"}  # of the files beside
    assert told["SECRET_KEY"] == told["POSTGRES_PASSWORD"] == ""
    first = COMPOSE[0].read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        assert set(re.findall(rf"\$\{{{name}(..)", first)) == {":?"}


def test_every_setting_that_has_nothing_to_do_with_the_place_may_be_set() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (PROJECT / "README.md").read_text(), re.MULTILINE))
    of_the_place = {"APP_ENV", "HOST", "PORT", "GRACEFUL_TIMEOUT"} | {name for name in told if name.endswith("_PATH")}
    assert SERVICES["library-server"]["environment"].keys() == told - of_the_place


def test_what_is_mounted_is_there() -> None:
    entries = [entry for service in SERVICES.values() for entry in service.get("volumes", [])]
    sources = {entry.split(":")[0] for entry in entries if entry.startswith("./")}
    assert len(sources) >= 4
    assert [source for source in sources if not (PROJECT / source).exists()] == []


def test_nginx_has_the_group_that_may_read_the_key() -> None:
    group = re.search(r"^USER \d+:(\d+)$", DOCKERFILE, re.MULTILINE)
    assert group
    assert SERVICES["nginx"]["user"].endswith(f":{group[1]}")


def test_the_image_has_our_version_and_all_that_it_copies_may_come_along() -> None:
    assert f"\nARG VERSION={__version__}\n" in DOCKERFILE
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    let_in = set(re.findall(r"^!(.+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == let_in


@pytest.mark.parametrize("beside", [[], ["deploy/compose.backend.yml"], ["deploy/compose.tls.yml"]])
def test_compose_takes_it(beside: list[str], tmp_path: Path) -> None:
    compose = next((words for words in (["docker", "compose"], ["docker-compose"]) if runs([*words, "version"])), None)
    run.require("docker-compose", compose)
    assert compose
    (tmp_path / "env").write_text(
        "SECRET_KEY=a\nPOSTGRES_PASSWORD=b\nBACKEND_FOLDER=/tmp\nTLS_FOLDER=/tmp\nCACHE_TTL=17\n"
    )
    files = [word for name in ["docker-compose.yml", *beside] for word in ("-f", name)]
    command = [*compose, "--env-file", str(tmp_path / "env"), *files, "config"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    service = yaml.safe_load(done.stdout)["services"]["library-server"]
    assert "postgresql://library:b@postgres" in json.dumps(service)
    assert str(service["environment"]["CACHE_TTL"]) == "17"
    assert not service["environment"].get("CACHE_POLL_SECONDS")


def runs(command: list[str]) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, timeout=60).returncode == 0
