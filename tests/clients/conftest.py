"""Real servers and real SDKs. Every test here publishes through a client that somebody else wrote.

What a module shares is made once, as its tests run in one process; a session would have one in each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.sdks import SDKS, Sdk
from tests.clients.server import Touchbook, serving


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Touchbook]:
    with serving(tmp_path_factory.mktemp("book")) as touchbook:
        yield touchbook


@pytest.fixture(scope="module")
def small_bodies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Touchbook]:
    """A server that takes requests of 2,000 bytes at most."""
    with serving(tmp_path_factory.mktemp("small"), max_request=2_000) as touchbook:
        yield touchbook


@pytest.fixture(scope="module")
def short_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Touchbook]:
    """A server with room for one waiting touchpoint."""
    with serving(tmp_path_factory.mktemp("short"), max_queue=1) as touchbook:
        yield touchbook


@pytest.fixture
def touchbook(everyday: Touchbook) -> Iterator[Touchbook]:
    yield everyday
    assert everyday.adds_up()


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return SDKS[request.param]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs obey the environment's proxy, which does not know this machine's loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
