"""One connection: patience that ends, memory that is bounded, and requests turned away while that is still cheap.

The server below waits for ever, keeps what it is sent and starts whatever was asked. What is added here is settled
before the application hears of a request.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from touchbook.api.access import SEGMENT_PATHS, secret_of
from touchbook.api.edge import HEADERS, WHOLE
from touchbook.api.framing import StrictFraming
from touchbook.api.limits import PACKED, PLACE, STOPPING, Limits, Place, Room, head_of
from touchbook.api.problems import problem
from touchbook.api.seen import header_of
from touchbook.errors import Overloaded, Refused
from touchbook.streams.metrics import NOBODY

MOST_WAITING = 32
"""Requests that may wait on one connection until an earlier one is answered."""
SURPLUS = 256
"""Connections beyond the limit that may stay for a moment, to be told so when they ask; more hear it at once."""
SURPLUS_SECONDS = 2
LINGER_SECONDS = 5
"""How long what is left of a body is read and dropped once its request is answered, so that the answer is found."""
STOPPING_SECONDS = 3
"""How long bodies and readers may still take once the server was told to stop."""

PUBLISHING = frozenset(path.encode() for path in (*SEGMENT_PATHS, "/v1/events"))
ALWAYS = frozenset({b"/healthz", b"/readyz", b"/metrics"})
"""What operators ask to find out whether the server is well: never turned away."""
STREAM_BEGINS = (b"/v1/customers/", b"/desk/customers/", b"/v1/changes")
STREAM_ENDS = (b"/timeline/stream", b"/live", b"/v1/changes")
"""How the paths of live streams begin and end, which hold no place: they are never done."""


def ready_made(refused: Refused, *, keep_alive: bool = False, content: bool = True) -> bytes:
    """A refusal as the bytes that go out; without `content` as the answer to HEAD."""
    retry = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    answer = problem(refused.status, refused.code, str(refused), {**HEADERS, **retry})
    headers = [*answer.raw_headers, (b"connection", b"keep-alive" if keep_alive else b"close")]
    lines = (name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[refused.status] + b"".join(lines) + b"\r\n" + (bytes(answer.body) if content else b"")


BUSY = Refused(
    503, Overloaded.code, "the server is busy; send again with the same ids after Retry-After seconds"
)
CROWDED = Refused(
    503, "too_many_connections", "the server holds as many connections as it may; use fewer, or wait"
)
HEAD_SLOW = Refused(408, "head_too_slow", "expected the whole head of a request sooner; send it at once")
WAITING = Refused(400, "too_many_waiting", f"expected at most {MOST_WAITING} requests ahead of their answers")

_BUSY = {
    (alive, content): ready_made(BUSY, keep_alive=alive, content=content)
    for alive in (True, False)
    for content in (True, False)
}
_CROWDED = ready_made(CROWDED)


class Protocol(StrictFraming):
    """One connection. `_until` is when its client must have sent what is awaited, `_unread_until` when it must have
    read what it was sent; both in the loop's seconds, infinite where nothing is awaited."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._settings = limits.settings
        self._until = self._unread_until = math.inf
        self._surplus = self._stopping = False
        self._in_message = False
        self._held = 0
        self._dropped = 0
        self._active: RequestResponseCycle | None = None
        self._arriving: Arriving | None = None
        self._turn: tuple[RequestResponseCycle, ASGIApp] | None = None
        self._busy = False
        self._asked_at = -math.inf  # for something that was turned away unread
        self._begun = 0  # requests, since something was received at rest
        self._no_room: tuple[Room, str] | None = None  # for one of them, of this source

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limits.watch(self.loop, self.connections)
        self._await_for(self._settings.head_seconds)
        surplus = len(self.connections) - self._settings.max_connections
        if surplus > 0:
            self._surplus = True
            self._await_for(min(SURPLUS_SECONDS, self._settings.head_seconds))
        if surplus > SURPLUS:
            self._limits.metrics.refused(NOBODY, CROWDED.code)
            self.transport.write(_CROWDED)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._release(0)
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        at_rest = self._at_rest()
        if at_rest:
            if self._turn_away_again(data):
                return
            self._begun, self._no_room = 0, None
        outer, self._busy = self._busy, True
        try:
            super().data_received(data)
        finally:
            self._busy = outer
        self._take_turns()
        if at_rest and self._no_room is not None and self._begun == 1 and self._at_rest():
            self._limits.remember(data, *self._no_room)  # all of it was that one request
        if self._until == math.inf and self.timeout_keep_alive_task is None and self._idle():
            self._await_for(self._settings.head_seconds)  # empty lines between requests are no sign of life

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_until = self._time_to_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_until = math.inf

    # What the parser tells

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = True
        self._begun += 1
        if self._until == math.inf:
            self._await_for(self._settings.head_seconds)

    def on_headers_complete(self) -> None:
        self._until = math.inf
        if len(self.pipeline) >= MOST_WAITING:
            raise WAITING
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._dropped += len(body)
            if self._dropped > self._settings.max_request:
                self.transport.close()
        else:
            self._held += len(body)
            self._limits.receiving += len(body)
        super().on_body(body)
        if self.pipeline and self._limits.overfull():
            self.transport.abort()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._in_head:  # else more is to come of what looked like the end
            self._in_message = self.cycle.more_body = False
            self._until = math.inf

    def refuse(self, refused: Refused) -> None:
        self._until = math.inf
        self._limits.metrics.refused(NOBODY, refused.code)
        super().refuse(refused)

    # Requests, each in its turn

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Not at once: what came with the head may be the whole body, and that decides how it begins."""
        self._turn = cycle, app
        self._take_turns()

    def _take_turns(self) -> None:
        """One turned away brings on the next, so this goes round instead of deeper."""
        if self._busy:
            return
        self._busy = True
        while self._turn is not None and not self.transport.is_closing():
            (cycle, app), self._turn = self._turn, None
            self._begin(cycle, app)
        self._busy = False

    def _begin(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._active = cycle
        scope: Any = cycle.scope
        room = self._room_for(scope)
        path = scope["raw_path"]
        stream = path.endswith(STREAM_ENDS) and path.startswith(STREAM_BEGINS)
        if scope["method"] == "POST":
            scope[WHOLE] = partial(self._whole, cycle)
        if self._stopping:  # it came with an earlier one, which has been answered
            self._turn_away(cycle, STOPPING)
        elif self._surplus:
            self._turn_away(cycle, CROWDED)
        elif room is not None and (room.full() or self._limits.overfull()):
            source = self._turn_away(cycle, BUSY)
            # Chunked, only its body says where it ends.
            sized = header_of(scope, b"transfer-encoding") is None
            if sized and scope["method"] != "HEAD":
                self._no_room = room, source
        elif cycle.more_body:
            self._arriving = Arriving(app, cycle, self._limits, None if stream else room, self.loop)
            super()._start_asgi_task(cycle, self._arriving)  # type: ignore[arg-type]
        elif room is None or stream:
            super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]
        else:
            place = _placed_in(room, scope, len(cycle.body))
            super()._start_asgi_task(cycle, partial(_in_place, app, place))

    def _room_for(self, scope: Scope) -> Room | None:
        path = scope["raw_path"]
        if path in PUBLISHING and scope["method"] == "POST":
            return self._limits.publishing
        if path in ALWAYS:
            return None
        waits = b"min_position=" in scope["query_string"] and header_of(scope, b"prefer") is not None
        return self._limits.waiting if waits else self._limits.reading

    def _turn_away(self, cycle: RequestResponseCycle, why: Refused) -> str:
        """Returns the source for which it was counted."""
        source = self._source_of(cycle.scope)
        if self.flow.write_paused:  # it asks and asks and reads no answer
            self.transport.abort()
            return source
        self._limits.metrics.refused(source, why.code)
        cycle.keep_alive = cycle.keep_alive and why is BUSY
        cycle.response_started = cycle.response_complete = True
        content = cycle.scope["method"] != "HEAD"
        self.transport.write(
            _BUSY[cycle.keep_alive, content] if why is BUSY else ready_made(why, content=content)
        )
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
        return source

    def _turn_away_again(self, data: bytes) -> bool:
        """Whether this is a request with the very head of one that was turned away a moment ago, and there still is no
        room: then it is turned away too, unread. What a head means was settled by the parser when it was read; nothing
        here takes a request apart, so nothing can take it apart otherwise. It costs 2 µs instead of 28: many times
        what the server holds comes as the same few heads."""
        known = self._limits.without_room.get(head_of(data))
        if known is None or len(data) != known.size or not (known.room.full() or self._limits.overfull()):
            return False
        self._limits.metrics.refused(known.source, BUSY.code)
        self._until = math.inf
        self._asked_at = self.loop.time()
        self.transport.write(_BUSY[True, True])
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        return True

    def _whole(self, cycle: RequestResponseCycle, headers: bytes, body: bytes) -> bool:
        """Answers 200 in one write, as the cycle would in two after a look at each header; see `edge.Whole`."""
        if self.flow.write_paused or cycle.disconnected or cycle.response_started or not cycle.keep_alive:
            return False
        cycle.response_started = cycle.response_complete = True
        ours = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        length = b"content-length: %d\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINE[200], ours, length, headers, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _source_of(self, scope: Any) -> str:
        """Who asked, if the head says so: operators want to know who comes too often."""
        key = None
        with suppress(Exception):  # a store that fails is no reason to answer otherwise
            if secret := secret_of(header_of(scope, b"authorization")):
                key = self._limits.find_key(secret)
        return NOBODY if key is None else key.source

    def on_response_complete(self) -> None:
        self._arriving = None
        if self._active is not None:
            scope: Any = self._active.scope
            scope.pop(WHOLE, None)  # it knows who has this scope: kept, they would be a cycle
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
            if self.cycle.more_body:
                self._dropped = 0
                self._await_for(LINGER_SECONDS)
        self._release(sum(len(cycle.body) for cycle, _ in self.pipeline))
        super().on_response_complete()

    # Deadlines

    def timeout_keep_alive_handler(self) -> None:
        """Looks again later, if somebody asked since; another timer for each such request would cost more than it."""
        left = self._asked_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def look(self, now: float) -> None:
        """Ends what has taken too long."""
        if self.transport.is_closing() and self._unread_until == math.inf:
            self._unread_until = self._time_to_read()
        if now > self._unread_until:
            self.transport.abort()
        elif now > self._until and not self.transport.is_closing():
            self._lose_patience()

    def _lose_patience(self) -> None:
        self._until = math.inf
        if active := self._answering():
            active.keep_alive = False
        elif self._in_message and self._in_head:
            self.refuse(HEAD_SLOW)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """The server stops: what is under way is answered, what is still coming or still being read has a moment, and
        nothing new begins, which would have nobody left to end it."""
        self._stopping = True
        if self._arriving is not None:
            self._arriving.hurry(STOPPING_SECONDS)
        super().shutdown()
        if self.flow.write_paused or self.transport.is_closing():
            self._unread_until = min(self._unread_until, self.loop.time() + STOPPING_SECONDS)

    # Small change

    def _await_for(self, seconds: float) -> None:
        self._until = self.loop.time() + seconds

    def _time_to_read(self) -> float:
        unread = self.transport.get_write_buffer_size()
        return self.loop.time() + self._settings.send_seconds + unread / self._settings.body_rate

    def _answering(self) -> RequestResponseCycle | None:
        return None if self._active is None or self._active.response_complete else self._active

    def _idle(self) -> bool:
        return not self._in_message and not self._answering()

    def _at_rest(self) -> bool:
        """Whether the next byte begins a request, and nothing else is to be done first."""
        return not (
            self._in_message
            or self._pending
            or self._deaf
            or self._stopping
            or self._surplus
            or self.flow.write_paused
            or (self.cycle is not None and not self.cycle.response_complete)
            or self.transport.is_closing()
        )

    def _release(self, held: int) -> None:
        self._limits.receiving += held - self._held
        self._held = held


def _placed_in(room: Room, scope: Scope, size: int) -> Place:
    packed = size > 0 and header_of(scope, b"content-encoding") is not None
    place = room.take(size * PACKED if packed else size, timed=header_of(scope, b"prefer") is None)
    scope[PLACE] = place
    return place


async def _in_place(app: ASGIApp, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(scope, receive, send)
    finally:
        place.leave()


class Arriving:
    """A request whose body is still on its way: it has a deadline, and takes its place when all of it is there."""

    def __init__(
        self,
        app: ASGIApp,
        cycle: RequestResponseCycle,
        limits: Limits,
        room: Room | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._app = app
        self._cycle = cycle
        self._limits = limits
        self._room = room
        self._loop = loop
        self._size = 0
        self._whole = False
        self._until = loop.time() + limits.settings.body_seconds
        self._timeout: asyncio.Timeout | None = None
        self._late = Refused(
            408,
            "body_too_slow",
            f"expected the whole body within {limits.settings.body_seconds:g} seconds, and one more for each "
            f"{limits.settings.body_rate} bytes; send it faster, or in smaller requests",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, partial(self._receive, scope, receive), send)
        finally:
            if PLACE in scope:
                scope[PLACE].leave()

    def hurry(self, seconds: float) -> None:
        """The server stops: no longer than this."""
        self._until = min(self._until, self._loop.time() + seconds)
        self._late = STOPPING
        if self._timeout is not None:
            self._timeout.reschedule(self._until)

    async def _receive(self, scope: Scope, receive: Receive) -> Message:
        """Raises `Refused` (408) where it takes too long, `Overloaded` where there is no room for it."""
        if self._whole:
            return await receive()
        try:
            async with asyncio.timeout_at(self._until) as self._timeout:
                message = await receive()
        except TimeoutError:
            self._cycle.keep_alive = False
            raise self._late from None
        finally:
            self._timeout = None
        self._whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        self._until += len(message.get("body", b"")) / self._limits.settings.body_rate
        if self._limits.overfull():
            raise Overloaded
        if self._whole and self._room is not None and message["type"] == "http.request":
            _placed_in(self._room, scope, self._size)
        return message
