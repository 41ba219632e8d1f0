"""The live stream of the customer page: touchpoints as cards, and how he stands now.

It goes on from a token, so a connection that broke loses nothing. A card that is part of a fold is sent folded anew,
and says which touchpoints it holds, so that the page puts it in the place of those.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.customers import PING_SECONDS
from touchbook.api.desk import customer as customer_page
from touchbook.api.desk import timeline
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.who import PATH, ROLES, found, path_of
from touchbook.api.reads import changed
from touchbook.errors import Refused, TouchbookError
from touchbook.projections.who import Customer
from touchbook.timeline import Entry

AT_ONCE = 200
"""Touchpoints read at once."""
STANDING_SECONDS = 1.0
"""How he stands is told no more often: each time it is computed and drawn anew."""
MOST_STREAMS = 500
"""At a time in this process; each looks for itself."""

Event = tuple[str, str, str]
"""Name, token (empty: none), data."""


class _Streams:
    open = 0


def routes(desk: Desk) -> list[Route]:
    return [desk.route(PATH + "/live", stream, roles=ROLES)]


async def stream(visit: Visit) -> Response:
    """Raises `Refused` (400) for a token not ours, and 503 where too many are open."""
    if _Streams.open >= MOST_STREAMS:
        raise Refused(503, "overloaded", "too many live pages are open here; try again later", retry_after=10)
    token = visit.request.headers.get("last-event-id") or visit.request.query_params.get("after", "")
    began = visit.desk.book.follower.folded
    look = _Look(visit, timeline.asked_in(visit.request.query_params, visit))
    first = await run_sync(look, token)
    return EventSourceResponse(_events(visit, look, first, began), ping=PING_SECONDS)


class _Look:
    """What is new since a token. One at a time."""

    def __init__(self, visit: Visit, asked: timeline.Asked) -> None:
        self._visit = visit
        self._asked = asked
        self._version: str | None = None

    def __call__(self, token: str) -> tuple[str, list[Event]]:
        """The token to go on from, and the events."""
        visit, customers = self._visit, self._visit.desk.book.customers
        visit.now = visit.desk.book.now()
        customer = found(visit)
        if not token:
            token = customers.page(customer, self._asked.filters, None, 1, visit.language).stream_from
        reload, token, came = customers.since(customer, token, self._asked.filters, visit.language, AT_ONCE)
        events: list[Event] = [("reload", "", "{}")] if reload else []
        if came:
            html = self._cards(customer, [entry for _, entry in came])
            events.append(("touchpoint", came[-1][0], html))
        return token, events

    def stands_otherwise(self) -> bool:
        """Whether anything of him changed since this was asked last."""
        version, before = found(self._visit).version, self._version
        self._version = version
        return before is not None and before != version

    def standing(self) -> str:
        visit = self._visit
        visit.now = visit.desk.book.now()
        fields = customer_page.standing_fields(visit, found(visit))
        return visit.desk.text(visit, "customer/standing.html", **fields)

    def _cards(self, customer: Customer, new: Sequence[Entry]) -> str:
        """The cards that hold something new: folded with what lies beside it at the top of the page."""
        visit = self._visit
        page = visit.desk.book.customers.page(
            customer, self._asked.filters, None, timeline.RUN, visit.language
        )
        held = {one.key for one in page.entries}
        keys = {one.key for one in new}
        beside = timeline.told(visit, customer, page.entries)
        late = sorted(
            (one for one in new if one.key not in held),
            key=lambda one: (one.occurred_at, one.key),
            reverse=True,
        )
        views = [one for one in beside if keys & {*one.keys}] + timeline.told(visit, customer, late)
        run = timeline.Run(timeline.by_day(views, visit.words, visit.now), "", "")
        replaces = " ".join(key for one in views for key in one.keys)
        return visit.desk.text(
            visit, "timeline/_run.html", run=run, path=path_of(customer), replaces=replaces
        )


async def _events(
    visit: Visit, look: _Look, first: tuple[str, list[Event]], began: int
) -> AsyncIterator[ServerSentEvent]:
    """Looks again whenever more was folded. Ends with the session, and when nobody is known here any more."""
    (token, events), folded, told_at = first, began, 0.0
    follower = visit.desk.book.follower
    _Streams.open += 1
    try:
        await run_sync(look.stands_otherwise)
        owed = False
        while True:
            for name, id, data in events:
                yield ServerSentEvent(event=name, id=id or None, data=data)
            owed = await run_sync(look.stands_otherwise) or owed
            if owed and time.monotonic() - told_at >= STANDING_SECONDS:
                yield ServerSentEvent(event="standing", id=token, data=await run_sync(look.standing))
                owed, told_at = False, time.monotonic()
            patience = max(told_at + STANDING_SECONDS - time.monotonic(), 0.05) if owed else PING_SECONDS
            if not events:
                await changed(follower, folded, patience)
            folded = follower.folded
            if not visit.signed_in:
                return
            token, events = await run_sync(look, token)
    except TouchbookError:  # he was erased, or cannot be read just now: the page finds out when it asks anew
        yield ServerSentEvent(event="reload", data="{}")
    finally:
        _Streams.open -= 1
