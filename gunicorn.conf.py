"""How gunicorn serves us: each value that is not the default, with its reason."""

from library_server.config import Config, ConfigError
from library_server.operations import serving

try:
    settings = Config.load()
except ConfigError as error:
    raise SystemExit(f"library-server: {error}") from None

wsgi_app = "wsgi:app"
bind = f"{settings.host}:{settings.port}"

# Requests wait for PostgreSQL, Redis and the disk, so each process serves several at once.
worker_class = "gthread"
workers = settings.workers
threads = 4

# The code is read once and shared by the workers; nothing connects before they fork.
preload_app = True

# A worker that leaked is replaced before it hurts, and not all of them at once.
max_requests = settings.max_requests
max_requests_jitter = settings.max_requests_jitter
graceful_timeout = settings.graceful_timeout

# nginx keeps connections to us open.
keepalive = 75

# A worker's heartbeat file on a disk can block; memory does not.
worker_tmp_dir = "/dev/shm"  # noqa: S108 (gunicorn makes the file's name)

# Nobody steers a running server through a socket in somebody's home folder.
control_socket_disable = True

# Lines of its log are like ours. An access log it has none: our own names the route, not the path, and nobody.
loglevel = settings.log_level.lower()
if settings.app_env == "production":
    logger_class = serving.JsonLogger

# Workers count together, in memory.
if settings.enable_metrics:
    serving.share_metrics()
    pre_fork, post_fork = serving.pre_fork, serving.post_fork
    child_exit, on_exit = serving.child_exit, serving.on_exit
