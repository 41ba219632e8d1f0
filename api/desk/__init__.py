"""The desk: the page where an agent sees a customer's whole relationship."""

from __future__ import annotations

from starlette.routing import Route

from touchbook.api.desk import customer, entrance, find, live, overview, scorecards, standing, timeline
from touchbook.api.desk.pages import Desk
from touchbook.wiring import Book


def routes(book: Book) -> list[Route]:
    """Every route of the desk; the last takes what no other does."""
    desk = Desk(book)
    return [
        *entrance.routes(desk),
        *overview.routes(desk),
        *standing.routes(desk),
        *scorecards.routes(desk),
        *find.routes(desk),
        *customer.routes(desk),
        *timeline.routes(desk),
        *live.routes(desk),
        *entrance.last_routes(desk),
    ]
