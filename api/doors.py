"""The doors: where channel services publish. Segment's HTTP API and CloudEvents, both into the one admission.

These are the hot routes, so they are plain ASGI: raw bytes in, encoded bytes out. Their OpenAPI is written at the end.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
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
from touchbook.api.answers import encoded, json_answer, send_json
from touchbook.api.bodies import items_of, read_body
from touchbook.api.cloudevents import events_of
from touchbook.api.edge import send_published
from touchbook.api.landing import Landing
from touchbook.api.limits import PLACE, SMALL, Limits
from touchbook.api.openapi import Operation, body_of, operation
from touchbook.api.paths import decoded
from touchbook.api.problems import problem
from touchbook.api.seen import header_of, seen_of
from touchbook.errors import Overloaded, Refused, Rejected, TouchbookError
from touchbook.positions import token_of
from touchbook.schemas.cloudevents import BATCHED, STRUCTURED, WrongIn
from touchbook.schemas.times import milliseconds
from touchbook.streams.admission import Item, Outcome, Publisher
from touchbook.streams.control import AccessKey
from touchbook.streams.metrics import Metrics
from touchbook.wiring import Book

INLINE = 16 * 2**10
"""Bodies up to this many bytes are parsed and admitted on the event loop; a larger one would hold up all the others."""

FEW = 50
"""So many items are admitted on the event loop; more would hold up all the others."""

PACKED_FROM = 16 * 2**10
"""Answers to batches of this many bytes are gzipped for those who can read that. Segment's Node SDK reads no answer,
and Node keeps a process alive for what is left unread beyond this size; packed, that for 2,500 items is smaller."""

SETTINGS_PATH = "/v1/projects/{write_key}/settings"
EVENTS_PATH = "/v1/events"
PATHS = frozenset({*SEGMENT_PATHS, EVENTS_PATH})
INHERITED = ("context", "integrations")
MOST_INHERITED = 16 * 2**10
"""Bytes of JSON that a batch may give to its items: every one of them keeps it, so it is written thousands of times."""
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, X-Retry-Count",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}

ACCEPTED = b'{"success":true,"accepted":1,"duplicates":0,"rejected":[],"positions":["%b"]}'
"""The answer to most requests: one item, accepted at this position."""

CE_HEADER = re.compile(r"ce-[a-z0-9]{1,50}")
"""A CloudEvent's attribute, in binary mode."""

TAKEN = nullcontext()
"""For a request that has its place."""

_Made = TypeVar("_Made")


class Doors:
    """What all doors share: the room there is, the keys, the counters, and one outcome for each item."""

    def __init__(self, book: Book, limits: Limits) -> None:
        self._book = book
        self._limits = limits
        self._landing: Landing | None = None
        self._waking = False

    def now(self) -> int:
        """Milliseconds UTC, by the clock of the book."""
        return self._book.now()

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

    def room(self, scope: Scope, size: int) -> AbstractContextManager[object]:
        """A place for one request whose body has arrived, unless who received it took one. Raises `Overloaded` where
        there is none: the journal's queue is full, or too much is in flight."""
        return TAKEN if PLACE in scope else self._place(size)

    @contextmanager
    def _place(self, size: int) -> Iterator[None]:
        place = self._limits.publishing.take(size)
        try:
            yield
        finally:
            place.leave()

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """The body, once it is its turn to be looked at. Raises `Overloaded` before anything of it is read."""
        if PLACE not in scope and self._limits.publishing.full():
            raise Overloaded
        body = await read_body(scope, receive, self._book.settings.max_request, arrived=PLACE in scope)
        if len(body) > SMALL:
            await self._limits.slices.turn(len(body))
        return body

    async def off_loop_if_large(self, body: bytes, make: Callable[[bytes], _Made]) -> _Made:
        if len(body) <= INLINE:
            return make(body)
        return await run_sync(make, body, limiter=self._limits.threads)

    def key(self, scope: Scope, write_key: object) -> AccessKey:
        """Who publishes: the key of the header, else the one that stands in the body. Raises `Refused`."""
        seen = seen_of(scope)
        if seen.key is None and isinstance(write_key, str):
            seen.key = self._book.control.find_key(write_key)
            if seen.key is not None:
                self._limits.rates.pass_one(seen.key)
        key = allow(PUBLISHERS, seen.key)
        origin = header_of(scope, b"origin")
        if key.origins and origin is not None and origin not in key.origins:
            raise Refused(403, "origin_not_allowed", "expected one of the origins this key was made for")
        return key

    def check_number(self, items: Sequence[Any]) -> None:
        """Raises `Refused` where a batch brings too many, before anything is made of each."""
        most = self._book.settings.max_items
        if len(items) > most:
            raise Refused(413, "too_many_items", f"expected at most {most} items in one batch")

    async def admit(self, scope: Scope, items: list[Item], key: AccessKey, received_at: int) -> list[Outcome]:
        """One outcome per item, durable and counted."""
        self._limits.rates.spend(key, len(items))
        publisher = Publisher(key.source, key.channel, key.role, key.public)
        hand_in = self._book.admission.hand_in
        waiter, told = self._landing_here().place()
        if len(items) > FEW:
            await run_sync(hand_in, items, publisher, received_at, told, limiter=self._limits.threads)
        else:
            hand_in(items, publisher, received_at, told, wake=False)
            self._wake_journal_soon()
        outcomes: list[Outcome] = await waiter
        count(self._book.metrics, key.source, outcomes)
        seen_of(scope).counted = True
        return outcomes

    def _wake_journal_soon(self) -> None:
        """Once for all that this turn of the event loop admits: they share a commit, and the journal's thread does not
        ask for the interpreter while the loop is still at it."""
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake_journal)

    def _wake_journal(self) -> None:
        self._waking = False
        self._book.journal.wake()

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
        received_at = self._doors.now()
        body = await self._doors.body(scope, receive)
        with self._doors.room(scope, len(body)):
            read = await self._doors.off_loop_if_large(body, _items_or_error)
            content = None if isinstance(read, Refused) else read[0]
            key = self._doors.key(scope, content.get("writeKey") if isinstance(content, dict) else None)
            if isinstance(read, Refused):
                raise read
            items = segment_items(self._call, *read, self._doors.check_number)
            outcomes = await self._doors.admit(scope, items, key, received_at)
        if self._call == "batch":  # packed on its way, where it is large
            await send_json(send, published(outcomes))
        else:
            await send_published(scope, send, published(outcomes))


