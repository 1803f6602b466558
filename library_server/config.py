"""The settings: the only reader of ``os.environ``; each is typed, with its default and a sentence."""

import os
from collections.abc import Mapping
from typing import Literal, Self

from flask import current_app
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from library_server.lib.setting_types import (
    DEFAULT_WEIGHTS,
    CommaList,
    DatabaseUrl,
    LogLevel,
    Networks,
    Origins,
    Parents,
    RateLimit,
    RedisUrl,
    WebAddress,
    Weights,
)

MIB = 1024 * 1024
MIN_SECRET_BYTES = 32
PRINTED_SAMPLE_SECRET = "your-super-secret-key-for-jwt-and-sessions"  # noqa: S105 (the guide's, refused)


class ConfigError(Exception):
    """A setting cannot work. The message is one line that names the variable, never its value."""


class Config(BaseModel):
    """Every setting, read from the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True, alias_generator=str.upper, hide_input_in_errors=True)

    app_env: Literal["production", "development", "testing"] = Field(
        "production",
        description="`production`, `development` or `testing`; production refuses weak secrets and logs JSON lines.",
    )
    secret_key: str = Field(
        "", description="The secret shared with the backend that signs tokens (HS256); at least 32 bytes."
    )
    algorithm: Literal["HS256"] = Field("HS256", description="The token algorithm; nothing else is accepted.")
    database_url: DatabaseUrl = Field("", description="`postgresql://user:password@host:5432/database`.")
    database_read_url: DatabaseUrl = Field(
        "", description="A replica of the database for children's lists and searches; what it cannot do the other does."
    )
    database_pool_size: int = Field(5, ge=1, le=200, description="Connections a worker keeps open.")
    database_max_overflow: int = Field(
        10, ge=0, le=200, description="Connections a worker may open beyond the pool under load."
    )
    redis_url: RedisUrl = Field(
        "",
        description="`redis://host:6379/0`, `rediss://…`, `unix:///path?db=0`, or by Sentinel "
        "`redis+sentinel://host:26379,host2:26379/mymaster/0`.",
    )
    content_storage_path: str = Field(
        "/data/content", description="The folder of content files (`audio/ video/ images/ documents/`)."
    )
    assets_storage_path: str = Field(
        "/data/assets", description="The folder of static assets (`images/ icons/ themes/`)."
    )
    uploads_storage_path: str = Field(
        "/data/uploads",
        description="The folder where uploads wait until they are checked; best on the disk of the content.",
    )
    max_upload_size: int = Field(100 * MIB, ge=1, description="The largest file that may be uploaded, in bytes.")
    content_files_access: Literal["token", "public"] = Field(
        "token",
        description="`token`: content files want a token or a signed link; `public`: anyone gets all but retired ones.",
    )
    signed_url_ttl: int = Field(3600, ge=60, le=7 * 86_400, description="Seconds that a signed link lives at least.")
    use_x_accel_redirect: bool = Field(
        False, description="`true`: nginx sends the bytes of files (`deploy/nginx/`); only behind such an nginx."
    )
    cdn_base_url: WebAddress = Field(
        "", description="`https://cdn.example.org`: where `file_url` points instead of to us."
    )
    content_editors: Parents = Field(
        (), description="Parent ids or e-mails, comma-separated, who may edit; empty: every parent may."
    )
    content_types: CommaList = Field(
        ("activity", "nursery_rhyme", "assessment", "lesson", "story", "game"),
        description="Values of `content_type` that may be written.",
    )
    age_ranges: CommaList = Field(
        ("3-5", "6-8", "9-12", "13+", "all"), description="Values of `age_range` that may be written."
    )
    difficulty_levels: CommaList = Field(
        ("beginner", "intermediate", "advanced", "easy", "standard", "challenging"),
        description="Values of `difficulty_level` that may be written.",
    )
    recommendation_weights: Weights = Field(
        ",".join(f"{name}={weight}" for name, weight in DEFAULT_WEIGHTS.items()),
        validate_default=True,
        description="How much each part of a recommendation counts (`docs/recommendations.md`); "
        "what is not named keeps its default.",
    )
    revocation_required: bool = Field(
        False, description="`true`: answer 503 while Redis cannot say whether a token is revoked."
    )
    cache_ttl: int = Field(
        3600, ge=0, le=86_400, description="Seconds that an answer is kept in Redis at most; 0: none is kept."
    )
    cache_poll_seconds: float = Field(
        2, ge=0, le=3600, description="How often writes of the backend are looked for, in seconds; 0: never."
    )
    usage_flush_seconds: float = Field(
        10,
        ge=0,
        le=3600,
        description="How often counts go to PostgreSQL, in seconds; 0: only by `flask library flush-usage`.",
    )
    rate_limit_default: RateLimit = Field("600 per minute", description="Requests of one user to one route.")
    rate_limit_search: RateLimit = Field("120 per minute", description="The same, to search and suggestions together.")
    rate_limit_upload: RateLimit = Field("60 per minute", description="The same, to uploads.")
    rate_limit_files: RateLimit = Field(
        "3000 per minute", description="The same, to files; one address where nobody is signed in."
    )
    rate_limit_anonymous: RateLimit = Field(
        "120 per minute", description="Failed sign-ins of one address; a school may share one."
    )
    cors_origins: Origins = Field(
        (), description="Origins of web pages that may call us, like `https://app.example.org`; empty: none."
    )
    trusted_proxies: Networks = Field(
        ("127.0.0.0/8", "::1"), description="Addresses and networks whose `X-Real-IP` is believed, comma-separated."
    )
    enable_metrics: bool = Field(
        True, description="`true`: requests are counted, and `/metrics` tells (`docs/operating.md`)."
    )
    metrics_allowed: Networks = Field(
        ("127.0.0.0/8", "::1"),
        description="Addresses and networks that may read `/metrics`, comma-separated; never through a proxy.",
    )
    log_level: LogLevel = Field("INFO", description="The least severe log line written to standard error.")
    host: str = Field("0.0.0.0", description="The address gunicorn listens on.")  # noqa: S104 (behind nginx)
    port: int = Field(8001, ge=1, le=65535, description="The port gunicorn listens on.")
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="gunicorn worker processes; unset: two a core, as far as memory goes, 2 to 12.",
    )
    threads: int = Field(4, ge=1, le=64, description="Requests that a worker answers at once.")
    cpu_affinity: bool = Field(
        True,
        description="`true`: a worker stays on one core (`docs/performance.md`); `false`: the kernel moves it about.",
    )
    max_requests: int = Field(10_000, ge=0, description="Requests after which a worker is replaced; 0: never.")
    max_requests_jitter: int = Field(
        1_000, ge=0, description="Random extra requests, so that workers are not replaced all at once."
    )
    graceful_timeout: int = Field(
        30, ge=1, description="Seconds that running requests get to finish when a worker stops."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in ("DATABASE_URL", "REDIS_URL") if not getattr(self, name.lower())]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} must be set (README, Settings); "
                "`make run` starts everything without any setting"
            )
        if not self.secret_key:
            raise ValueError("SECRET_KEY must be set: the backend's, so that its tokens are accepted here")
        if self.app_env == "production" and len(self.secret_key.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"SECRET_KEY is shorter than {MIN_SECRET_BYTES} bytes")
        if self.app_env == "production" and self.secret_key == PRINTED_SAMPLE_SECRET:
            raise ValueError("SECRET_KEY is the sample printed in the integration guide; choose another")
        return self

    @classmethod
    def load(cls, settings: "Config | Mapping[str, object] | None" = None) -> "Config":
        """The settings of the environment, `settings` (names as in the environment) winning over it.

        An empty variable counts as unset. Raises ConfigError on a value that cannot work.
        """
        if isinstance(settings, Config):
            return settings
        names = {field.upper() for field in cls.model_fields}
        unknown = set(settings or ()) - names
        if unknown:
            raise ConfigError(f"unknown setting {', '.join(sorted(unknown))}")
        given = {name: value for name, value in os.environ.items() if name in names} | dict(settings or {})
        try:
            return cls.model_validate({name: value for name, value in given.items() if value not in ("", None)})
        except ValidationError as error:
            raise ConfigError(
                "; ".join(_sentence(problem["loc"], problem["msg"]) for problem in error.errors())
            ) from None


def _sentence(loc: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{loc[0]} {text}" if loc else text


def current_config() -> Config:
    """The settings of the application in whose context we run."""
    config: Config = current_app.extensions["library_config"]
    return config
