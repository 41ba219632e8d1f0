"""What every folder of tests may ask for, and which of them share a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.servers.fixtures import clickhouse, clickhouse_server, kafka, kafka_server

__all__ = ["clickhouse", "clickhouse_server", "kafka", "kafka_server"]

SERVERS = {"kafka_server", "clickhouse_server", "kafka", "clickhouse"}
APART = ("cluster", "streams")
"""Folders whose tests of servers wait for so long that each has servers of its own."""
os.environ.setdefault("TOUCHBOOK_CLOCK", "false")
"""A clock that runs by itself adds what it notices to whatever a test published: it runs where a test says so."""
THOROUGH = any(os.environ.get(name, "").lower() in ("1", "true") for name in ("CI", "THOROUGH"))


def pytest_report_header() -> str | None:
    return None if THOROUGH else "thorough tests are left out: THOROUGH=1 runs them too, as CI=true does"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not THOROUGH:
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    _share_servers(items)


def _share_servers(items: list[pytest.Item]) -> None:
    """A process that meets a test of a server or a browser starts one and keeps it; so few processes shall."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVERS or item.get_closest_marker("server"):
            folder = Path(item.path).parent.name
            item.add_marker(pytest.mark.xdist_group(folder if folder in APART else "servers"))
        elif "browser" in fixtures:
            item.add_marker(pytest.mark.xdist_group("browser"))
