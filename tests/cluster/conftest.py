"""An installation of many machines beside one machine, shared by the tests of a module: what is published goes to
both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.both import KIOSK, Both, both
from tests.cluster.machines import installed
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka


@pytest.fixture(scope="module")
def shapes(
    kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("shapes")
    with (
        installed(kafka_server, clickhouse_server, folder / "many", ingress=(KIOSK,)) as machines,
        both(machines, folder) as made,
    ):
        yield made
