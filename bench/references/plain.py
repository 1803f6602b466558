"""The plain reference: the way such a service is usually written, on the same data.

Each request decodes the token and asks the database for the user; each answer is a query or two and `jsonify`; what a
child reads is counted by an UPDATE.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import jwt
from flask import Flask, Response, abort, g, jsonify, request, send_from_directory
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://")
db = SQLAlchemy(app)


class Parent(db.Model):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String)


class Child(db.Model):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)
    parent_id = db.Column(db.Integer)
    age = db.Column(db.Integer)


class Progress(db.Model):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)
    child_id = db.Column(db.Integer)
    content_id = db.Column(db.Integer)
    accuracy_percentage = db.Column(db.Float)


class Content(db.Model):  # type: ignore[name-defined,misc]
    __tablename__ = "content_library"
    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String)
    description = db.Column(db.Text)
    content_type = db.Column(db.String)
    subject_area = db.Column(db.String)
    age_range = db.Column(db.String)
    difficulty_level = db.Column(db.String)
    skill_objectives = db.Column(db.JSON)
    prerequisite_skills = db.Column(db.JSON)
    content_metadata = db.Column(db.JSON)
    file_path = db.Column(db.String)
    download_priority = db.Column(db.Integer)
    active = db.Column(db.Boolean)
    usage_count = db.Column(db.Integer)
    success_rate = db.Column(db.Integer)
    average_completion_time = db.Column(db.Integer)
    created_at = db.Column(db.DateTime)

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON."""
        shown = {column.name: getattr(self, column.name) for column in self.__table__.columns}
        return shown | {"created_at": self.created_at and self.created_at.isoformat()}


def signed_in(view: Callable[..., Response]) -> Callable[..., Response]:
    """For parents and children."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        try:
            token = request.headers["Authorization"].split(" ")[1]
            claims = jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])
        except (KeyError, IndexError, jwt.InvalidTokenError):
            abort(401)
        g.kind = claims["user_type"]
        g.user = db.session.get(Parent if g.kind == "parent" else Child, claims["user_id"])
        if g.user is None:
            abort(401)
        return view(*args, **kwargs)

    return checked


@app.get("/content/<int:item_id>")
@signed_in
def one(item_id: int) -> Response:
    """One item."""
    item = db.session.get(Content, item_id)
    if item is None or not item.active:
        abort(404)
    if g.kind == "child":
        item.usage_count = (item.usage_count or 0) + 1
        db.session.commit()
    return jsonify({"content": item.to_dict()})


@app.get("/content")
@signed_in
def some() -> Response:
    """A page of the list."""
    found = Content.query.filter_by(active=True)
    for name in ("subject_area", "age_range", "content_type", "difficulty_level"):
        if request.args.get(name):
            found = found.filter_by(**{name: request.args[name]})
    page, per_page = int(request.args.get("page", 1)), int(request.args.get("per_page", 20))
    total = found.count()
    items = found.order_by(Content.download_priority, Content.id).offset((page - 1) * per_page).limit(per_page).all()
    return jsonify({"content": [item.to_dict() for item in items], "total": total, "page": page})


@app.get("/content/child/<int:child_id>/recommendations")
@signed_in
def recommended(child_id: int) -> Response:
    """The most successful items of the child's age that it has not mastered."""
    child = db.session.get(Child, child_id)
    age_range = next(name for top, name in ((5, "3-5"), (8, "6-8"), (12, "9-12"), (99, "13+")) if child.age <= top)
    mastered = db.select(Progress.content_id).where(Progress.child_id == child_id, Progress.accuracy_percentage >= 80)
    items = (
        Content.query.filter(Content.active, Content.age_range.in_([age_range, "all"]), Content.id.not_in(mastered))
        .order_by(Content.success_rate.desc().nulls_last(), Content.usage_count.desc())
        .limit(10)
    )
    return jsonify({"recommendations": [item.to_dict() for item in items]})


@app.get("/content/<path:path>")
@signed_in
def file(path: str) -> Response:
    """A file."""
    return send_from_directory(os.environ["CONTENT_STORAGE_PATH"], path)
