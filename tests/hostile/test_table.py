"""Every row of the table over a socket, to `touchbook serve` in a process of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.server import Touchbook, bearer, serving
from tests.hostile.raw import Answer, exchange
from tests.hostile.rows import ROWS, SOURCE, Row

ORIGIN = "https://shop.example.test"
PERSONAL = ("user_id:", "row-", "ann@", "ann%40", ":known", "Wheel", "x" * 100, "a" * 100)
"""Marks of what was sent: ids, addresses, names of events, long texts. The log must hold none."""


LEVELS = re.compile(rf'^touchbook_(set_aside|accepted_total)(?:{{source="{SOURCE}"}})? (\S+)$', re.MULTILINE)


class Target:
    """The server, the keys of every role, and what it held before the row that is looked at."""

    def __init__(self, touchbook: Touchbook, log: Path) -> None:
        self.touchbook = touchbook
        self.log = log
        address = urlsplit(touchbook.url)
        assert address.hostname
        assert address.port
        self.address = (address.hostname, address.port)
        self.keys = {
            "publish": touchbook.key(SOURCE),
            "public": touchbook.key("page", origins=(ORIGIN,)),
            "agent": touchbook.key("desk", "agent"),
            "scores": touchbook.key("recommender", "read-scores"),
            "admin": touchbook.admin,
        }

        self.held = (0, 0)
        """What it held after the last row."""

    def send(self, row: Row) -> list[Answer]:
        sent = row.bytes(self.keys)
        return exchange(
            self.address, sent, answers=row.answers, ends=row.status is None, head=sent.startswith(b"HEAD ")
        )

    def holds(self) -> tuple[int, int]:
        """How many touchpoints, and how many items set aside."""
        said = self.touchbook.http.get("/metrics").text
        counts = {name: int(float(value)) for name, value in LEVELS.findall(said)}
        return counts.get("accepted_total", 0), counts["set_aside"]

    def last_set_aside(self) -> dict[str, Any]:
        answer = self.touchbook.http.get("/v1/set-aside?limit=1", headers=bearer(self.keys["admin"]))
        return dict(answer.raise_for_status().json()["items"][0])

    def data_of(self, who: str, position: str) -> Any:
        """The data of what happened to somebody, once it is visible."""
        answer = self.touchbook.http.get(
            f"/v1/customers/user_id:{who}/timeline",
            params={"min_position": position},
            headers={**bearer(self.keys["agent"]), "Prefer": "wait=20"},
        )
        (item,) = answer.raise_for_status().json()["items"]
        return item["data"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        (folder / "log").open("wb") as log,
        serving(folder / "data", log=log, log_level="debug") as touchbook,
    ):
        made = Target(touchbook, folder / "log")
        known = {"type": "page", "userId": "known", "messageId": "known-1"}
        touchbook.http.post("/v1/page", json=known, headers=bearer(made.keys["publish"])).raise_for_status()
        assert touchbook.timeline("user_id:known")
        made.held = made.holds()
        yield made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_is_told_what_was_expected_and_where_it_went(target: Target, row: Row) -> None:
    (accepted, aside), answers = target.held, target.send(row)
    target.held = target.holds()
    assert [len(answers), *(answer.status < 500 for answer in answers)] == expected_number(row)
    if row.status is not None:
        told(answers[-1], row)
    if row.went == "kept":
        assert exactly(target.data_of(row.who, answers[-1].json["positions"][0])) == exactly(row.content)
        assert target.held == (accepted + row.answers - ("healthz" in str(row.sent[0])), aside)
    elif row.went == "aside":
        assert target.held == (accepted, aside + 1)
        item = target.last_set_aside()
        assert item["code"] == row.code
        raw = item["raw"] if row.code == "json_invalid" else json.dumps(item["raw"])
        assert exactly(raw) == exactly(row.content)
    else:
        assert target.held == (accepted, aside)


def expected_number(row: Row) -> list[Any]:
    number = 0 if row.status is None else row.answers
    return [number, *[True] * number]


def told(answer: Answer, row: Row) -> None:
    """The answer says what the row expects, in every place where a client may look for it."""
    assert answer.status == row.status, answer.body
    if not row.code:
        return
    if answer.status == 200:
        (rejected,) = answer.json["rejected"]
        assert (rejected["code"], answer.json["positions"]) == (row.code, [None])
        message = rejected["message"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json["code"], answer.json["status"]) == (row.code, answer.status)
        message = answer.json["detail"]
        assert message == answer.json["message"]
    for words in row.says:
        assert words in message


def exactly(content: Any) -> Any:
    """JSON text as a value that is equal only to what is the same to the last digit: 1 is neither 1.0 nor true."""
    return json.loads(content if isinstance(content, str) else json.dumps(content), **EXACTLY)


def _fraction(digits: str) -> Any:
    number = Decimal(digits)
    beyond = abs(number) > Decimal("1.8e308")  # set aside as the integer that it is
    return ("integer", int(number)) if beyond else ("fraction", str(number.normalize()))


EXACTLY: dict[str, Any] = {
    "parse_int": lambda digits: ("integer", int(digits)),
    "parse_float": _fraction,
    "parse_constant": lambda name: ("constant", name),
    "object_pairs_hook": lambda pairs: ("object", sorted((name, repr(value)) for name, value in pairs)),
}


def test_after_all_of_them_it_serves_as_before_and_its_log_tells_nothing_of_them(target: Target) -> None:
    answer = target.touchbook.http.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "up")
    assert target.touchbook.http.get("/readyz").status_code == 200
    assert target.touchbook.count("unreadable") == 0
    assert target.touchbook.adds_up()
    log = target.log.read_text("utf-8", "replace")
    assert "/v1/customers/{ref}" in log
    assert [
        line for line in log.splitlines() if "Traceback" in line or "ERROR" in line or "CRITICAL" in line
    ] == []
    assert [word for word in (*PERSONAL, *target.keys.values(), "tb_") if word in log] == []


def test_the_table_is_as_long_as_it_claims() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 100
