# The Library Server for production. Settings come as environment variables (README, Settings).
FROM python:3.12-slim AS build
WORKDIR /src
COPY constraints.txt setup.cfg pyproject.toml README.md LICENSE ./
COPY library_server library_server
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --system --uid 10001 library && install -d -o library /data /data/content /data/assets /data/uploads
COPY --from=build /venv /venv
WORKDIR /app
COPY wsgi.py gunicorn.conf.py ./
COPY migrations migrations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER library
EXPOSE 8001
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/health/live', timeout=3)"]
CMD ["gunicorn"]
