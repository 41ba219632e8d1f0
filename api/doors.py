"""The doors: where channel services publish. Segment's HTTP API and CloudEvents, both into the one admission.

These are the hot routes, so they are plain ASGI: raw bytes in, encoded bytes out. Their OpenAPI is written at the end.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api import models
from touchbook.api.access import PUBLISHERS, SEGMENT_PATHS, allow
from touchbook.api.answers import json_answer
from touchbook.api.bodies import WrongIn, items_of, read_body
from touchbook.api.cloudevents import BATCHED, STRUCTURED, events_of
from touchbook.api.landing import Landing
from touchbook.api.openapi import Operation, body_of, operation
from touchbook.api.paths import decoded
from touchbook.api.problems import problem
from touchbook.api.seen import header_of, seen_of
from touchbook.errors import Overloaded, Refused, Rejected, TouchbookError
from touchbook.positions import token_of
from touchbook.schemas.times import milliseconds
from touchbook.streams.admission import Item, Outcome, Publisher
from touchbook.streams.control import AccessKey
from touchbook.streams.metrics import Metrics
from touchbook.wiring import Book, now

INLINE = 16 * 2**10
"""Bodies up to this many bytes are parsed and admitted on the event loop; a larger one would hold up all the others."""

PACKED_FROM = 16 * 2**10
"""Answers to batches of this many bytes are gzipped for those who can read that. Segment's Node SDK reads no answer,
and Node keeps a process alive for what is left unread beyond this size; packed, that for 2,500 items is smaller."""

SETTINGS_PATH = "/v1/projects/{write_key}/settings"
EVENTS_PATH = "/v1/events"
PATHS = frozenset({*SEGMENT_PATHS, EVENTS_PATH})
INHERITED = ("context", "integrations")
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, X-Retry-Count",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}

CE_HEADER = re.compile(r"ce-[a-z0-9]{1,50}")
"""A CloudEvent's attribute, in binary mode."""

_Made = TypeVar("_Made")


class Doors:
    """What all doors share: the room there is, the keys, the counters, and one outcome for each item."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._in_flight = 0
        self._landing: Landing | None = None

    def routes(self) -> list[Route]:
        doors: list[tuple[str, ASGIApp]] = [
            (path, segment_door(self, call)) for path, call in SEGMENT_PATHS.items()
        ]
        doors.append((EVENTS_PATH, EventsDoor(self)))
        return [
            *(Route(path, door, methods=["POST"]) for path, door in doors),
            *(Route(path, self.preflight, methods=["OPTIONS"]) for path, _ in doors),
            Route(SETTINGS_PATH, self.settings, methods=["GET"]),
            Route(SETTINGS_PATH, self.preflight, methods=["OPTIONS"]),
        ]

    @contextmanager
    def room(self) -> Iterator[None]:
        """A place for one request, taken before anything of its body is read. Raises `Overloaded` where there is none:
        the journal's queue is full, or too many requests are in flight."""
        if self._in_flight >= self._book.settings.max_in_flight or self._book.journal.room() <= 0:
            raise Overloaded
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        return await read_body(scope, receive, self._book.settings.max_request)

    def key(self, scope: Scope, write_key: object) -> AccessKey:
        """Who publishes: the key of the header, else the one that stands in the body. Raises `Refused`."""
        seen = seen_of(scope)
        if seen.key is None and isinstance(write_key, str):
            seen.key = self._book.control.find_key(write_key)
        key = allow(PUBLISHERS, seen.key)
        origin = header_of(scope, b"origin")
        if key.origins and origin is not None and origin not in key.origins:
            raise Refused(403, "origin_not_allowed", "expected one of the origins this key was made for")
        return key

    async def admit(self, scope: Scope, items: list[Item], key: AccessKey, received_at: int) -> list[Outcome]:
        """One outcome per item, durable and counted."""
        most = self._book.settings.max_items
        if len(items) > most:
            raise Refused(413, "too_many_items", f"expected at most {most} items in one batch")
        publisher = Publisher(source=key.source, channel=key.channel, role=key.role, public=key.public)
        admission = self._book.admission
        large = len(items) > 50
        future = (
            await run_sync(admission.admit, items, publisher, received_at)
            if large
            else admission.admit(items, publisher, received_at)
        )
        outcomes = await self._landing_here().of(future)
        count(self._book.metrics, key.source, outcomes)
        seen_of(scope).counted = True
        return outcomes

    def _landing_here(self) -> Landing:
        loop = asyncio.get_running_loop()
        if self._landing is None or self._landing.loop is not loop:
            self._landing = Landing(loop)
        return self._landing

    async def preflight(self, request: Request) -> Response:
        """A browser asks before it sends, without the key: origins that any key names may go on."""
        origin = request.headers.get("origin")
        known = {
            origin
            for key in self._book.control.list_keys()
            if key.revoked_at is None
            for origin in key.origins
        }
        if origin is None or origin not in known:
            return problem(403, "origin_unknown", "expected an origin that an access key was made for")
        asked = request.headers.get("access-control-request-headers", "").lower().split(",")
        attributes = [name for one in asked if CE_HEADER.fullmatch(name := one.strip())]
        allowed = ", ".join([PREFLIGHT["Access-Control-Allow-Headers"], *attributes])
        headers = {**PREFLIGHT, "Access-Control-Allow-Headers": allowed}
        return Response(status_code=204, headers={"Access-Control-Allow-Origin": origin, **headers})

    async def settings(self, request: Request) -> Response:
        """What Segment's browser SDK asks before it starts: only where to send."""
        write_key = decoded(request.path_params["write_key"])
        seen_of(request.scope).cross_origin = True
        self.key(request.scope, write_key)
        return json_answer(browser_settings(request, write_key))


