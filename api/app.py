"""The HTTP application, assembled: every route behind its gate, every error a problem."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

import touchbook
from touchbook.api import (
    contact,
    customers,
    desk,
    docs,
    doors,
    erasure,
    operators,
    response,
    scores,
    standing,
)
from touchbook.api.access import DESK, TABLE, Gate, Named, Row
from touchbook.api.desk.pages import DeskRoute
from touchbook.api.edge import Edge, log_no_paths
from touchbook.api.limits import UNLIMITED, Limits, Rates
from touchbook.api.openapi import Operation, describe
from touchbook.api.paths import UndecodedPaths
from touchbook.api.problems import HANDLERS, Failures
from touchbook.api.staleness import Dated
from touchbook.wiring import Book

if TYPE_CHECKING:
    from touchbook.api.forwarding import HandedOn


class Application(FastAPI):
    """FastAPI, with the doors before it: what is published does not pay for the framework and its list of routes.

    Its description also holds the hot routes that it does not know.
    """

    operations: Sequence[Operation] = ()
    entry: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.entry(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            keyless = [route for route, row in TABLE.items() if row.anyone]
            self.openapi_schema = describe(self, self.operations, keyless)
        return self.openapi_schema


def create_app(book: Book) -> FastAPI:
    """The application over an open book. It neither opens nor closes the book.

    Raises LookupError for a route that has no row in the access table.
    """
    handed_on: list[HandedOn] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for one in handed_on:
            await one.aclose()

    app = Application(
        lifespan=lifespan,
        version=touchbook.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=dict(HANDLERS),
        middleware=[Middleware(Failures), Middleware(UndecodedPaths)],
    )
    app.state.book = book
    # They take turns anyway, and those that wait shall not hold every thread.
    app.state.erasing = CapacityLimiter(1)
    app.state.limits = limits = Limits(book)
    app.operations = (*doors.openapi(), *scores.openapi(), *contact.openapi())
    door_routes = doors.Doors(book, limits).routes()
    score_routes = scores.routes(book)
    contact_routes = contact.routes(book, limits.rates)
    app.router.routes.extend(
        [
            *door_routes,
            *score_routes,
            *contact_routes,
            *customers.routes(),
            *standing.routes(),
            *response.routes(),
            *operators.routes(),
            *erasure.routes(),
            *docs.routes(),
            *desk.routes(book),
        ]
    )
    for route in app.routes:
        if (handing := guard(route, book, limits.rates)) is not None:
            handed_on.append(handing)
    entry: ASGIApp = Shortcut(app, [*door_routes, *contact_routes], score_routes)
    if book.staleness is not None:
        entry = Dated(entry, book.staleness)
    app.entry = Edge(entry)
    operators.watch(book)
    log_no_paths()
    return app


class Shortcut:
    """Finds a door by one look-up of the path as sent, and a customer's scores by the path's ends; everything else goes
    through the framework."""

    def __init__(self, app: Application, door_routes: Sequence[Route], score_routes: Sequence[Route]) -> None:
        """The routes are behind their gates."""
        self._app = app
        self._doors: Mapping[bytes, ASGIApp] = {
            route.path.encode(): Failures(route.app)
            for route in door_routes
            if "POST" in (route.methods or ())
        }
        read_scores = next(route for route in score_routes if route.path == scores.SCORES_PATH)
        self._scores = Failures(UndecodedPaths(read_scores.app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: ASGIApp | None = None
        if scope.get("method") == "POST":
            found = self._doors.get(scope.get("raw_path", b""))
        elif scope.get("method") == "GET":
            ref = scores.ref_of(scope.get("raw_path", b""))
            if ref is not None:
                scope.update(app=self._app, path_params={"ref": ref})
                found = self._scores
        await (found or self._app.framework)(scope, receive, send)


def guard(route: BaseRoute, book: Book, rates: Rates = UNLIMITED) -> HandedOn | None:
    """Puts the gate before a route, and before the gate of a door the counter of what is refused there. Answers what
    hands the route's requests on, to be closed in the end."""
    if not isinstance(route, Route):
        raise LookupError(f"{route} is no single route, so no row can say who may use it")
    if isinstance(route, DeskRoute):
        check_desk(route)
        route.app = Named(route.app, route.path)
        return None
    rows = {method: row_of(method, route.path) for method in route.methods or ()}
    handed_on = None
    if book.contact_elsewhere is not None and route.path in contact.PATHS:
        from touchbook.api.forwarding import HandedOn  # only replicas need a client of HTTP

        route.app = handed_on = HandedOn(route.app, book.contact_elsewhere, book.settings)
    route.app = Gate(route.app, route.path, rows, book.control, rates)
    if "POST" in rows and route.path in doors.PATHS:
        route.app = doors.Counted(route.app, book.metrics)
    return handed_on


def check_desk(route: DeskRoute) -> None:
    """Raises LookupError where the table does not say of a route of the desk what the route itself does."""
    for method in (route.methods or set()) - {"HEAD"}:
        name = f"{method} {route.path}"
        if name not in DESK or DESK[name] != route.roles:
            raise LookupError(f"{name}: the access table does not say the same about who may use it")


def row_of(method: str, path: str) -> Row:
    """The table's row; HEAD is answered to whom GET is."""
    name = f"{'GET' if method == 'HEAD' else method} {path}"
    if name not in TABLE:
        raise LookupError(f"{name} has no row in the access table: who may use it?")
    return TABLE[name]
