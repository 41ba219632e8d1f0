"""What every folder of tests may ask for, and which of them share a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.fixtures import clickhouse, clickhouse_server, kafka, kafka_server

__all__ = ["clickhouse", "clickhouse_server", "kafka", "kafka_server"]

SERVERS = {"kafka_server", "clickhouse_server", "kafka", "clickhouse"}
APART = ("cluster", "streams")
"""Folders whose tests of servers wait for so long that each has servers of its own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process that meets a test of a server or a browser starts one and keeps it; so few processes shall."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVERS or item.get_closest_marker("server"):
            folder = Path(item.path).parent.name
            item.add_marker(pytest.mark.xdist_group(folder if folder in APART else "servers"))
        elif "browser" in fixtures:
            item.add_marker(pytest.mark.xdist_group("browser"))