class SegmentDoor:
    """The door of one of Segment's calls; `batch` takes many at once."""

    def __init__(self, doors: Doors, call: str) -> None:
        self._doors = doors
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_at = now()
        with self._doors.room():
            body = await self._doors.body(scope, receive)
            read = await off_loop_if_large(body, _items_or_error)
            content = None if isinstance(read, Refused) else read[0]
            key = self._doors.key(scope, content.get("writeKey") if isinstance(content, dict) else None)
            if isinstance(read, Refused):
                raise read
            items = segment_items(self._call, *read)
            outcomes = await self._doors.admit(scope, items, key, received_at)
        await answer_of(outcomes)(scope, receive, send)


def segment_door(doors: Doors, call: str) -> ASGIApp:
    door = SegmentDoor(doors, call)
    return GZipMiddleware(door, minimum_size=PACKED_FROM) if call == "batch" else door


class EventsDoor:
    """The door for CloudEvents. One event alone that is rejected answers 422, and is set aside all the same."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_at = now()
        with self._doors.room():
            key = self._doors.key(scope, None)
            body = await self._doors.body(scope, receive)
            headers = Headers(scope=scope)
            events, single, wrong_in = await off_loop_if_large(body, lambda body: events_of(headers, body))
            items = [Item("cloudevents", event, {}, fault=wrong_in(event)) for event in events]
            outcomes = await self._doors.admit(scope, items, key, received_at)
        refused = single and outcomes[0].outcome == "rejected"
        answer = refusal_of(outcomes[0]) if refused else answer_of(outcomes)
        await answer(scope, receive, send)


class Counted:
    """Counts what a door turned away as a whole, whoever did it: the gate, the body's bounds, a full queue, a bug."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = seen_of(scope)
        seen.cross_origin = True
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if not seen.counted:
                code = error.code if isinstance(error, TouchbookError) else "internal_error"
                self._metrics.refused(seen.source, code)
            raise
        finally:
            if header_of(scope, b"x-retry-count") not in (None, "", "0"):
                self._metrics.retried(seen.source)


async def off_loop_if_large(body: bytes, make: Callable[[bytes], _Made]) -> _Made:
    return make(body) if len(body) <= INLINE else await run_sync(make, body)


def segment_items(call: str, content: Any, wrong_in: WrongIn) -> list[Item]:
    """The items of one of Segment's requests. Raises `Refused` where a batch is none."""
    if call != "batch":
        if isinstance(content, dict) and content.get("type") is None:
            content = {**content, "type": call}
        return [Item("segment", content, {}, fault=wrong_in(content))]
    if not isinstance(content, dict) or not isinstance(content.get("batch"), list):
        raise Refused(400, "batch_expected", 'expected an object with a list in "batch"')
    inherited = {name: content[name] for name in INHERITED if content.get(name) is not None}
    sent_at = _sent_at(content.get("sentAt"))
    all_wrong = wrong_in(inherited)
    return [Item("segment", raw, inherited, sent_at, all_wrong or wrong_in(raw)) for raw in content["batch"]]


