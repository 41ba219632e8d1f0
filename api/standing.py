"""How everybody stands: customers by one score, and what changes of them as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy
from functools import partial
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.routing import BaseRoute

from touchbook.api import models
from touchbook.api.answers import encoded, json_answer
from touchbook.api.customers import PING_SECONDS
from touchbook.api.openapi import Described, refusals_of
from touchbook.api.parameters import wrong
from touchbook.errors import Refused, TouchbookError
from touchbook.projections.cursors import asked_before, place_in, question_of
from touchbook.projections.watch import Watch, is_ahead
from touchbook.projections.watched import Change, Listing, Stood
from touchbook.schemas.times import day_text, rfc3339
from touchbook.scorecard import ScorecardSet
from touchbook.wiring import Book

PAGE = 500
"""Changes that a feed reads at once."""
COUNTING_SECONDS = 5

router = APIRouter(tags=["recommenders"], route_class=Described)


@router.get(
    "/v1/customers", response_model=models.StandingList, responses=refusals_of(400, 401, 403, 422, 503)
)
async def list_customers(
    request: Request,
    score: Annotated[
        str | None, Query(max_length=200, description="Required: the score, as GET /v1/scorecards names it.")
    ] = None,
    tier: Annotated[str | None, Query(max_length=200, description="Only this tier of the score.")] = None,
    order: Annotated[
        Literal["-value", "value"], Query(description="-value: the highest first; value: the lowest.")
    ] = "-value",
    limit: Annotated[int, Query(ge=1, le=500, description="Most customers in one answer.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next` of an earlier answer to the same question.")
    ] = None,
) -> Response:
    """Everybody who has a value of this score today, by it. Of whom too little is known is not listed. `changes_from`
    goes on where the first page was read: list all pages, then follow GET /v1/changes from there, and nothing is
    missed."""
    book = _book(request)
    score = _score(book.scorecards, score)
    _tier(book.scorecards, score, tier)
    list_page = partial(_listed, book.watch, score, tier, order, cursor, limit)
    return json_answer(await run_sync(list_page))


@router.get(
    "/v1/changes",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "Server-sent events", "content": {"text/event-stream": {}}},
        **refusals_of(400, 401, 403, 422, 503),
    },
)
async def follow_changes(
    request: Request,
    score: Annotated[str | None, Query(max_length=200, description="Only changes of this score.")] = None,
    tier: Annotated[
        str | None, Query(max_length=200, description="Only of those who are, or were, in this tier of it.")
    ] = None,
    matter: Annotated[
        Literal["request", "case", "promise"] | None,
        Query(description="Only where a matter of this kind was opened or closed."),
    ] = None,
    after: Annotated[
        str | None,
        Query(max_length=500, description="`changes_from` of a list, or an event's id; now where absent."),
    ] = None,
    last_event_id: Annotated[str | None, Header(description="Wins over `after`: a reconnect.")] = None,
) -> Response:
    """What changes of anybody: `event: change` for each customer whose value or tier of a score, or open matters, are
    others than before; without texts. With both `score` and `matter` a change of either kind comes. An `id:` alone says
    how far the feed has come. `event: reload` comes first where what is asked for is too long ago (seven days), or
    later than anything there is: list everybody anew. A customer who became part of another comes with `gone`."""
    book = _book(request)
    if score is not None or tier is not None:
        score = _score(book.scorecards, score)
        _tier(book.scorecards, score, tier)
    feed = Feed(book.watch, partial(passes, score=score, tier=tier, matter=matter))
    token = last_event_id or after
    first = await run_sync(feed.look, token)
    return EventSourceResponse(feed.events(first, told=token), ping=PING_SECONDS)


Look = tuple[bool, str, Sequence[Change]]
"""Whether to begin anew first, the token to go on from, and what changed."""


class Feed:
    """The changes of one stream, those that pass."""

    def __init__(self, watch: Watch, passes: Callable[[Change], bool]) -> None:
        self._watch, self._passes = watch, passes

    def look(self, token: str | None) -> Look:
        """Raises `Refused` (400) for a token that is none. Nothing is told while everybody is looked at anew."""
        if token is None:
            return False, self._watch.last(), ()
        if self._watch.as_of is None:
            return False, token, ()
        now = self._watch.last(token)  # before: what changes meanwhile comes again rather than never
        changes = self._watch.changes(token, PAGE)
        if changes is None or is_ahead(token, now):
            return True, now, ()
        return False, changes[-1].token if changes else now, changes

    async def events(self, first: Look, told: str | None) -> AsyncIterator[ServerSentEvent]:
        """`told` is the last token that the client has; a client whose filters let nothing pass is given a new one now
        and then, as old ones are not kept. `reload` carries no id, so that a client that is cut off right after it is
        told once more."""
        loop, heard, next_id = asyncio.get_running_loop(), asyncio.Event(), 0.0

        def hear() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(heard.set)

        forget = self._watch.listen(hear)
        try:
            reload, token, changes = first
            while True:
                if reload:
                    yield ServerSentEvent(event="reload", data="{}")
                for change in filter(self._passes, changes):
                    told = change.token
                    yield ServerSentEvent(event="change", id=told, data=encoded(_change(change)).decode())
                if token != told and loop.time() >= next_id:
                    told, next_id = token, loop.time() + PING_SECONDS
                    yield ServerSentEvent(id=token)
                if not changes:
                    await _within(heard, PING_SECONDS)
                heard.clear()
                reload, token, changes = await run_sync(self.look, token)
        except TouchbookError:  # whoever follows connects again, and is told then what is wrong
            return
        finally:
            forget()


def passes(change: Change, score: str | None, tier: str | None, matter: str | None) -> bool:
    """Whether a feed with these filters tells of a change. That somebody is gone everybody is told."""
    if change.gone or (score is None and tier is None and matter is None):
        return True
    moved = [change.scores[score]] if score is not None and score in change.scores else []
    by_score = any(tier is None or tier in (before.tier, after.tier) for before, after in moved)
    return by_score or (matter is not None and matter in (*change.opened, *change.closed))


def routes() -> list[BaseRoute]:
    """Made anew for each application: each puts its own gate before them."""
    return [copy(route) for route in router.routes]


def in_step(watch: Watch) -> int:
    """When the watch was last in step with everybody. Raises `Refused` (503) where it has not seen everybody yet."""
    if (as_of := watch.as_of) is None:
        raise Refused(
            503,
            "not_counted_yet",
            "everybody is looked at for the first time; come back after the seconds in Retry-After",
            retry_after=COUNTING_SECONDS,
        )
    return as_of


async def _within(heard: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(heard.wait(), seconds)
    except TimeoutError:
        return


def _score(cards: ScorecardSet, score: str | None) -> str:
    """Raises `Refused` (422) that lists what there is."""
    if score is None or score not in cards:
        raise wrong("score", f"expected one of {', '.join(cards)}")
    return score


def _tier(cards: ScorecardSet, score: str, tier: str | None) -> None:
    tiers = [name for name, _ in cards.named(score).tiers]
    if tier is not None and tier not in tiers:
        raise wrong("tier", f"expected one of {', '.join(tiers)}, the tiers of {score}")


def _listed(
    watch: Watch,
    score: str,
    tier: str | None,
    order: Literal["-value", "value"],
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    as_of, since = in_step(watch), watch.last()
    question = question_of(score, tier, order)
    place = place_in(cursor, question, "score, tier and order")
    page: Listing = watch.standing(score, tier, order, place, limit)
    return {
        "items": [
            {
                "customer": one.customer,
                "value": one.value,
                "tier": one.tier,
                "milli_points": one.milli_points,
                "at": day_text(one.at),
            }
            for one in page.items
        ],
        "next": asked_before(question, page.next),
        "as_of": rfc3339(as_of),
        "changes_from": since,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "customer": change.customer,
        "at": rfc3339(change.at),
        "version": change.version,
        "gone": change.gone,
        "scores": {
            name: {"before": _stood(before), "after": _stood(after)}
            for name, (before, after) in change.scores.items()
        },
        "matters": {"opened": list(change.opened), "closed": list(change.closed)},
    }


def _stood(stood: Stood) -> dict[str, Any]:
    return {"value": stood.value, "tier": stood.tier}


def _book(request: Request) -> Book:
    book: Book = request.app.state.book
    return book
