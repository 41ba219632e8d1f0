"""The HTTP application, assembled: every route behind its gate, every error a problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

import touchbook
from touchbook.api import customers, docs, doors, operators, scores
from touchbook.api.access import TABLE, Gate, Row
from touchbook.api.edge import Edge, log_no_paths
from touchbook.api.openapi import Operation, describe
from touchbook.api.paths import UndecodedPaths
from touchbook.api.problems import HANDLERS, Failures
from touchbook.wiring import Book


class Application(FastAPI):
    """FastAPI, whose description also holds the hot routes that it does not know."""

    operations: Sequence[Operation] = ()

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            keyless = [route for route, row in TABLE.items() if row.anyone]
            self.openapi_schema = describe(self, self.operations, keyless)
        return self.openapi_schema


def create_app(book: Book) -> FastAPI:
    """The application over an open book. It neither opens nor closes the book.

    Raises LookupError for a route that has no row in the access table.
    """
    app = Application(
        version=touchbook.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=dict(HANDLERS),
        middleware=[Middleware(Edge), Middleware(Failures), Middleware(UndecodedPaths)],
    )
    app.state.book = book
    app.operations = (*doors.openapi(), *scores.openapi())
    app.router.routes.extend(
        [
            *doors.Doors(book).routes(),
            *scores.routes(),
            *customers.routes(),
            *operators.routes(),
            *docs.routes(),
        ]
    )
    for route in app.routes:
        guard(route, book)
    operators.watch(book)
    log_no_paths()
    return app


def guard(route: BaseRoute, book: Book) -> None:
    """Puts the gate before a route, and before the gate of a door the counter of what is refused there."""
    if not isinstance(route, Route):
        raise LookupError(f"{route} is no single route, so no row can say who may use it")
    rows = {method: row_of(method, route.path) for method in route.methods or ()}
    route.app = Gate(route.app, route.path, rows, book.control)
    if "POST" in rows and route.path in doors.PATHS:
        route.app = doors.Counted(route.app, book.metrics)


def row_of(method: str, path: str) -> Row:
    """The table's row; HEAD is answered to whom GET is."""
    name = f"{'GET' if method == 'HEAD' else method} {path}"
    if name not in TABLE:
        raise LookupError(f"{name} has no row in the access table: who may use it?")
    return TABLE[name]
