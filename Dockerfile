# The Library Server for production. Settings come as environment variables (README, Settings).
#
# It runs as user 10001 and writes to three places only, so its root may be read-only: /data (a volume: content, assets
# and uploads), /tmp (a tmpfs) and /dev/shm (which Docker makes).
#     docker run --read-only --tmpfs /tmp --volume library_data:/data --env-file .env --publish 8001:8001 library-server

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# What we stand on, before our sources: a change of ours leaves this layer as it is. All come as wheels, so no compiler is
# needed; pymediainfo's brings libmediainfo with it.
COPY constraints.txt setup.cfg ./
RUN python -c "import configparser as c; s = c.ConfigParser(); s.read('setup.cfg'); print(s['options']['install_requires'])" > requirements.txt \
    && python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --only-binary :all: --constraint constraints.txt --requirement requirements.txt
# A read-only root keeps no byte code, so it is made here; its times are those of the sources' contents, not of the clock.
WORKDIR /app
COPY wsgi.py gunicorn.conf.py ./
COPY migrations migrations
COPY library_server library_server
RUN python -m compileall -q --invalidation-mode unchecked-hash .

FROM python:3.12-slim
RUN groupadd --gid 10001 library \
    && useradd --uid 10001 --gid library --no-create-home --home-dir /nonexistent library \
    && install -d -o library -g library /data /data/content /data/assets /data/uploads /keys
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# A volume mounted here begins with the folders above, and their owner. /keys is for those alone who mount it: the key that
# nginx needs to check links (docker-compose.yml).
VOLUME /data
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8001}/health/live\", timeout=4)"]
CMD ["gunicorn"]

# Last, because they differ with each build: --build-arg REVISION=$(git rev-parse HEAD)
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Library Server" \
      org.opencontainers.image.description="The content service of Elemental Genius: catalogue, files and curriculum over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
