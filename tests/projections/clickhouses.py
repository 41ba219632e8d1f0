"""The oldest ClickHouse that is supported, as a server, and the current one, in this process."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.projections.chdb_engine import ChDb
from touchbook.projections.stores.clickhouse import ClickHouse, Engine
from touchbook.projections.stores.clickhouse_ddl import drop_build, make_build, migrate

BOTH = (pytest.param("oldest", marks=pytest.mark.server), "current")


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database with all migrations."""
    if request.param == "oldest":
        server = ClickHouse.of(request.getfixturevalue("clickhouse"))
        migrate(server)
        yield server
        server.close()
        return
    made = ChDb(f"t{secrets.token_hex(4)}")
    migrate(made)
    yield made
    made.drop()


@pytest.fixture
def build(engine: Engine) -> str:
    name = fresh_build()
    make_build(engine, name)
    return name


def fresh_build() -> str:
    return f"1-test-{secrets.token_hex(2)}"


__all__ = ["BOTH", "build", "drop_build", "engine", "fresh_build"]
