"""May he be contacted? Reserving, confirming and releasing: hot routes, so they are plain ASGI.

Who asks while a decision is under way shares the next look and the next commit; each is still decided by itself, in the
order in which they came. Their OpenAPI is written at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api import models
from touchbook.api.answers import encoded
from touchbook.api.bodies import MOST_OF_A_QUESTION, json_of, read_body
from touchbook.api.edge import send_whole
from touchbook.api.landing import Landing
from touchbook.api.limits import PLACE, UNLIMITED, Rates
from touchbook.api.openapi import Operation, body_of, operation
from touchbook.api.problems import invalid
from touchbook.api.seen import Seen, header_of, seen_of
from touchbook.contacting import Candidate
from touchbook.errors import Refused, TouchbookError
from touchbook.schemas.cloudevents import media_type_of
from touchbook.schemas.times import writable_milliseconds
from touchbook.streams.contacting import Settled
from touchbook.streams.deciding import Answer, Answers, Asked
from touchbook.wiring import Book

RESERVE, CONFIRM, RELEASE = PATHS = tuple(f"/v1/contact:{verb}" for verb in ("reserve", "confirm", "release"))
JSON = "application/json"
MOST_TOGETHER = 500
"""Questions that are decided in one look."""
GATHER_SECONDS = 0.008
"""Where several asked for one look, the next begins so long after it: a look and a commit cost much the same for one
question as for many. Who asks alone waits for nobody."""

_Model = TypeVar("_Model", bound=BaseModel)


def routes(book: Book, rates: Rates = UNLIMITED) -> list[Route]:
    """`rates` are those of access keys: a call costs as many touchpoints as it asks questions."""
    deciding = Deciding(book)
    doors: list[tuple[str, ASGIApp]] = [
        (RESERVE, _Reserve(book, deciding, rates)),
        (CONFIRM, _Settle(book, deciding, models.ConfirmIn)),
        (RELEASE, _Settle(book, deciding, models.ReleaseIn)),
    ]
    return [Route(path, _Said(door), methods=["POST"]) for path, door in doors]


_Call = tuple[Sequence[Asked], asyncio.Future[Answers]]
"""What was asked, and who waits for the answers."""


class Deciding:
    """One decision after the other, in a thread of their own, so that the event loop waits for none."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="contact")
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None
        self._landing: Landing | None = None

    async def reserve(self, asked: Sequence[Asked]) -> Answers:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((asked, told))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._decide(loop))  # it begins when all of this turn have asked
        return await told

    async def settle(self, settle: Callable[[], Future[Settled]]) -> Settled:
        loop = asyncio.get_running_loop()
        return await self._landing_on(loop).of(await loop.run_in_executor(self._thread, settle))

    async def _decide(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            began = loop.time()
            calls = self._some()
            await self._look(loop, calls)
            if len(calls) > 1 and (left := began + GATHER_SECONDS - loop.time()) > 0:
                await asyncio.sleep(left)

    async def _look(self, loop: asyncio.AbstractEventLoop, calls: Sequence[_Call]) -> None:
        """One look for all of these. Where nobody expected that it fails, each call has one of its own: what is wrong
        with one question is nobody else's."""
        questions = [one._replace(call=call) for call, (asked, _) in enumerate(calls) for one in asked]
        try:
            future = await loop.run_in_executor(self._thread, self._book.contacting.reserve, questions)
        except Exception as error:
            if len(calls) == 1 or isinstance(error, TouchbookError):  # each is told
                for _, told in calls:
                    _end(told, error)
                return
            for call in calls:
                await self._look(loop, [call])
        else:
            waiter, landed = self._landing_on(loop).place()
            waiter.add_done_callback(partial(_tell, calls))
            future.add_done_callback(landed)

    def _some(self) -> list[_Call]:
        """Those that came first, as many as fit."""
        questions = taken = 0
        for asked, _ in self._waiting:
            questions += len(asked)
            if taken and questions > MOST_TOGETHER:
                break
            taken += 1
        calls, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return calls

    def _landing_on(self, loop: asyncio.AbstractEventLoop) -> Landing:
        if self._landing is None or self._landing.loop is not loop:
            self._landing = Landing(loop)
        return self._landing


def _tell(calls: Sequence[_Call], landed: asyncio.Future[Future[Answers]]) -> None:
    """Ends each call with its own answers."""
    future = landed.result()
    error = future.exception()
    answers = iter(() if error is not None else future.result())
    for asked, told in calls:
        _end(told, error if error is not None else [next(answers) for _ in asked])


def _end(told: asyncio.Future[Answers], end: Answers | BaseException) -> None:
    if told.done():  # who asked has gone
        return
    if isinstance(end, BaseException):
        told.set_exception(end)
    else:
        told.set_result(end)


class _Said:
    """Tells which field is wrong, for a route that the framework does not stand before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RequestValidationError as error:
            await invalid(error.errors())(scope, receive, send)


class _Reserve:
    """`POST /v1/contact:reserve`."""

    def __init__(self, book: Book, deciding: Deciding, rates: Rates) -> None:
        self._book = book
        self._deciding = deciding
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = await _content(scope, receive)
        many = isinstance(content, dict) and "items" in content
        seen = seen_of(scope)
        source = seen.source
        if many:
            items = _read(models.ReserveManyIn, content).items
            if seen.key is not None:
                self._rates.spend(seen.key, len(items))
            asked = [self._asked(one, source, place) for place, one in enumerate(items)]
            good = [one for one in asked if isinstance(one, Asked)]
            answers = iter(await self._deciding.reserve(good) if good else [])
            all = [next(answers) if isinstance(one, Asked) else one for one in asked]
            self._count(seen, all)
            await send_whole(scope, send, encoded({"items": list(map(_told, all))}))
            return
        one = self._asked(_read(models.ReserveIn, content), source, None)
        if not isinstance(one, Asked):
            raise one
        answer = (await self._deciding.reserve([one]))[0]
        if isinstance(answer, TouchbookError):
            raise answer
        self._count(seen, [answer])
        await send_whole(scope, send, orjson.dumps(_told(answer)))

    def _count(self, seen: Seen, answers: Sequence[Answer | TouchbookError]) -> None:
        for one in answers:
            self._book.metrics.decided(seen.source, one.kind if isinstance(one, Answer) else one.code)
        seen.counted = True

    def _asked(self, sent: models.ReserveIn, source: str, place: int | None) -> Asked | TouchbookError:
        """The question, or why it is none."""
        customers = self._book.customers
        try:
            if sent.ref is not None:
                subject = customers.id_of(sent.ref)
            else:
                subject = customers.id_named(sent.type or "", sent.value or "")
            not_after = None if sent.not_after is None else writable_milliseconds(sent.not_after, "not_after")
        except TouchbookError as error:
            return error
        candidate = Candidate(
            id=sent.id if sent.id is not None else f"\U0010ffff{place or 0:03}",  # after all that have one
            channel=sent.channel,
            purpose=sent.purpose,
            campaign=sent.campaign,
            priority=sent.priority,
            content=sent.content,
            tags=tuple(sent.tags),
            language=sent.language,
            not_after=not_after,
        )
        return Asked(subject, candidate, source, sent.id)


class _Settle:
    """`POST /v1/contact:confirm` and `:release`. An agent may settle what others reserved."""

    def __init__(
        self, book: Book, deciding: Deciding, model: type[models.ConfirmIn] | type[models.ReleaseIn]
    ) -> None:
        self._book = book
        self._deciding = deciding
        self._model: type[models.ConfirmIn | models.ReleaseIn] = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = _read(self._model, await _content(scope, receive))
        key = seen_of(scope).key
        source = None if key is None or key.role == "agent" else key.source
        contacting = self._book.contacting
        if isinstance(sent, models.ConfirmIn):
            settle = partial(contacting.confirm, sent.reservation, source, sent.message_id)
        else:
            settle = partial(contacting.release, sent.reservation, source, sent.reason)
        settled = await self._deciding.settle(settle)
        await send_whole(scope, send, encoded(settled._asdict()))


async def _content(scope: Scope, receive: Receive) -> Any:
    """The JSON that was sent; who has a place has sent all of it. Raises `Refused` (415) for what says that it is
    something else."""
    stated = header_of(scope, b"content-type")
    if stated is not None and stated != JSON and media_type_of(stated) != JSON:
        raise Refused(415, "media_type_unknown", f"expected Content-Type {JSON}, or none")
    return json_of(await read_body(scope, receive, MOST_OF_A_QUESTION, arrived=PLACE in scope))


def _read(model: type[_Model], content: Any) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


def _told(answer: Answer | TouchbookError) -> dict[str, Any]:
    if isinstance(answer, TouchbookError):
        return {"code": answer.code, "message": str(answer)}
    told = answer.told
    return {
        "decision": answer.kind,
        "id": answer.id,
        "until": told.get("holds_until", told.get("until")),
        "reasons": list(told["reasons"]),
        "policy": told["policy"],
        "counts": told["counts"],
        "due": list(told.get("due", ())),
    }


def openapi() -> list[Operation]:
    """The documentation of these routes."""
    refusals = (400, 401, 403, 404, 408, 409, 413, 415, 422, 503)
    return [
        operation(
            "post",
            RESERVE,
            tag="channels",
            summary="May he be contacted? Checks and reserves in one step",
            description="Answers once the decision is durable: `reserved` holds a place until it is confirmed, "
            "released or runs out, `deferred` says the earliest time at which every rule passes, `suppressed` why it "
            "may not be sent. Up to 500 questions in `items`; those about one customer are weighed against each other "
            "by priority, then `not_after`, then `id`. The same question under the same `id` is decided once. On 503 "
            "it is not known what was decided: send again with the same ids.",
            request=body_of(models.ReserveBody),
            answer=models.ContactAnswer,
            refusals=refusals,
        ),
        operation(
            "post",
            CONFIRM,
            tag="channels",
            summary="What was reserved went out",
            description="It counts for good from now on. For the source that reserved it, and agents. A `message_sent` "
            "with the reservation as its `decision` does the same.",
            request=body_of(models.ConfirmIn),
            answer=models.ReservationState,
            refusals=refusals,
        ),
        operation(
            "post",
            RELEASE,
            tag="channels",
            summary="What was reserved is not sent",
            description="Its place is free again. For the source that reserved it, and agents.",
            request=body_of(models.ReleaseIn),
            answer=models.ReservationState,
            refusals=refusals,
        ),
    ]
