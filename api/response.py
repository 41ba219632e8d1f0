"""How soon customers were answered: one customer's requests, and response times of everybody with the turns behind."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from touchbook.api import models
from touchbook.api.access import CUSTOMER
from touchbook.api.answers import json_answer
from touchbook.api.customers import Cursor, Poll, Ref
from touchbook.api.openapi import Described, refusals_of
from touchbook.api.parameters import moment, wrong
from touchbook.api.reads import Asked, answer
from touchbook.api.standing import in_step
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.projections.cursors import asked_before, place_in, question_of
from touchbook.projections.requests import boundary_of, requests_of
from touchbook.projections.watch import Watch
from touchbook.projections.watched import By, TurnState, Waited, WatchedTurn
from touchbook.schemas.times import EARLIEST, rfc3339
from touchbook.wiring import Book

TURNS = "/v1/metrics/response/turns"
DAYS = 7
"""How far back is looked where nothing is said."""
router = APIRouter(route_class=Described)


@dataclass(frozen=True, slots=True)
class Span:
    """The turns asked about: opened from `start` to before `end`, milliseconds UTC. `given` are those two where they
    were said."""

    start: int
    end: int
    by: By
    given: tuple[int | None, int | None]


async def span(
    request: Request,
    from_: Annotated[
        str | None,
        Query(
            alias="from",
            max_length=40,
            description="A time, or a day from its beginning; seven days before `to` where absent.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        Query(max_length=40, description="A time, exclusive, or a day to its end; now where absent."),
    ] = None,
    by: Annotated[Literal["channel", "team", "agent"], Query(description="Whose rows they are.")] = "channel",
) -> Span:
    given = moment("from", from_), moment("to", to, end=True)
    start, end = given
    end = Asked.of(request).now if end is None else end
    start = max(end - DAYS * MILLISECONDS_A_DAY, EARLIEST) if start is None else start
    if start >= end:
        raise wrong("from", "expected a time before `to`")
    return Span(start, end, by, given)


Asking = Annotated[Span, Depends(span)]


@router.get(
    f"{CUSTOMER}/requests",
    tags=["agents"],
    response_model=models.Requests,
    responses=refusals_of(400, 401, 403, 404, 422),
    dependencies=[Poll],
)
async def read_requests(
    request: Request,
    ref: Ref,
    limit: Annotated[int, Query(ge=1, le=500, description="Most turns in one answer.")] = 50,
    cursor: Cursor = None,
) -> Response:
    """What he asked and how soon he was answered, newest first: every turn with its first reply, by bot and by human
    apart, calendar and working time, the target and the verdict. The clocks of open ones run."""
    asked = Asked.of(request)
    book = asked.book
    return await answer(
        asked,
        lambda customer: requests_of(book.customers, customer, book.policies, asked.now, cursor, limit),
        moment=lambda customer: (
            f"{book.policies.fingerprint}-{boundary_of(book.customers, customer, asked.now)}"
        ),
    )


@router.get(
    "/v1/metrics/response",
    tags=["operators"],
    response_model=models.ResponseTimes,
    responses=refusals_of(400, 401, 403, 422, 503),
)
async def read_response_times(request: Request, span: Asking) -> Response:
    """How soon turns opened in a time were answered, exactly, by channel, team or agent: of all, and apart of those
    that open a thread or open it anew. A percentile is by nearest rank: of n times in order the one at place p·n/100,
    rounded up. Each row opens into its turns."""
    return json_answer(await run_sync(_times, _watch(request), span))


@router.get(
    TURNS,
    tags=["operators"],
    response_model=models.ResponseTurns,
    responses=refusals_of(400, 401, 403, 422, 503),
)
async def list_turns(
    request: Request,
    span: Asking,
    of: Annotated[
        str | None,
        Query(
            max_length=200,
            description="One channel, team or agent; empty: of nobody that is known; all where absent.",
        ),
    ] = None,
    first: Annotated[bool, Query(description="true: only turns that open a thread or open it anew.")] = False,
    verdict: Annotated[
        TurnState | None,
        Query(description="Only those behind one number of the row."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Most turns in one answer.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next` of an earlier answer to the same question.")
    ] = None,
) -> Response:
    """The turns behind a number of GET /v1/metrics/response, oldest first, without texts."""
    listed = partial(_turns, _watch(request), span, of, first, verdict, cursor, limit)
    return json_answer(await run_sync(listed))


def routes() -> list[BaseRoute]:
    """Made anew for each application: each puts its own gate before them."""
    return [copy(route) for route in router.routes]


def _times(watch: Watch, span: Span) -> dict[str, Any]:
    as_of = in_step(watch)
    rows = watch.response(span.start, span.end, span.by)
    return {
        "from": rfc3339(span.start),
        "to": rfc3339(span.end),
        "by": span.by,
        "as_of": rfc3339(as_of),
        "all": [_row(span, one.of, one.turns, first=False) for one in rows],
        "first": [_row(span, one.of, one.first, first=True) for one in rows if one.first.n],
    }


def _row(span: Span, of: str | None, waited: Waited, *, first: bool) -> dict[str, Any]:
    return {
        "of": of,
        "n": waited.n,
        "answered": waited.answered,
        "ignored": waited.ignored,
        "open": waited.open,
        "median_seconds": _seconds(waited.median),
        "p90_seconds": _seconds(waited.p90),
        "median_working_seconds": _seconds(waited.median_working),
        "p90_working_seconds": _seconds(waited.p90_working),
        "in_target": {
            "n": waited.in_target,
            "late": waited.late,
            "share": 1000 * waited.in_target // judged
            if (judged := waited.in_target + waited.late)
            else None,
        },
        "by_bot": _replies(waited.by_bot, waited.median_bot, waited.p90_bot),
        "by_human": _replies(waited.by_human, waited.median_human, waited.p90_human),
        "turns": _turns_behind(span, of, first),
    }


def _replies(first: int, median: int | None, p90: int | None) -> dict[str, Any]:
    return {"n": first, "median_seconds": _seconds(median), "p90_seconds": _seconds(p90)}


def _turns_behind(span: Span, of: str | None, first: bool) -> str:
    asked = {"from": rfc3339(span.start), "to": rfc3339(span.end), "by": span.by, "of": of or ""}
    return f"{TURNS}?{urlencode(asked | ({'first': 'true'} if first else {}))}"


def _turns(
    watch: Watch,
    span: Span,
    of: str | None,
    first: bool,
    state: TurnState | None,
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    in_step(watch)
    question = question_of(*span.given, span.by, of, first, state)
    place = place_in(cursor, question, "from, to, by, of, first and verdict")
    items, following = watch.turns(
        span.start, span.end, span.by, of, first=first, state=state, cursor=place, limit=limit
    )
    return {"items": [_turn(one) for one in items], "next": asked_before(question, following)}


def _turn(turn: WatchedTurn) -> dict[str, Any]:
    opened = turn.opened_at
    return {
        "customer": turn.customer,
        "key": turn.opening,
        "channel": turn.channel,
        "first": turn.first,
        "opened": rfc3339(opened),
        "replied": None if turn.replied_at is None else rfc3339(turn.replied_at),
        "by": turn.by,
        "agent": turn.agent,
        "team": turn.team,
        "seconds": _seconds(turn.waited),
        "working_seconds": _seconds(turn.waited_working),
        "bot_seconds": None if turn.bot_at is None else _seconds(turn.bot_at - opened),
        "human_seconds": None if turn.human_at is None else _seconds(turn.human_at - opened),
        "target_seconds": _seconds(turn.target),
        "target_time": turn.target_time,
        "in_target": turn.in_target,
    }


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000


def _watch(request: Request) -> Watch:
    book: Book = request.app.state.book
    return book.watch
