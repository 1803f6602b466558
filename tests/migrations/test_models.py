"""The models agree with every database that the migrations leave behind."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import Connection, inspect
from sqlalchemy.dialects.postgresql import dialect as postgresql

from library_server.extensions import Base, db
from library_server.shared.schema import VERSION_TABLE
from tests.migrations.databases import LIBRARY_TABLES, SHAPES


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    """The database as it was found."""
    return str(request.param)


@pytest.fixture
def connection(shape: str, migrated: Callable[[str], str], make_app: Callable[..., Flask]) -> Iterator[Connection]:
    """A connection to the migrated database."""
    with make_app(migrated(shape)).app_context():
        with db.engine.connect() as opened:
            yield opened
        db.engine.dispose()


@pytest.mark.parametrize("table", LIBRARY_TABLES)
def test_every_column_of_a_model_is_there_with_its_type(table: str, connection: Connection) -> None:
    wanted = {column.name: as_sql(column.type) for column in Base.metadata.tables[table].columns}
    found = {column["name"]: as_sql(column["type"]) for column in inspect(connection).get_columns(table)}
    assert {name: found.get(name) for name in wanted} == wanted


def test_the_models_need_nothing_that_a_database_lacks(connection: Connection) -> None:
    lacking = ("add_table", "add_column", "modify_type", "add_constraint", "add_fk")
    assert [change for change in differences(connection) if change[0] in lacking] == []


@pytest.mark.parametrize("shape", ["empty"], indirect=True)
def test_tables_made_in_an_empty_database_are_what_the_models_say(connection: Connection) -> None:
    changes = [change for change in differences(connection) if not change[0].startswith("remove_")]
    assert changes == []


def test_the_models_key_is_unique_in_the_database(connection: Connection) -> None:
    found = inspect(connection)
    for table in LIBRARY_TABLES:
        unique = [constraint["column_names"] for constraint in found.get_unique_constraints(table)]
        assert ["id"] in [*unique, found.get_pk_constraint(table)["constrained_columns"]], table


def as_sql(kind: Any) -> str:
    """A column's type as PostgreSQL spells it."""
    return str(kind.compile(dialect=postgresql()))


def differences(connection: Connection) -> list[tuple[Any, ...]]:
    """What autogeneration would change to make our tables what the models say."""
    options = {
        "version_table": VERSION_TABLE,
        "include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
    }
    changes = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    return [each for change in changes for each in (change if isinstance(change, list) else [change])]
