"""How log lines look: JSON in production, text elsewhere."""

import logging
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flask import g, has_app_context
from flask.logging import default_handler

from library_server.config import Config
from library_server.lib import json
from library_server.lib.outlines import outline

_OURS = "library_server."  # Flask's own logger has the application's name, without the dot
_QUOTED = re.compile(r"( from ip=).*", re.DOTALL)  # gunicorn's line on a request that is none repeats the request
_TOLD_WHOLE = (
    "Starting gunicorn %s",
    "Listening at: %s (%s)",
    "Using worker: %s",
    "Handling signal: %s",
    "Shutting down: %s",
)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what else a line of ours tells, and the stack of an error.

    Lines of libraries are told without the texts among their values, which may be paths, addresses and names; so are
    errors (`lib.outlines`).
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if has_app_context() and "library_request_id" in g:
            line["request_id"] = g.library_request_id
        line |= getattr(record, "library_fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["stack"] = outline(record.exc_info[1])
        return json.encode(line).decode()


def log_as_told(settings: Config) -> None:
    """Sets our loggers up as LOG_LEVEL and APP_ENV say. Who has set up logging before keeps it."""
    logger = logging.getLogger("library_server")
    logger.setLevel(settings.log_level)
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # below that it names users
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # below that it repeats paths and links, in development
    if logger.hasHandlers():
        return
    if settings.app_env == "production":
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.getLogger().addHandler(handler)
    else:
        logger.addHandler(default_handler)


@lru_cache(2)
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message(record: logging.LogRecord) -> str:
    if hasattr(record, "library_fields"):
        return "request"
    return record.getMessage() if record.name.startswith(_OURS) else _without_texts(record)


def _without_texts(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, str):
        return type(record.msg).__name__
    if record.msg in _TOLD_WHOLE:
        return record.getMessage()
    arguments: Any = record.args or ()
    if isinstance(arguments, dict):
        values: Any = {name: _number(value) for name, value in arguments.items()}
    else:
        values = tuple(map(_number, arguments))
    try:
        return _QUOTED.sub(r"\1…", record.msg % values if values else record.msg)
    except (TypeError, ValueError, KeyError):
        return record.msg


def _number(value: object) -> object:
    return value if isinstance(value, int | float) else "…"
