"""Replicas that decide, as processes of their own: the log, the duty and the handing on are the real ones; what decides
is a cap and nothing else, and what it knows of the past it reads from the journal.

python -m tests.streams.deciding '{"directory": …, "bootstrap": …, "prefix": …, "port": …}'
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.streams.touchpoints import key_of, touchpoint
from touchbook.api.forwarding import HandedOn
from touchbook.api.problems import Failures
from touchbook.positions import part_of
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.settings import settings_from
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_decisions import KafkaDecisions, Term
from touchbook.streams.backends.kafka_duty import KafkaDuty
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.contacting_many import Leading

PATH = "/v1/contact:reserve"
OURS = "touchbook"


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Plan:
    directory: str
    bootstrap: str
    prefix: str
    port: int
    cap: int
    session_seconds: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        return json.dumps(asdict(self))


def reserved(id: str, customer: str) -> Touchpoint:
    return touchpoint(
        id,
        source=OURS,
        type="contact_reserved",
        subject=Identifier("user_id", customer),
        data={"reservation": id, "for_channel": "email", "purpose": "offer"},
    )


class Folded:
    """What readers see: the keys in the journal and whose they are."""

    def __init__(self, journal: KafkaJournal) -> None:
        self.journal = journal
        self.keys: dict[str, str] = {}
        self._after = [0] * journal.parts
        threading.Thread(target=self._run, daemon=True).start()

    def shows(self, position: int) -> bool:
        return self._after[part_of(position)] >= position

    def _run(self) -> None:
        while True:
            for part in range(self.journal.parts):
                for record in self.journal.read(self._after[part], part=part):
                    self.keys.setdefault(record.key, record.subject)
                    self._after[part] = record.position
            time.sleep(0.05)


class Cap:
    """Reserves so many contacts for each customer and no more."""

    def __init__(self, term: Term, folded: Folded, cap: int) -> None:
        self._term, self._folded, self._cap = term, folded, cap
        self._lock = threading.Lock()
        self._decided: dict[str, str] = {}

    def restore(self, taken: Sequence[tuple[Touchpoint, int]]) -> None:
        self._decided = {one.key: self._folded.journal.id_of(one.subject) for one, _ in taken}

    def reserve(self, customer: str, id: str) -> str:
        one = reserved(id, customer)
        subject = self._folded.journal.id_of(one.subject)
        with self._lock:
            known = {**self._folded.keys, **self._decided}
            if one.key not in known:
                if sum(whose == subject for whose in known.values()) >= self._cap:
                    return "suppressed"
                self._decided[one.key] = subject
            told = self._term.append([one])  # a repeat again: it is answered when that is durable
        told.result(60)
        return "reserved"


def run(plan: Plan) -> None:
    place = KafkaPlace(bootstrap=(plan.bootstrap,), prefix=plan.prefix)
    producer = Producer(place, 5)
    keyring = KafkaKeyring.at(Path(plan.directory), place, producer)
    journal = KafkaJournal.at(place, keyring, now, producer)
    folded = Folded(journal)
    decisions = KafkaDecisions(place, journal.parts, keyring, producer, now, folded.shows)
    leading: Leading[Cap] = Leading(
        KafkaDuty(place, "contact", plan.session_seconds),
        decisions,
        lambda term: Cap(term, folded, plan.cap),
        plan.url,
        again_seconds=1.0,
    )

    async def reserve(request: Request) -> JSONResponse:
        said = await request.json()
        deciding = leading.here
        return JSONResponse(
            {"decision": await run_in_threadpool(deciding.reserve, said["customer"], said["id"])}
        )

    async def where(request: Request) -> JSONResponse:
        return JSONResponse({"here": leading.elsewhere() is None})

    async def believe(request: Request) -> JSONResponse:
        """From now on it does not look for a minute whether it still has the duty."""
        leading._look_seconds = 60.0
        await asyncio.sleep(1.0)  # until it has looked for the last time
        return JSONResponse({})

    app = Starlette(
        routes=[Route(PATH, reserve, methods=["POST"]), Route("/where", where), Route("/believe", believe)]
    )
    for route in app.routes:
        assert isinstance(route, Route)
        route.app = Failures(
            HandedOn(route.app, leading.elsewhere, settings_from()) if route.path == PATH else route.app
        )
    leading.start()
    uvicorn.run(app, port=plan.port, log_level="warning", timeout_keep_alive=65)


def keys_of(ids: Sequence[str]) -> set[str]:
    return {key_of(id, OURS) for id in ids}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    said: dict[str, Any] = json.loads(sys.argv[1])
    run(Plan(**said))
