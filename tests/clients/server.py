"""Touchbook as a company runs it, a process of its own over a real data directory, and what the tests ask of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.commands import key_for
from touchbook.cli.serve import running
from touchbook.settings import settings_from

SECONDS = 60
TOUCHBOOK = (sys.executable, "-m", "touchbook")


@dataclass(frozen=True)
class Touchbook:
    """One running server."""

    url: str
    data: Path
    http: httpx.Client
    admin: str

    def key(self, source: str, role: str = "publish", origins: tuple[str, ...] = ()) -> str:
        wanted = {
            "role": role,
            "source": source,
            "channel": "web" if role == "publish" else None,
            "origins": origins,
        }
        answer = self.http.post("/v1/keys", json=wanted, headers=bearer(self.admin))
        return str(answer.raise_for_status().json()["key"])

    def agent(self) -> dict[str, str]:
        return bearer(self.key("desk", "agent"))

    def count(self, name: str, **labels: str) -> int:
        """The counter or level `touchbook_<name>`, added up over the labels that are not given."""
        text = self.http.get("/metrics").raise_for_status().text
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name in (f"touchbook_{name}", f"touchbook_{name}_total")
                and labels.items() <= sample.labels.items()
            )
        )

    def adds_up(self, **labels: str) -> bool:
        """Whether every item and every request that came is accounted for."""
        became = sum(self.count(name, **labels) for name in ("accepted", "duplicates", "rejected", "refused"))
        return self.count("received", **labels) == became

    def timeline(self, ref: str) -> list[dict[str, Any]]:
        """All of it, once everything that was accepted is visible. `ref` is clear: user_id:42."""
        wait_until(lambda: self.count("lag_touchpoints") == 0)
        items: list[dict[str, Any]] = []
        headers, cursor = self.agent(), ""
        while True:
            page = self.http.get(
                f"/v1/customers/{quote(ref, safe='')}/timeline",
                params={"limit": 500} | ({"cursor": cursor} if cursor else {}),
                headers=headers,
            )
            items += page.raise_for_status().json()["items"]
            cursor = page.json()["next"]
            if cursor is None:
                return items

    def card(self, ref: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/customers/{quote(ref, safe='')}", headers=self.agent())
        return dict(answer.raise_for_status().json())

    def set_aside(self, key: str) -> list[dict[str, Any]]:
        """What was set aside of the source that has this key."""
        return list(self.http.get("/v1/set-aside", headers=bearer(key)).raise_for_status().json()["items"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.02)


@contextmanager
def serving(
    data: Path, *, log: IO[bytes] | None = None, log_level: str = "warning", **settings: object
) -> Iterator[Touchbook]:
    """`touchbook serve` over the directory, until the block ends; then it must end well, and every count add up.
    `log` is where it writes what it has to say; stderr where it is None."""
    environment = {
        **os.environ,
        **{f"TOUCHBOOK_{name.upper()}": str(value) for name, value in settings.items()},
    }
    admin = key_for(data, "admin", "tests")
    process = subprocess.Popen(
        [*TOUCHBOOK, "serve", "--data", str(data), "--port", "0", "--log-level", log_level, "--json"],
        stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = str(json.loads(process.stdout.readline())["url"])
        with httpx.Client(base_url=url, timeout=SECONDS) as client:
            touchbook = Touchbook(url, data, client, admin)
            yield touchbook
            assert touchbook.adds_up()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving_here(data: Path) -> Iterator[Touchbook]:
    """The same in this process, where it does not matter that it is one of its own."""
    admin = key_for(data, "admin", "tests")
    with (
        running(settings_from(data=data, port=0)) as server,
        httpx.Client(base_url=server.url, timeout=SECONDS) as client,
    ):
        touchbook = Touchbook(server.url, data, client, admin)
        yield touchbook
        assert touchbook.adds_up()