def _sent_at(text: object) -> int | None:
    """A batch's own sending time; one that cannot be read is none, and must not sink the batch."""
    try:
        return milliseconds(text, "sentAt")
    except Rejected:
        return None


def _items_or_error(body: bytes) -> tuple[Any, WrongIn] | Refused:
    """A body that is no JSON is told only to those who have a key; that may stand in the body, so the error waits."""
    try:
        return items_of(body)
    except Refused as error:
        return error


def count(metrics: Metrics, source: str, outcomes: Sequence[Outcome]) -> None:
    metrics.received(source, len(outcomes))
    for (outcome, code), items in Counter((one.outcome, one.code) for one in outcomes).items():
        match outcome:
            case "accepted":
                metrics.accepted(source, items)
            case "duplicate":
                metrics.duplicates(source, items)
            case "rejected":
                metrics.rejected(source, code, items)


def answer_of(outcomes: Sequence[Outcome]) -> Response:
    """Exactly 200, whatever became of the items: on anything else some SDKs send all of it again, or crash."""
    kinds = [one.outcome for one in outcomes]
    content = {
        "success": True,
        "accepted": kinds.count("accepted"),
        "duplicates": kinds.count("duplicate"),
        "rejected": [
            {"index": index, "code": one.code, "message": one.message}
            for index, one in enumerate(outcomes)
            if one.outcome == "rejected"
        ],
        "positions": [None if one.position is None else token_of(one.position) for one in outcomes],
    }
    return json_answer(content)


def refusal_of(outcome: Outcome) -> Response:
    message = f"{outcome.message}; it was set aside, GET /v1/set-aside lists it under {outcome.key}"
    return problem(422, outcome.code, message, set_aside=outcome.key)


def browser_settings(request: Request, write_key: str) -> dict[str, Any]:
    """The least that Segment's browser SDK starts with: this server as its only destination, and no reports of its
    own performance to anybody."""
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{request.url.netloc}/v1",
                "protocol": request.url.scheme,
                "unbundledIntegrations": [],
                "addBundledMetadata": False,
            }
        },
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "remotePlugins": [],
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "analyticsNextEnabled": True,
    }


def openapi() -> list[Operation]:
    """The documentation of these routes; short forms are named in that of the long ones."""
    refusals = (400, 401, 403, 408, 413, 415, 503)
    short = {call: path for path, call in SEGMENT_PATHS.items() if len(path) == len("/v1/t")}
    calls = [
        operation(
            "post",
            f"/v1/{call}",
            tag="channels",
            summary=f"Publish by Segment's `{call}` call (short form {short[call]})",
            description="Answers 200 once everything is durable; an item that cannot be accepted is set aside and "
            "listed in `rejected`. Anything else means: not known, send again with the same ids.",
            request=body_of(models.SEGMENT_BODIES[call]),
            answer=models.Published,
            refusals=refusals,
        )
        for call in dict.fromkeys(SEGMENT_PATHS.values())
    ]
    events = operation(
        "post",
        EVENTS_PATH,
        tag="channels",
        summary="Publish CloudEvents: binary (`ce-` headers), structured, or batched",
        description="`source` is the key's own. The same event in another mode is the same touchpoint. One event alone "
        "that is rejected answers 422, and is set aside all the same.",
        request={**body_of(models.CloudEvent, STRUCTURED), **body_of(models.CloudEventBatch, BATCHED)},
        answer=models.Published,
        refusals=(*refusals, 422),
    )
    settings = operation(
        "get",
        SETTINGS_PATH,
        tag="channels",
        summary="What Segment's browser SDK asks before it starts",
        description="The key stands in the path, as that SDK sends it; answered for keys that may publish.",
        answer=models.BrowserSettings,
        refusals=(401, 403),
        parameters=[{"name": "write_key", "in": "path", "required": True, "schema": {"type": "string"}}],
        keyless=True,
    )
    return [*calls, events, settings]
