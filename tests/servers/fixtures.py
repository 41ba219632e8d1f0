"""One broker and one ClickHouse for each pytest process, started by the first test that asks; a place of its own in
them for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from tests.servers.process import Server

if TYPE_CHECKING:
    from touchbook.streams.backends.kafka import KafkaPlace

_started: list[Server] = []
_ended: list[str] = []
"""Prefixes of tests that are over, whose topics the broker still has."""
AT_ONCE = 5
"""Of so many tests topics are deleted together: a client for each would cost more than what it deletes."""


def rest() -> None:
    """Stops what runs here until `wake`."""
    for server in _started:
        server.stop()


def wake() -> None:
    for server in _started:
        server.start()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """With its secure listeners too."""
    with Kafka(tmp_path_factory.mktemp("kafka"), sasl=True) as server:
        _started.append(server)
        yield server
        _started.remove(server)


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as server:
        _started.append(server)
        yield server
        _started.remove(server)


@pytest.fixture
def kafka(kafka_server: Kafka) -> Iterator[KafkaPlace]:
    """A prefix that no other test has. The broker runs, whatever the test before did to it."""
    from touchbook.streams.backends.kafka import KafkaPlace

    kafka_server.start()
    place = KafkaPlace(bootstrap=(kafka_server.bootstrap,), prefix=_fresh())
    if len(_ended) >= AT_ONCE:
        _forget(place)
    yield place
    _ended.append(place.prefix)


def _forget(place: KafkaPlace) -> None:
    """A broker that is killed looks through the topics of every test before until it starts again, for ten seconds of
    CPU in the end."""
    with closing(place.admin()) as admin:
        theirs = [topic for topic in admin.list_topics() if topic.partition(".")[0] in _ended]
        admin.delete_topics(theirs, raise_errors=False)  # one that stays costs time and nothing else
    _ended.clear()


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouse) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    database = _fresh()
    clickhouse_server.start().execute(f"CREATE DATABASE {database}")
    yield clickhouse_server.url(database)
    clickhouse_server.start().execute(f"DROP DATABASE {database}")


def _fresh() -> str:
    return f"t{secrets.token_hex(4)}"
