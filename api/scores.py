"""Scores of one customer and of many: the routes that recommenders call for every page they build, so they are plain
ones that answer encoded bytes. Their OpenAPI is written at the end."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from touchbook.api import models
from touchbook.api.access import CUSTOMER
from touchbook.api.answers import encoded
from touchbook.api.bodies import read_model
from touchbook.api.openapi import Operation, body_of, operation
from touchbook.api.parameters import day
from touchbook.api.reads import Asked, has, tag_of, waited
from touchbook.ledger import Day
from touchbook.projections.standing import Standing
from touchbook.wiring import Book

SCORES_PATH = f"{CUSTOMER}/scores"
BATCH_PATH = "/v1/scores:batchGet"
_BEFORE, _AFTER = (part.encode() for part in SCORES_PATH.split("{ref}"))


class ReadScores:
    """`GET …/scores`. Whoever asks while a look at the projections is under way shares the next one: that look, in a
    thread of its own, only finds out what is remembered and still holds; what is not is computed by itself."""

    def __init__(self, book: Book) -> None:
        self._customers = book.customers
        self._looks = Looks(book)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked.of(Request(scope, receive))
        at = asked.at()
        headers = await waited(asked)
        standing = await self._looks.of(asked.ref, at)
        if standing is None:
            standing = await run_sync(self._standing, asked.ref, at)
        headers["ETag"] = tag = tag_of(asked, standing.customer, standing.version)
        if has(scope, tag):
            answer = Response(status_code=304, headers=headers)
        else:
            answer = Response(standing.encoded(), headers=headers, media_type="application/json")
        await answer(scope, receive, send)

    def _standing(self, ref: str, at: Day) -> Standing:
        return self._customers.standing(self._customers.find(ref), at)


class Looks:
    """One look at a time, for all who wait for it."""

    def __init__(self, book: Book) -> None:
        self._remembered = book.customers.remembered
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scores")
        self._waiting: list[tuple[tuple[str, Day], asyncio.Future[Standing | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def of(self, ref: str, at: Day) -> Standing | None:
        """As `Customers.remembered` of one."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Standing | None] = loop.create_future()
        self._waiting.append(((ref, at), found))
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look(loop))  # it begins when all of this turn have asked
        return await found

    async def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            asked = [one for one, _ in waiting]
            try:
                found = await loop.run_in_executor(self._thread, self._remembered, asked)
            except Exception:  # each asks by himself then, and is told what is wrong
                found = [None] * len(asked)
            for (_, told), standing in zip(waiting, found, strict=True):
                if not told.done():
                    told.set_result(standing)


async def read_many(request: Request) -> Response:
    asked = Asked.of(request)
    many = await read_model(request, models.BatchGetIn)
    headers = await waited(asked)
    return Response(
        await run_sync(partial(_scores_of_many, asked, many)), headers=headers, media_type="application/json"
    )


def _scores_of_many(asked: Asked, many: models.BatchGetIn) -> bytes:
    at = asked.today if many.at is None else day("at", many.at)
    refs = [
        (one, at) if isinstance(one, str) else (one.ref, at if one.at is None else day("at", one.at))
        for one in many.customers
    ]
    standings = asked.book.customers.standings(refs, many.scores)
    told = list(zip(refs, standings, strict=True))
    items = b",".join(one.encoded_item(ref, many.scores) for (ref, _), one in told if one is not None)
    unknown = encoded([ref for (ref, _), one in told if one is None])
    return b'{"items":[%b],"unknown":%b}' % (items, unknown)


def routes(book: Book) -> list[Route]:
    return [
        Route(SCORES_PATH, ReadScores(book), methods=["GET"]),
        Route(BATCH_PATH, read_many, methods=["POST"]),
    ]


def ref_of(path: bytes) -> str | None:
    """The reference in an undecoded path of `SCORES_PATH`, as it stands there; None for every other path."""
    if path.startswith(_BEFORE) and path.endswith(_AFTER) and path.isascii():
        ref = path[len(_BEFORE) : -len(_AFTER)].decode()
        return ref if ref and "/" not in ref else None
    return None


def openapi() -> list[Operation]:
    """The documentation of these routes."""
    day_in = {"type": "string", "examples": ["2026-03-02"]}
    text = {"type": "string"}
    waiting: list[dict[str, Any]] = [
        {
            "name": "min_position",
            "in": "query",
            "schema": {"type": "array", "items": text},
            "description": "Positions that publishing answered; with `Prefer: wait=N` they are waited for.",
        },
        {
            "name": "prefer",
            "in": "header",
            "schema": text,
            "description": "`wait=N`: seconds to wait for `min_position`, at most 30.",
        },
    ]
    parameters: list[dict[str, Any]] = [
        {
            "name": "ref",
            "in": "path",
            "required": True,
            "schema": {**text, "examples": ["user_id:42"]},
            "description": "A permanent id of any member, or `type:value` (user_id, anonymous_id, loyalty_card, "
            "device), percent-encoded as one segment.",
        },
        {
            "name": "at",
            "in": "query",
            "schema": day_in,
            "description": "A UTC day, inclusive; today where absent.",
        },
        *waiting,
        {
            "name": "if-none-match",
            "in": "header",
            "schema": text,
            "description": "The ETag of an earlier answer: 304 if it still holds.",
        },
    ]
    return [
        operation(
            "get",
            SCORES_PATH,
            tag="recommenders",
            summary="All scores of a customer",
            description="Every score at the end of a day, under the links and scorecards as they stand now.",
            answer=models.Scores,
            refusals=(400, 401, 403, 404, 422),
            parameters=parameters,
        ),
        operation(
            "post",
            BATCH_PATH,
            tag="recommenders",
            summary="Scores of up to 1,000 customers",
            description="One item for each reference that is known, in order; the others are listed in `unknown`.",
            request=body_of(models.BatchGetIn),
            parameters=waiting,
            answer=models.BatchGet,
            refusals=(400, 401, 403, 404, 413, 422),
        ),
    ]
