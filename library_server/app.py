"""The application: a checklist of what it is made of."""

from collections.abc import Mapping
from pathlib import Path

from flask import Blueprint, Flask, Response

from library_server import cli, metrics
from library_server.catalog import routes as catalog
from library_server.catalog.services import item_changed
from library_server.config import Config
from library_server.curriculum import routes as curriculum
from library_server.extensions import bind_cache, bind_limiter, db, end_session, migrate
from library_server.file_lane import FileLane
from library_server.files import routes as files
from library_server.lane import FastLane
from library_server.operations import housekeeping
from library_server.operations import routes as operations
from library_server.recommendations import routes as recommendations
from library_server.search import routes as search
from library_server.shared import limits as _limits  # noqa: F401 (Flask-Limiter finds it by its scheme)
from library_server.shared.redis import redis
from library_server.shared.statements import measure
from library_server.usage import counting
from library_server.usage import routes as usage
from library_server.web import docs, health
from library_server.web.caching import forget
from library_server.web.cors import allow_origins
from library_server.web.errors import handle_errors_of, handle_routing_errors, tell_limits
from library_server.web.logs import log_as_told
from library_server.web.watch import watch

PREFIXES = ("/content", "/assets", "/api/content")  # what nginx sends here
EVERYWHERE = ("",)
FEATURES: list[Blueprint] = [
    *(catalog.bp, search.bp, curriculum.bp, files.bp, recommendations.bp, usage.bp),
    *(docs.bp, health.bp),
]
DIRECT: list[Blueprint] = [  # for who talks to our port without nginx
    *(files.direct, health.direct, operations.direct),
]
BESIDE_US = Path(__file__).parent.parent / "migrations"
MIGRATIONS = BESIDE_US if BESIDE_US.is_dir() else Path("migrations")  # installed elsewhere: where we are started

Settings = Config | Mapping[str, object]


def create_app(config: Settings | None = None) -> Flask:
    """The Library Server as an application of its own.

    `config`: settings by the names of their environment variables, which win over the environment. Connects to
    nothing. Raises ConfigError on a setting that cannot work.
    """
    settings = Config.load(config)
    app = Flask("library_server", static_folder=None)
    log_as_told(settings)
    _bind_extensions(app, settings)
    health.bind(app, MIGRATIONS)
    _mount(app, settings, [*FEATURES, *DIRECT], EVERYWHERE)
    migrate.init_app(app, db, directory=str(MIGRATIONS))
    app.cli.add_command(cli.library)
    app.wsgi_app = FastLane(app)  # type: ignore[method-assign]
    if settings.use_x_accel_redirect:
        app.wsgi_app = FileLane(app)  # type: ignore[method-assign]
    return app


def init_app(app: Flask, config: Settings | None = None) -> None:
    """Mounts the library into somebody else's application, below ``/content``, ``/assets`` and ``/api/content``.

    Its settings, extensions, error pages and hooks stay as they are; a route of its own that stands below our
    prefixes goes on to be its. `config` and errors as for `create_app`.
    """
    settings = Config.load(config)
    _bind_extensions(app, settings)
    health.bind(app, BESIDE_US)  # a folder of this name where it is started is the host's
    _mount(app, settings, FEATURES, PREFIXES)


def _bind_extensions(app: Flask, settings: Config) -> None:
    app.extensions["library_config"] = settings
    db.bind(
        app,
        settings.database_url,
        settings.database_read_url,
        settings.database_pool_size,
        settings.database_max_overflow,
    )
    counted = metrics.bind(app)
    if settings.enable_metrics:
        measure(app, counted, settings.database_pool_size + settings.database_max_overflow)
    redis.bind(app, settings.redis_url, counted)
    bind_cache(app)
    bind_limiter(app)
    item_changed.connect(forget)
    counting.bind(app)


def _send_the_rest(response: Response) -> Response:
    redis.batch().send()
    return response


def _mount(app: Flask, settings: Config, blueprints: list[Blueprint], prefixes: tuple[str, ...]) -> None:
    watch(app)
    library = Blueprint("library", __name__)
    handle_errors_of(library)
    library.before_request(housekeeping.start_once)
    library.after_request(tell_limits)
    library.after_request(_send_the_rest)
    library.teardown_request(end_session)
    allow_origins(library, settings.cors_origins)
    for blueprint in blueprints:
        library.register_blueprint(blueprint)
    app.register_blueprint(library)
    handle_routing_errors(app, prefixes)
