"""Findings of the doctor, and checks that can neither hang nor stop one another."""

import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException

from flask import current_app
from sqlalchemy.exc import DBAPIError

from library_server.lib.outlines import kind
from library_server.operations.schema_report import Finding, Level
from library_server.shared.gate import RedisAway

LONGEST_SECONDS = 10.0  # for one check; most take milliseconds

Check = Callable[[], Iterator[Finding]]


def fine(check: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(check, Level.FINE, sentence)


def warn(check: str, sentence: str, mend: str) -> Finding:
    """It works, but will not always."""
    return Finding(check, Level.DEGRADED, f"{sentence} To mend it: {mend}")


def fail(check: str, sentence: str, mend: str) -> Finding:
    """Something does not work."""
    return Finding(check, Level.UNUSABLE, f"{sentence} To mend it: {mend}")


def findings_of(name: str, check: Check) -> list[Finding]:
    """What the check finds within LONGEST_SECONDS; a check that breaks is a finding of its own."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    found: list[Finding] = []

    def run() -> None:
        try:
            with app.app_context():
                found.extend(check())
        except DBAPIError as error:  # its text repeats the statement, and may name the database's user
            found.append(_lost(name, "PostgreSQL", kind(error.orig or error)))
        except RedisAway:
            found.append(_lost(name, "Redis", "no answer within 60 ms"))
        except (OSError, HTTPException) as error:
            told = f"no proper answer ({kind(error)})."
            found.append(fail(name, told, "look at the logs of proxy and server, then ask the doctor again."))
        except Exception as error:
            told = f"this could not be checked ({kind(error)})."
            found.append(warn(name, told, "try again; if it stays, this is a mistake of the doctor."))

    thread = threading.Thread(target=run, name="library-doctor", daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    if thread.is_alive():
        told = f"no answer within {LONGEST_SECONDS:.0f} seconds."
        return [*found, fail(name, told, "look at what it asks: a disk or a server that hangs.")]
    return found


def _lost(name: str, server: str, reason: str) -> Finding:
    told = f"{server} could not be asked ({reason})."
    return warn(name, told, f"see the line of {server}, then ask the doctor again.")
