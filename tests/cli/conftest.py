from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import key_for
from touchbook.cli.serve import running
from touchbook.settings import settings_from


@pytest.fixture(autouse=True)
def _nothing_set_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TOUCHBOOK_"):
            monkeypatch.delenv(name)


class Shop:
    """A running server, its data directory, and a key of each role that the tests need."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.data = data
        self.publish = key_for(data, "publish", channel="web_chat")
        self.agent = key_for(data, "agent", "desk")
        self.admin = key_for(data, "admin", "operations")

    def asked_with(self, role: str) -> tuple[str, ...]:
        return ("--to", self.url, "--key", getattr(self, role))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    data = tmp_path_factory.mktemp("shop")
    with running(settings_from(data=data, port=0, log_level="error")) as server:
        yield Shop(server.url, data)
