"""Prometheus' own tool takes what we ship for it, and what we tell it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from library_server.extensions import db

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
WAIT_SECONDS = 60


def promtool(*arguments: str, told: str = "") -> None:
    """Runs it; a failure is told in its words. Skips, or fails where CI is set, without the program."""
    program = shutil.which("promtool")
    if program is None:
        reason = "NOT TESTED, because a program is missing: apt-get install prometheus (it has promtool)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [program, *arguments], cwd=SHIPPED, input=told, capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert (done.returncode, "FAILED" in done.stdout) == (0, False), done.stdout + done.stderr


def test_the_example_is_a_configuration_with_its_rules() -> None:
    promtool("check", "config", "scrape.yml")
    promtool("check", "rules", "alerts.yml")


def test_alerts_come_when_they_should() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_what_we_tell_is_well_formed_and_well_named(
    make_app: Callable[..., Flask], migrated: Callable[[str], str]
) -> None:
    app = make_app(migrated("guide"))
    client = app.test_client()
    for path in ("/health", "/content", "/nowhere"):
        client.get(path)
    promtool("check", "metrics", told=client.get("/metrics").get_data(as_text=True))
    with app.app_context():
        db.engine.dispose()
