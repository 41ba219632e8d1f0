"""What every folder of tests may ask for, and which of them share a process."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
import xdist
from hypothesis import settings

from tests import trust
from tests.servers import fixtures
from tests.servers.fixtures import clickhouse, clickhouse_server, kafka, kafka_server
from tests.thorough import THOROUGH, examples

__all__ = ["clickhouse", "clickhouse_server", "kafka", "kafka_server"]

SERVERS = {"kafka_server", "clickhouse_server", "kafka", "clickhouse"}
APART = ("cluster", "streams")
"""Folders whose tests of servers wait for so long that each has servers of its own."""
LONG = {"test_docs.py"}
"""What begins with the rest, so that nobody waits at the end for the last of them."""
os.environ.setdefault("TOUCHBOOK_CLOCK", "false")
"""A clock that runs by itself adds what it notices to whatever a test published: it runs where a test says so."""
trust.read_once()
settings.register_profile("touchbook", max_examples=examples(settings.default.max_examples), deadline=None)
settings.load_profile("touchbook")


def pytest_report_header() -> str | None:
    return (
        None
        if THOROUGH
        else "thorough tests and most examples are left out: THOROUGH=1 runs them too, as CI=true does"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected lives until the end, so looking for garbage among it would find none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not THOROUGH:
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    _share_servers(items)
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """A broker that nobody asks any more would use CPU until the last test has passed, and one that is started for a
    test that does not ask it seconds of it."""
    if xdist.is_xdist_worker(item.session) and _asks_servers(item):
        fixtures.wake()
    done = yield
    if nextitem is not None and xdist.is_xdist_worker(item.session) and not _asks_servers(nextitem):
        fixtures.rest()
    return done


def _group(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("xdist_group")
    return marker and marker.args[0]


def _asks_servers(item: pytest.Item) -> bool:
    """Or belongs to those that do, and runs among them."""
    return _group(item) in {"servers", *APART}


def _share_servers(items: list[pytest.Item]) -> None:
    """A process that meets a test of a server or a browser starts one and keeps it; so few processes shall."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVERS or item.get_closest_marker("server"):
            folder = Path(item.path).parent.name
            item.add_marker(pytest.mark.xdist_group(folder if folder in APART else "servers"))
        elif "browser" in fixtures:
            item.add_marker(pytest.mark.xdist_group("browser"))
        elif _shares_within_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares_within_its_module(item: pytest.Item) -> bool:
    """A server or a book that a module makes once would be made once in every process that takes some of its tests."""
    if _group(item) or not isinstance(item, pytest.Function):
        return False
    return any(made[-1].scope == "module" for made in item._fixtureinfo.name2fixturedefs.values())
