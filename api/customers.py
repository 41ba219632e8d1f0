"""Reading about one customer: for agents, for channels before they speak, and for recommenders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from copy import copy
from functools import partial
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.routing import BaseRoute

from touchbook.api import models
from touchbook.api.access import CUSTOMER
from touchbook.api.answers import encoded
from touchbook.api.bodies import read_model
from touchbook.api.openapi import Described, body_of, extra, refusals_of
from touchbook.api.parameters import moment
from touchbook.api.paths import decoded
from touchbook.api.reads import Asked, answer, changed
from touchbook.errors import TouchbookError
from touchbook.schemas.details import Direction, Family, Purpose
from touchbook.timeline import TimelineFilters, named

PING_SECONDS = 15
"""A stream says at least so often that it is alive."""
PAGE = 200
"""Touchpoints that a stream reads at once."""

router = APIRouter(responses=refusals_of(400, 401, 403, 404, 422), route_class=Described)


Ref = Annotated[
    str,
    Path(
        description="A permanent id of any member, or `type:value` (user_id, anonymous_id, loyalty_card, device), "
        "percent-encoded as one segment.",
        examples=["user_id:42"],
    ),
]
Day = Annotated[
    str | None, Query(description="A UTC day, inclusive; today where absent.", examples=["2026-03-02"])
]
MinPosition = Annotated[
    list[str] | None,
    Query(description="Positions that publishing answered; with `Prefer: wait=N` they are waited for."),
]
Prefer = Annotated[
    str | None, Header(description="`wait=N`: seconds to wait for `min_position`, at most 30.")
]
IfNoneMatch = Annotated[
    str | None, Header(description="The ETag of an earlier answer: 304 if it still holds.")
]
AcceptLanguage = Annotated[str | None, Header(description="The language of the words: en (default) or ru.")]
Short = Annotated[str | None, Query(max_length=200)]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of an earlier answer, to go on from there.")
]


async def polling(
    min_position: MinPosition = None, prefer: Prefer = None, if_none_match: IfNoneMatch = None
) -> None:
    """What every read understands. It is read from the request itself; this only declares it."""


async def filters(
    channel: Annotated[Short, Query(description="Only this channel.")] = None,
    family: Annotated[Family | None, Query(description="Only this family of types.")] = None,
    type: Annotated[Short, Query(description="Only this type.")] = None,
    thread: Annotated[Short, Query(description="Only this conversation, case or order.")] = None,
    from_: Annotated[Short, Query(alias="from", description="A time, or a day from its beginning.")] = None,
    to: Annotated[Short, Query(description="A time, exclusive, or a day to its end.")] = None,
    direction: Annotated[
        Direction | None, Query(description="in: from the customer; out: to him; internal: neither.")
    ] = None,
    text: Annotated[Short, Query(description="In the words shown, or in any text of the data.")] = None,
    audience: Annotated[
        Literal["agent", "customer"], Query(description="customer: only what he himself may see.")
    ] = "agent",
) -> TimelineFilters:
    return TimelineFilters(
        channels=named(channel),
        families=named(family),
        types=named(type),
        thread=thread,
        direction=direction,
        from_at=moment("from", from_),
        to_at=moment("to", to, end=True),
        text=text,
        audience=audience,
    )


Filters = Annotated[TimelineFilters, Depends(filters)]
Poll = Depends(polling)


@router.get(CUSTOMER, tags=["agents"], response_model=models.Card, dependencies=[Poll])
async def read_customer(request: Request, ref: Ref) -> Response:
    """Who the customer is: identifiers, traits, and the links that were claimed but do not hold."""
    asked = Asked.of(request)
    return await answer(asked, asked.book.customers.card)


@router.post(
    "/v1/customers:lookup",
    tags=["agents"],
    response_model=models.Card,
    openapi_extra=extra(body_of(models.LookupIn)),
    dependencies=[Poll],
)
async def look_up(request: Request) -> Response:
    """The customer with an e-mail, a phone number or any other identifier."""
    asked = Asked.of(request)
    sought = await read_model(request, models.LookupIn)
    find = partial(asked.book.customers.lookup, sought.type, sought.value)
    return await answer(asked, asked.book.customers.card, find=find)


@router.get(f"{CUSTOMER}/context", tags=["channels"], response_model=models.Context, dependencies=[Poll])
async def read_context(
    request: Request,
    ref: Ref,
    purpose: Annotated[
        Purpose, Query(description="Why the channel wants to speak to him; `contact` answers for it.")
    ] = "service",
) -> Response:
    """What a channel needs before it speaks, in one read; `contact` says whether it may, for this purpose."""
    asked = Asked.of(request)
    customers = asked.book.customers
    return await answer(
        asked,
        lambda customer: customers.context(customer, purpose, asked.now, asked.role != "read-scores"),
        moment=lambda customer: customers.boundary(customer, purpose, asked.now),
    )


@router.get(f"{CUSTOMER}/timeline", tags=["agents"], response_model=models.Timeline, dependencies=[Poll])
async def read_timeline(
    request: Request,
    ref: Ref,
    filters: Filters,
    limit: Annotated[int, Query(ge=1, le=500, description="Most touchpoints in one answer.")] = 50,
    cursor: Cursor = None,
    accept_language: AcceptLanguage = None,
) -> Response:
    """What happened, newest first, over all members. A key of role channel reads it with audience=customer."""
    asked = Asked.of(request)
    customers = asked.book.customers
    return await answer(
        asked,
        lambda customer: customers.timeline(customer, filters, cursor, limit, asked.language),
        worded=True,
    )


@router.get(
    f"{CUSTOMER}/timeline/stream",
    tags=["agents"],
    response_class=EventSourceResponse,
    responses={200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}},
)
async def follow_timeline(
    request: Request,
    ref: Ref,
    filters: Filters,
    after: Annotated[str | None, Query(description="`stream_from` of a page; now where absent.")] = None,
    last_event_id: Annotated[str | None, Header(description="Wins over `after`: a reconnect.")] = None,
    accept_language: AcceptLanguage = None,
) -> Response:
    """The timeline as it grows: `event: touchpoint` for each new item, without gap or double. `event: reload` comes
    first when the page must be read anew, because other identifiers belong to the customer by now."""
    asked = Asked.of(request)
    look = partial(_look, asked, filters)
    began = asked.book.follower.folded
    first = await run_sync(look, last_event_id or after)
    headers = {"Content-Language": asked.language, "Vary": "Accept-Language"}
    return EventSourceResponse(_events(asked, look, first, began), headers=headers, ping=PING_SECONDS)


@router.get(
    f"{CUSTOMER}/scores/{{name}}/explain",
    tags=["recommenders"],
    response_model=models.Explanation,
    dependencies=[Poll],
)
async def explain_score(
    request: Request,
    ref: Ref,
    name: Annotated[str, Path(description="The score, as GET /v1/scorecards names it.")],
    at: Day = None,
    without: Annotated[
        str | None, Query(description="A touchpoint's key: the score had it not counted.")
    ] = None,
    with_: Annotated[
        str | None,
        Query(alias="with", max_length=200, description="SIGNAL or SIGNAL:total, as if it were on `at`."),
    ] = None,
) -> Response:
    """Every line of a score with the touchpoints behind it, and what one touchpoint more or less would make of it."""
    asked = Asked.of(request)
    customers, on, score = asked.book.customers, asked.at(), decoded(name)
    return await answer(asked, lambda customer: customers.explain(customer, score, on, without, with_))


@router.get(f"{CUSTOMER}/buying", tags=["recommenders"], response_model=models.Buying, dependencies=[Poll])
async def read_buying(request: Request, ref: Ref, at: Day = None) -> Response:
    """Recency, frequency and money, for models of buying."""
    asked = Asked.of(request)
    on = asked.at()
    return await answer(asked, lambda customer: asked.book.customers.buying(customer, on))


@router.get(
    f"{CUSTOMER}/interests", tags=["recommenders"], response_model=models.Interests, dependencies=[Poll]
)
async def read_interests(request: Request, ref: Ref, at: Day = None) -> Response:
    """What he looked at, bought and dismissed, decayed, by category; and his channels."""
    asked = Asked.of(request)
    on = asked.at()
    return await answer(asked, lambda customer: asked.book.customers.interests(customer, on))


def routes() -> list[BaseRoute]:
    """Made anew for each application: each puts its own gate before them."""
    return [copy(route) for route in router.routes]


Look = tuple[bool, str, list[tuple[str, dict[str, Any]]]]


def _look(asked: Asked, filters: TimelineFilters, token: str | None) -> Look:
    customers = asked.book.customers
    customer = customers.find(asked.ref)
    if token is None:
        token = str(customers.timeline(customer, filters, None, 1, asked.language)["stream_from"])
    return customers.stream(customer, token, filters, asked.language, PAGE)


async def _events(
    asked: Asked, look: Callable[[str], Look], first: Look, began: int
) -> AsyncIterator[ServerSentEvent]:
    """Looks again whenever more was folded. `reload` carries no id, so that a client that is cut off right after it
    goes on from what it last saw."""
    (reload, token, items), folded = first, began
    while True:
        if reload:
            yield ServerSentEvent(event="reload", data="{}")
        for id, item in items:
            yield ServerSentEvent(event="touchpoint", id=id, data=encoded(item).decode())
        if not items:
            await changed(asked.book.follower, folded, PING_SECONDS)
        folded = asked.book.follower.folded
        try:
            reload, token, items = await run_sync(look, token)
        except TouchbookError:  # nobody is known under this reference any more
            yield ServerSentEvent(event="reload", data="{}")
            return
