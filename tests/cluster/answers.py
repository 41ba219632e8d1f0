"""Everything that a server tells of its customers, without what belongs to one installation alone: so that two can be
compared whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

OF_ONE_INSTALLATION = {"position", "recorded_at", "version", "stream_from", "next"}
"""Where and when it was recorded, and tokens: another installation has others."""
PERMANENT = re.compile(r"\b[0-9a-f]{32}\b")
PURPOSES = ("service", "offer", "survey", "teach")
Identifier = tuple[str, str]
"""(type, value)"""


@dataclass
class Desk:
    """Reads as an agent does, and as an admin."""

    http: httpx.Client
    agent: str
    admin: str = ""

    def get(self, path: str, role: str = "agent", **asked: Any) -> Any:
        answer = self.http.get(path, params=asked or None, headers=self._as(role))
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: object, role: str = "agent") -> Any:
        answer = self.http.post(path, json=body, headers=self._as(role))
        assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def _as(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin if role == 'admin' else self.agent}"}

    def read_at(self, ref: str, positions: Sequence[str], seconds: int = 20) -> httpx.Response:
        """His scores, once these positions are visible or after so many seconds."""
        return self.http.get(
            f"/v1/customers/{quote(ref, safe='')}/scores",
            params={"min_position": list(positions)},
            headers={**self._as("agent"), "Prefer": f"wait={seconds}"},
        )

    def card(self, who: Identifier) -> Any:
        """None where nobody of that name was ever heard of."""
        body = {"type": who[0], "value": who[1]}
        answer = self.http.post("/v1/customers:lookup", json=body, headers=self._as("agent"))
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    def pages(self, path: str, role: str = "agent", **asked: Any) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = self.get(path, role, limit=500, **asked, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found


@contextmanager
def at_the_desk(url: str, agent: str, admin: str = "") -> Iterator[Desk]:
    with httpx.Client(base_url=url, timeout=60) as http:
        yield Desk(http, agent, admin)


def told(
    desk: Desk, identifiers: Iterable[Identifier], days: Sequence[str], deep: bool = True
) -> dict[str, Any]:
    """Of every customer among these identifiers all that is told of him, under his name: the least of his identifiers.
    `deep`: also what is made for one customer at a time: timelines, contexts, explanations."""
    customers: dict[str, Any] = {}
    names: dict[str, str] = {}
    unknown = []
    for who in sorted(set(identifiers)):
        card = desk.card(who)
        if card is None:
            unknown.append(f"{who[0]}:{who[1]}")
            continue
        members = {one["id"]: f"{one['type']}:{one['value']}" for one in card["identifiers"]}
        names |= members
        customers.setdefault(min(members.values()), {"card": card})
    for name, known in customers.items():
        ref = known["card"]["customer"]
        assert name in members_of(known["card"])
        if deep:
            known |= of_one(desk, ref, days)
    refs = [known["card"]["customer"] for known in customers.values()]
    scores = {day: scores_of(desk, refs, day) for day in days}
    for place, known in enumerate(customers.values()):
        known["scores"] = {day: scores[day][place] for day in days}
    return {"customers": cleared(customers, names), "unknown": sorted(unknown)}


def members_of(card: Any) -> list[str]:
    return [f"{one['type']}:{one['value']}" for one in card["identifiers"]]


def of_one(desk: Desk, ref: str, days: Sequence[str]) -> dict[str, Any]:
    root = f"/v1/customers/{quote(ref, safe='')}"
    names = list(desk.get(f"{root}/scores")["scores"])
    timeline = desk.pages(f"{root}/timeline")
    return {
        "timeline": timeline,
        "timeline for him": desk.pages(f"{root}/timeline", audience="customer"),
        "contexts": {purpose: desk.get(f"{root}/context", purpose=purpose) for purpose in PURPOSES},
        "each score": {day: desk.get(f"{root}/scores", at=day) for day in days},
        "explained": {
            name: {day: desk.get(f"{root}/scores/{name}/explain", at=day) for day in days} for name in names
        },
        "what if": desk.get(
            f"{root}/scores/{names[0]}/explain",
            **{"at": days[0], "with": "complaint:1", **({"without": timeline[0]["key"]} if timeline else {})},
        ),
        "requests": [without_running_clock(one) for one in desk.pages(f"{root}/requests")],
        "buying": {day: desk.get(f"{root}/buying", at=day) for day in days},
        "interests": {day: desk.get(f"{root}/interests", at=day) for day in days},
    }


def without_running_clock(turn: Any) -> Any:
    return {name: value for name, value in turn.items() if not (turn["open"] and name.endswith("seconds"))}


def scores_of(desk: Desk, refs: Sequence[str], day: str, at_once: int = 200) -> list[Any]:
    """In the order of the references."""
    found: list[Any] = []
    for start in range(0, len(refs), at_once):
        body = {"customers": refs[start : start + at_once], "at": day}
        answer = desk.post("/v1/scores:batchGet", body)
        assert not answer["unknown"]
        found += answer["items"]
    return found


def cleared(told: Any, names: dict[str, str]) -> Any:
    """Without what is of one installation; permanent ids by the identifiers they stand for."""
    if isinstance(told, dict):
        return {
            PERMANENT.sub(lambda found: names.get(found[0], found[0]), name): cleared(value, names)
            for name, value in told.items()
            if name not in OF_ONE_INSTALLATION
        }
    if isinstance(told, list):
        rows = [cleared(one, names) for one in told]
        # Members of one customer are told by their ids, which another installation orders otherwise.
        return sorted(rows, key=_as_text) if _are_members(told) else rows
    return PERMANENT.sub(lambda found: names.get(found[0], found[0]), told) if isinstance(told, str) else told


def _are_members(rows: list[Any]) -> bool:
    return bool(rows) and all(isinstance(one, dict) and {"id", "type", "value"} <= one.keys() for one in rows)


def _as_text(row: Any) -> str:
    return json.dumps(row, sort_keys=True)


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys(), key=str):
            if name not in one or name not in other:
                yield f"{path}/{name}: only in {'the other' if name in other else 'one'}"
            else:
                yield from differences(one[name], other[name], f"{path}/{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (mine, his) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, his, f"{path}[{place}]")
    elif one != other:
        yield f"{path}: {_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:200]}… ({len(value) if isinstance(value, list) else ''})"
