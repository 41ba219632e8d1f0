"""Erasing a customer, and the receipts of it. For admins only; e-mail and phone stand in the body, never in a URL."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from touchbook.api import models
from touchbook.api.answers import json_answer
from touchbook.api.bodies import read_model
from touchbook.api.openapi import Described, body_of, extra, refusals_of
from touchbook.api.paths import decoded
from touchbook.api.seen import seen_of
from touchbook.streams.receipts import Receipt
from touchbook.wiring import Book

router = APIRouter(tags=["operators"], route_class=Described)


@router.post(
    "/v1/customers:erase",
    response_model=models.ErasureOut,
    openapi_extra=extra(body_of(models.EraseIn)),
    responses={
        202: {
            "model": models.ErasureOut,
            "description": "His keys are gone; the last steps go on by themselves. Ask GET /v1/erasures/{id} again.",
        },
        **refusals_of(400, 401, 403, 404, 409, 422, 503),
    },
)
async def erase(request: Request) -> Response:
    """Erases a customer for good, with all identifiers that belong to him: nothing that he did can be read any more,
    here or in a backup that is restored. The answer is the receipt. Sent again with the same `id`, it is the same
    receipt."""
    wanted = await read_model(request, models.EraseIn)
    key = seen_of(request.scope).key
    work = partial(_erased, _book(request), wanted, key.id if key else None)
    receipt = await run_sync(work, limiter=request.app.state.erasing)
    return json_answer(receipt, status=200 if receipt["state"] == "done" else 202)


@router.get("/v1/erasures", response_model=models.ErasureList, responses=refusals_of(400, 401, 403, 422))
async def list_erasures(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500, description="Most receipts in one answer.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next` of an earlier answer, to go on from there.")
    ] = None,
) -> Response:
    """The receipts of all erasures, the newest first."""
    items, following = await run_sync(_book(request).erasures.receipts.page, limit, cursor)
    return json_answer({"items": items, "next": following})


@router.get("/v1/erasures/{id}", response_model=models.ErasureOut, responses=refusals_of(401, 403, 404))
async def read_erasure(
    request: Request, id: Annotated[str, Path(description="The `erasure` of a receipt.")]
) -> Response:
    """One receipt: what was destroyed and where, and whether it is done."""
    return json_answer(await run_sync(_book(request).erasures.receipts.get, decoded(id)))


def routes() -> list[BaseRoute]:
    """Made anew for each application: each puts its own gate before them."""
    return [copy(route) for route in router.routes]


def _erased(book: Book, wanted: models.EraseIn, by: str | None) -> Receipt:
    if wanted.ref is not None:
        member = book.customers.id_of(wanted.ref)
    else:
        member = book.customers.id_named(wanted.type or "", wanted.value or "")
    return book.erasures.erase(member, by, wanted.id)


def _book(request: Request) -> Book:
    book: Book = request.app.state.book
    return book
