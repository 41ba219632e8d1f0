"""Errors as RFC 9457 problems, which also carry `code` and `message`: clients of Segment's API look for those.

A problem says which expectation was broken and what to do next, and never repeats what a customer sent.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api.answers import encoded
from touchbook.api.seen import seen_of
from touchbook.errors import Refused, Rejected, TouchbookError

logger = logging.getLogger("touchbook.api")

RETRY_AFTER = 1
"""Seconds after which a busy server is asked again, where nothing else is known."""

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="touchbook"'
"""Basic is understood but not offered: a browser would open a password box over the page that asked."""

FRAMEWORK_CODES = {404: "route_unknown", 405: "method_not_allowed"}
FRAMEWORK_MESSAGES = {
    404: "no route has this path; /openapi.json lists them all",
    405: "this path does not take this method; the Allow header names those it takes",
}


def problem(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """The answer for an error. 401 challenges, 429 and 503 say in whole seconds when to come back."""
    content = {
        "type": f"urn:touchbook:problem:{code}",
        "title": _title(status),
        "status": status,
        "detail": message,
        "code": code,
        "message": message,
        **more,
    }
    sent = dict(headers or {})
    if status == 401:
        sent["WWW-Authenticate"] = CHALLENGE
    if status in (429, 503):
        sent.setdefault("Retry-After", str(RETRY_AFTER))
    return Response(encoded(content), status, sent, MEDIA_TYPE)


def of_ours(scope: Scope, error: TouchbookError) -> Response:
    """One of our own errors."""
    if error.status >= 500 and error.status != 503:
        return of_bug(scope, error)
    headers = {}
    if isinstance(error, Refused):
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.status == 415:
            headers["Accept-Encoding"] = "gzip, identity"
    more = {"field": error.field} if isinstance(error, Rejected) and error.field else {}
    return problem(error.status, error.code, str(error), headers, **more)


async def of_framework(request: Request, error: Exception) -> Response:
    """The framework's own: no such route, no such method."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    return problem(
        status,
        FRAMEWORK_CODES.get(status, _title(status).lower().replace(" ", "_")),
        FRAMEWORK_MESSAGES.get(status, f"{_title(status)}; see /docs"),
        {"Allow": _allowed(request)} if status == 405 else error.headers,
    )


async def of_parameters(request: Request, error: Exception) -> Response:
    """Parameters that are not as documented."""
    assert isinstance(error, RequestValidationError)
    return invalid(error.errors())


def invalid(errors: Sequence[Any]) -> Response:
    """422 that names each wrong parameter or field and what was expected there, without the value that was sent."""
    found = [
        {
            "in": str(one["loc"][0]),
            "field": ".".join(str(part) for part in one["loc"][1:]),
            "message": one["msg"],
        }
        for one in errors
    ]
    first = found[0]
    message = f"{first['in']} {first['field']}".strip() + f": {first['message']}"
    return problem(422, "parameter_invalid", message, errors=found)


def of_bug(scope: Scope, error: BaseException) -> Response:
    """An error of ours: the answer carries an id, under which the log tells more."""
    id = log_failure(scope, error)
    message = (
        "something failed on our side; send it again with the same ids, and if it fails again "
        f"give the operator this id: {id}"
    )
    return problem(500, "internal_error", message, id=id)


def log_failure(scope: Scope, error: BaseException) -> str:
    """Logs an error of ours with its place, and answers the id it is logged under. An exception's own words may quote a
    customer, so only its type and place are logged."""
    id = secrets.token_hex(8)
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames[-8:]))
    logger.error("failure %s: %s on %s: %s", id, type(error).__name__, seen_of(scope).route, place)
    return id


class Failures:
    """Whatever is raised below becomes a problem. An answer that has begun is cut off instead."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if seen_of(scope).status:
                log_failure(scope, error)
                return
            answer = of_ours(scope, error) if isinstance(error, TouchbookError) else of_bug(scope, error)
            await answer(scope, receive, send)


def _allowed(request: Request) -> str:
    """The methods of all routes with this path; the framework knows only those of the first."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


HANDLERS: Mapping[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: of_framework,
    RequestValidationError: of_parameters,
}
