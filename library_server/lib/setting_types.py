"""What settings are made of: the text of an environment variable, checked and read; a ValueError says what is wrong."""

import math
import re
from ipaddress import ip_network
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = tuple(word.strip() for word in value.split(",") if word.strip())
    if not words:
        raise ValueError("names nothing between its commas")
    return words


CommaList = Annotated[tuple[str, ...], BeforeValidator(_split)]

# The parts of a recommendation's score (docs/recommendations.md) and how much each counts.
DEFAULT_WEIGHTS = {
    "skill_need": 0.3,
    "prerequisites": 0.15,
    "difficulty": 0.25,
    "unfinished": 0.05,
    "engagement": 0.05,
    "week": 0.04,
    "success": 0.04,
    "popularity": 0.02,
    "freshness": 0.05,
    "turn": 0.05,
}


def _weights(value: object) -> dict[str, float]:
    if not isinstance(value, str):
        raise ValueError("must be like skill_need=0.3,difficulty=0.2")
    weights = dict(DEFAULT_WEIGHTS)
    for entry in value.split(","):
        name, _, number = (part.strip() for part in entry.partition("="))
        if name not in DEFAULT_WEIGHTS:
            raise ValueError(f"may name {', '.join(DEFAULT_WEIGHTS)}, each like skill_need=0.3")
        if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", number, re.ASCII):
            raise ValueError(f"has a weight of {name} that is not a number from 0 to 999")
        weights[name] = float(number)
    if not math.fsum(weights.values()):
        raise ValueError("must leave one weight above 0")
    return weights


Weights = Annotated[dict[str, float], BeforeValidator(_weights)]


def _limit(value: str) -> str:
    try:
        parse_many(value)
    except ValueError:
        raise ValueError("must be like 600 per minute") from None
    return value


RateLimit = Annotated[str, AfterValidator(_limit)]


def _named_driver(value: str) -> str:
    rest = re.sub(r"^postgres(ql)?(\+psycopg2)?://", "", value)
    if value and rest == value:
        raise ValueError("must begin with postgresql://")
    return f"postgresql+psycopg2://{rest}" if value else value


def _known_scheme(value: str) -> str:
    if value.startswith("redis+sentinel://"):
        if not re.fullmatch(r"redis\+sentinel://([^@]*@)?[\w.-]+:\d{1,5}(,[\w.-]+:\d{1,5})*/[\w.-]+(/\d{1,3})?", value):
            raise ValueError("must be like redis+sentinel://host:26379,host2:26379/mymaster/0")
    elif value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss://, unix:// or redis+sentinel://")
    return value


def _web_address(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", value):
        raise ValueError("must be like https://cdn.example.org")
    return value.rstrip("/")


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", entry) for entry in value):
        raise ValueError("must be origins like https://app.example.org, without a path, comma-separated")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(entry)) for entry in value)
    except ValueError:
        raise ValueError("must be addresses and networks like 10.0.0.0/8, comma-separated") from None


def _ids_or_emails(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(entry.isascii() and (entry.isdigit() or "@" in entry) for entry in value):
        raise ValueError("must be parent ids or e-mails, comma-separated")
    return value


def _capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


DatabaseUrl = Annotated[str, AfterValidator(_named_driver)]
RedisUrl = Annotated[str, AfterValidator(_known_scheme)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Origins = Annotated[CommaList, AfterValidator(_origins)]
Networks = Annotated[CommaList, AfterValidator(_networks)]
Parents = Annotated[CommaList, AfterValidator(_ids_or_emails)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_capitals)]
