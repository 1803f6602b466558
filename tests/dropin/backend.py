"""A stand-in for the Flask backend, from the contract: it signs people in, and works in the shared servers.

gunicorn serves it, so it reads the environment: DATABASE_URL, REDIS_URL, SECRET_KEY; with MOUNT_LIBRARY it mounts the
library in itself.
"""

import json
import os
import pickle
import random
import time
import uuid
from typing import Any

import jwt
import psycopg2
import redis
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from psycopg2.extras import RealDictCursor
from werkzeug.security import check_password_hash

from library_server import init_app

DAY = 86_400
LIVES = 30 * 60
PICTURE = "images/lesson picture.png"


def create_backend() -> Flask:
    """The application."""
    app = Flask("backend")
    app.add_url_rule("/", view_func=lambda: jsonify(service="backend"), endpoint="index")
    app.add_url_rule("/<kind>/login", view_func=login, methods=["POST"])
    app.add_url_rule("/logout", view_func=logout, methods=["POST"])
    app.add_url_rule("/lesson/<int:child>", view_func=give_lesson, methods=["POST"])
    if "MOUNT_LIBRARY" in os.environ:
        init_app(app)
    return app


def login(kind: str) -> ResponseReturnValue:
    """A token for a parent's e-mail and password, or the child of that name; ``?dialect=guide``: as in the guide."""
    said = request.get_json(silent=True) or request.form
    parents = _sql("SELECT * FROM parent WHERE email = %s", said.get("email"))
    if not parents or not check_password_hash(parents[0]["password_hash"], said.get("password", "")):
        return {"message": "Invalid credentials"}, 401
    user, claims = parents[0]["id"], {"email": parents[0]["email"]}
    if kind == "child":
        user = _sql("SELECT id FROM child WHERE parent_id = %s AND name = %s", user, said.get("name"))[0]["id"]
        claims = {"parent_id": parents[0]["id"]}
    _sql("UPDATE parent SET last_login = now() WHERE id = %s RETURNING id", parents[0]["id"])
    session = f"flask_session:{uuid.uuid4()}"
    _redis().setex(session, 31 * DAY, pickle.dumps({"_permanent": True, "user": user}))
    now = int(time.time())
    times = {"iat": now, "exp": now + LIVES + random.randrange(LIVES)}  # two logins in a second differ
    if request.args.get("dialect") == "guide":
        payload: dict[str, Any] = {"user_id": user, "user_type": kind, "sub": str(user)} | times
    else:
        payload = {"id": user, "type": kind, "jti": str(uuid.uuid4())} | claims | times
    return {"access_token": jwt.encode(payload, os.environ["SECRET_KEY"], "HS256"), kind: {"id": user}}


def logout() -> ResponseReturnValue:
    """Revokes the token: by its id where it has one, else by its text."""
    token = request.headers["Authorization"].split()[1]
    payload = jwt.decode(token, os.environ["SECRET_KEY"], ["HS256"])
    if "jti" in payload:
        _redis().sadd("jwt_blacklist", payload["jti"])
    else:
        _redis().setex(f"blacklisted_token:{token}", payload["exp"] - int(time.time()), "true")
    return {"message": "Logged out"}


def give_lesson(child: int) -> ResponseReturnValue:
    """A child's lesson: a row in each of the backend's tables, and keys of each kind. Answers with the item's id."""
    title = (request.get_json(silent=True) or {}).get("title", "A lesson")
    content = _sql(
        "INSERT INTO content_library (content_type, subject_area, age_range, skill_objectives, file_path, "
        "download_priority, difficulty_level, prerequisite_skills, content_metadata, active, created_at, updated_at) "
        "VALUES ('lesson', 'science', '6-8', %s, %s, 1, 'standard', %s, %s, true, now(), now()) RETURNING content_id",
        *(json.dumps(["observing"]), PICTURE, json.dumps([]), json.dumps({"title": title})),
    )[0]["content_id"]
    _sql("UPDATE content_library SET download_priority = 2 WHERE content_id = %s RETURNING content_id", content)
    _learn(child)
    _use_redis(content)
    return {"content_id": content}


def _learn(child: int) -> None:
    session = _sql(
        "INSERT INTO learning_sessions (child_id, session_type, planned_duration, actual_duration, session_start) "
        "VALUES (%s, 'daily', 15, 14, now()) RETURNING session_id",
        child,
    )[0]["session_id"]
    _sql(
        "INSERT INTO voice_interactions (child_id, session_id, interaction_type, prompt_given, success_achieved) "
        "VALUES (%s, %s, 'rhyme', 'cat', true) RETURNING interaction_id",
        *(child, session),
    )
    _sql(
        "INSERT INTO assessments (child_id, assessment_type, skill_scores) VALUES (%s, 'weekly', %s) "
        "RETURNING assessment_id",
        *(child, json.dumps({"rhyming": 80})),
    )
    if not _sql("UPDATE progress SET rhyming = rhyming + 1 WHERE child_id = %s RETURNING id", child):
        _sql("INSERT INTO progress (child_id, rhyming, blending) VALUES (%s, 40, 50) RETURNING id", child)
    _sql("UPDATE child SET total_stars = coalesce(total_stars, 0) + 1 WHERE id = %s RETURNING id", child)
    _sql(
        "INSERT INTO system_analytics (metric_type, metric_name, metric_value, server_component, timestamp) "
        "VALUES ('usage', 'lesson', 1, 'AI', now()) RETURNING analytics_id"
    )


def _use_redis(content: int) -> None:
    """What sessions, Celery, Kombu and Socket.IO leave in the shared Redis."""
    task = str(uuid.uuid4())
    message = json.dumps({"body": task, "headers": {"task": "lesson.render", "id": task}})
    with _redis().pipeline() as pipe:
        pipe.lpush("celery", message)
        pipe.sadd("_kombu.binding.celery", "celery\x06\x16\x06\x16celery")
        pipe.hset("_kombu.unacked", task, message)
        pipe.zadd("_kombu.unacked_index", {task: time.time()})
        pipe.setex(f"celery-task-meta-{task}", DAY, json.dumps({"status": "SUCCESS", "result": content}))
        pipe.setex(f"celery_task:{task}", DAY, "SUCCESS")
        pipe.hset(f"socketio_room:{task}", mapping={"sid": task, "binary": bytes(range(256))})
        pipe.expire(f"socketio_room:{task}", 3600)
        pipe.publish("socketio", message)
        pipe.set(f"socketio:{task}", pickle.dumps({"room": task}))
        pipe.setex(f"flask_session:{task}", 31 * DAY, pickle.dumps({"_permanent": True, "child": content}))
        pipe.execute()


def _sql(statement: str, *values: object) -> list[dict[str, Any]]:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    try:
        with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()]
    finally:
        connection.close()


def _redis() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"])
