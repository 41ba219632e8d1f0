"""An installation of many machines beside one machine, shared by the tests of a module: what is published goes to
both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.both import KIOSK, Both, both
from tests.cluster.machines import Machines
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka


@pytest.fixture(scope="module")
def shapes(
    kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    name = f"shapes{secrets.token_hex(3)}"
    folder = tmp_path_factory.mktemp("shapes")
    kafka_server.start()
    clickhouse_server.start().execute(f"CREATE DATABASE {name}")
    url = clickhouse_server.url(name)
    machines = Machines(kafka_server.bootstrap, name, url, folder / "many", ingress=(KIOSK,))
    try:
        with both(machines, folder) as made:
            yield made
    finally:
        machines.close()
        clickhouse_server.start().execute(f"DROP DATABASE {name}")