def segment_door(doors: Doors, call: str) -> ASGIApp:
    door = SegmentDoor(doors, call)
    return GZipMiddleware(door, minimum_size=PACKED_FROM) if call == "batch" else door


class EventsDoor:
    """The door for CloudEvents. One event alone that is rejected answers 422, and is set aside all the same."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_at = self._doors.now()
        key = self._doors.key(scope, None)
        body = await self._doors.body(scope, receive)
        with self._doors.room(scope, len(body)):
            events, single, wrong_in = await self._doors.off_loop_if_large(
                body, partial(events_of, Headers(scope=scope))
            )
            self._doors.check_number(events)
            items = [Item("cloudevents", event, {}, fault=wrong_in(event)) for event in events]
            outcomes = await self._doors.admit(scope, items, key, received_at)
        if single and outcomes[0].outcome == "rejected":
            await refusal_of(outcomes[0])(scope, receive, send)
        else:
            await send_published(scope, send, published(outcomes))


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


def segment_items(
    call: str, content: Any, wrong_in: WrongIn, check_number: Callable[[Sequence[Any]], None]
) -> list[Item]:
    """The items of one of Segment's requests. Raises `Refused` where a batch is none, or gives too much to each."""
    if call != "batch":
        if isinstance(content, dict) and content.get("type") is None:
            content = {**content, "type": call}
        return [Item("segment", content, {}, fault=wrong_in(content))]
    if not isinstance(content, dict) or not isinstance(content.get("batch"), list):
        raise Refused(400, "batch_expected", 'expected an object with a list in "batch"')
    check_number(content["batch"])
    inherited = {name: content[name] for name in INHERITED if content.get(name) is not None}
    if inherited and len(json.dumps(inherited)) > MOST_INHERITED:
        raise Refused(
            413, "context_too_large", f"expected at most {MOST_INHERITED} bytes in context and integrations"
        )
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
    if len(outcomes) == 1 and outcomes[0].outcome == "accepted":  # most requests are this one
        metrics.accepted(source, 1)
        return
    for (outcome, code), items in Counter((one.outcome, one.code) for one in outcomes).items():
        match outcome:
            case "accepted":
                metrics.accepted(source, items)
            case "duplicate":
                metrics.duplicates(source, items)
            case "rejected":
                metrics.rejected(source, code, items)


def published(outcomes: Sequence[Outcome]) -> bytes:
    """What is answered with exactly 200, whatever became of the items: on anything else some SDKs send all of it again,
    or crash."""
    first = outcomes[0] if len(outcomes) == 1 else None
    if first is not None and first.outcome == "accepted" and first.position is not None:
        return ACCEPTED % token_of(first.position).encode()
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
    return encoded(content)


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
            description=f"Publishes by Segment's `{call}` call. Answers 200 once everything is durable; an item that "
            "cannot be accepted is set aside and listed in `rejected`. Anything else means: not known, send again "
            "with the same ids. The key may also stand in the body, as `writeKey`.",
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
        description="Publishes CloudEvents: one with `ce-` headers, one as JSON, or an array of them. `source` is the "
        "key's own. The same event in another mode is the same touchpoint. One event alone "
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
        description="What Segment's browser SDK asks before it starts. The key stands in the path, as that SDK sends "
        "it; answered for keys that may publish.",
        answer=models.BrowserSettings,
        refusals=(401, 403),
        parameters=[
            {
                "name": "write_key",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": "An access key that may publish.",
            }
        ],
        keyless=True,
    )
    return [*calls, events, settings]
