"""Scores of one customer and of many: the routes that recommenders call for every page they build, so they are plain
ones that answer encoded bytes. Their OpenAPI is written at the end."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api import models
from touchbook.api.access import CUSTOMER
from touchbook.api.answers import encoded
from touchbook.api.bodies import read_model
from touchbook.api.openapi import Operation, body_of, operation
from touchbook.api.reads import Asked, answer, day, waited

SCORES_PATH = f"{CUSTOMER}/scores"
BATCH_PATH = "/v1/scores:batchGet"


async def read_scores(request: Request) -> Response:
    asked = Asked.of(request)
    at = asked.at()
    return await answer(asked, lambda customer: asked.book.customers.scores(customer, at))


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
    items, unknown = asked.book.customers.batch(refs, many.scores)
    return encoded({"items": items, "unknown": unknown})


def routes() -> list[Route]:
    return [
        Route(SCORES_PATH, read_scores, methods=["GET"]),
        Route(BATCH_PATH, read_many, methods=["POST"]),
    ]


def openapi() -> list[Operation]:
    """The documentation of these routes."""
    day_in = {"type": "string", "examples": ["2026-03-02"]}
    text = {"type": "string"}
    waiting: list[dict[str, Any]] = [
        {"name": "min_position", "in": "query", "schema": {"type": "array", "items": text}},
        {"name": "prefer", "in": "header", "schema": text, "description": "`wait=N`: seconds, at most 30."},
    ]
    parameters: list[dict[str, Any]] = [
        {"name": "ref", "in": "path", "required": True, "schema": {**text, "examples": ["user_id:42"]}},
        {
            "name": "at",
            "in": "query",
            "schema": day_in,
            "description": "A UTC day, inclusive; today where absent.",
        },
        *waiting,
        {"name": "if-none-match", "in": "header", "schema": text},
    ]
    return [
        operation(
            "get",
            SCORES_PATH,
            tag="recommenders",
            summary="All scores of a customer",
            description="At the end of a day, under the links and scorecards as they stand now.",
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
