"""The backend's tables, and two made-up families to sign in as, for development."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from library_server.actor import Kind
from library_server.extensions import db
from library_server.shared import schema

# The integration guide's database: migrations then adopt it, as they would an operator's.
_GUIDE = Path(__file__).parent / "schema" / "guide.sql"

_PARENTS = (("Ada Berg", "ada@example.org"), ("Omar Diaz", "omar@example.org"))
_CHILDREN = (
    ("ada@example.org", "Mia", 4),
    ("ada@example.org", "Leo", 7),
    ("omar@example.org", "Zoe", 10),
    ("omar@example.org", "Ben", 13),
)


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in."""

    kind: Kind
    id: int
    description: str


def create_backend_tables() -> None:
    """Makes the guide's tables in a database that has none."""
    if not schema.columns("parent"):
        connection = db.session.connection()
        connection.exec_driver_sql(_GUIDE.read_text().replace("%", "%%"))
        db.session.commit()


def add_families() -> list[Person]:
    """Adds whoever is missing of the two families, and returns them all."""
    for name, email in _PARENTS:
        _add(
            "INSERT INTO parent (uuid, name, email, password_hash) VALUES (gen_random_uuid(), :name, :email, '!') "
            "ON CONFLICT (email) DO NOTHING",
            name=name,
            email=email,
        )
    for email, name, age in _CHILDREN:
        _add(
            "INSERT INTO child (uuid, parent_id, name, age) SELECT gen_random_uuid(), p.id, :name, :age FROM parent p "
            "WHERE p.email = :email AND NOT EXISTS (SELECT FROM child WHERE parent_id = p.id AND name = :name)",
            email=email,
            name=name,
            age=age,
        )
    db.session.commit()
    return [*_parents(), *_children()]


def _add(statement: str, **values: object) -> None:
    db.session.execute(text(statement), values)


def _parents() -> list[Person]:
    found = text("SELECT id, name FROM parent WHERE email LIKE '%@example.org' ORDER BY id")
    return [Person("parent", row.id, f"{row.name}, an editor") for row in db.session.execute(found)]


def _children() -> list[Person]:
    found = text(
        "SELECT c.id, c.name, c.age, p.name AS parent FROM child c JOIN parent p ON p.id = c.parent_id "
        "WHERE p.email LIKE '%@example.org' ORDER BY c.id"
    )
    return [Person("child", row.id, f"{row.name}, {row.age}, of {row.parent}") for row in db.session.execute(found)]
