"""What all reads of a customer share: the language, the wait for what was just published, the ETag, the bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from touchbook.api.answers import json_answer
from touchbook.api.parameters import day, wrong
from touchbook.api.paths import decoded
from touchbook.api.seen import header_of, seen_of
from touchbook.ledger import Day, day_of
from touchbook.positions import position_of
from touchbook.projections.who import Customer
from touchbook.schemas.display import LANGUAGES, Language
from touchbook.streams.follow import Following
from touchbook.wiring import Book

LONGEST_WAIT = 30
"""Seconds; a client that asks to wait longer waits so long."""

Tell = Callable[[Customer], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for what, taken from the request. Times are milliseconds, days UTC."""

    request: Request
    book: Book
    ref: str
    role: str
    language: Language
    now: int

    @classmethod
    def of(cls, request: Request) -> Asked:
        key = seen_of(request.scope).key
        book: Book = request.app.state.book
        return cls(
            request=request,
            book=book,
            ref=decoded(request.path_params.get("ref", "")),
            role=key.role if key else "",
            language=language_of(header_of(request.scope, b"accept-language") or ""),
            now=book.now(),
        )

    @property
    def today(self) -> Day:
        return day_of(self.now)

    def at(self) -> Day:
        """The day asked about in `?at=`, or today."""
        text = self.request.query_params.get("at") if self.request.scope["query_string"] else None
        return self.today if text is None else day("at", text)


async def answer(
    asked: Asked,
    tell: Tell,
    *,
    find: Callable[[], Customer] | None = None,
    moment: Callable[[Customer], str] | None = None,
    worded: bool = False,
) -> Response:
    """The answer to one read: 304 where the client has it already, which is known before anything is computed.

    `moment` is what else time alone changes in the answer; `worded` says that it is in the language asked for.
    """
    headers = await waited(asked)
    if worded:
        headers |= {"Content-Language": asked.language, "Vary": "Accept-Language"}
    return await run_sync(partial(_answer, asked, tell, find, moment, headers))


def _answer(
    asked: Asked,
    tell: Tell,
    find: Callable[[], Customer] | None,
    moment: Callable[[Customer], str] | None,
    headers: dict[str, str],
) -> Response:
    customer = find() if find else asked.book.customers.find(asked.ref)
    tag = tag_of(asked, customer.id, customer.version, moment(customer) if moment else "")
    headers = {**headers, "ETag": tag}
    if has(asked.request.scope, tag):
        return Response(status_code=304, headers=headers)
    return json_answer(tell(customer), headers=headers)


def tag_of(asked: Asked, customer: str, version: str, moment: str = "") -> str:
    """A strong ETag over everything the answer depends on; a customer's version also says what made the projections.
    It is taken before the answer is computed: a touchpoint that arrives between makes the answer newer than its tag,
    and the next poll brings it once more."""
    scope = asked.request.scope
    parts = (
        customer,
        version,
        str(asked.today),
        asked.book.scorecards.fingerprint,
        asked.request.app.version,
        asked.language,
        asked.role,
        scope["path"],
        scope["query_string"].decode("latin-1"),
        moment,
    )
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f'"{digest[:32]}"'


def has(scope: Scope, tag: str) -> bool:
    """Whether the client has the answer with this tag (If-None-Match; weak comparison, as RFC 9110 says)."""
    sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"]
    known = [one.strip().removeprefix("W/") for one in ",".join(sent).split(",")]
    return tag in known or "*" in known


@lru_cache(maxsize=256)
def language_of(accepted: str) -> Language:
    """The best of ours by Accept-Language; English where it names none of them."""
    best: tuple[float, Language] = (0.0, "en")
    for one in accepted.split(","):
        name, _, parameters = one.strip().lower().partition(";")
        quality = _quality(parameters)
        for ours in LANGUAGES:
            if name.partition("-")[0].strip() in (ours, "*") and quality > best[0]:
                best = (quality, ours)
    return best[1]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return min(max(float(value), 0.0), 1.0) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


async def waited(asked: Asked) -> dict[str, str]:
    """Waits as `Prefer: wait=N` says for every `min_position` to be visible; the header that tells it was."""
    if not asked.request.scope["query_string"]:
        return {}
    positions = asked.request.query_params.getlist("min_position")
    if not positions:
        return {}
    try:
        wanted = [position_of(token) for token in positions]
    except ValueError:
        raise wrong("min_position", "expected positions that publishing answered") from None
    seconds = seconds_of(asked.request.headers)
    if seconds is None or not await visible(asked.book.follower, wanted, seconds):
        return {}
    return {"Preference-Applied": "wait"}


def seconds_of(headers: Headers) -> int | None:
    """The wait of a Prefer header (RFC 7240), at most LONGEST_WAIT; None where it asks for none."""
    for preference in ",".join(headers.getlist("prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value[:9]), LONGEST_WAIT)
    return None


async def visible(follower: Following, positions: Sequence[int], seconds: float) -> bool:
    """Whether reads see all of these positions within so many seconds. Waits without holding a thread."""
    return await _until(follower, lambda: all(map(follower.shows, positions)), seconds)


async def changed(follower: Following, folded: int, seconds: float) -> bool:
    """Whether reads see more than when the follower stood at `folded`, within so many seconds."""
    return await _until(follower, lambda: follower.folded > folded, seconds)


async def _until(follower: Following, reached: Callable[[], bool], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def heard(_: int) -> None:
        if reached() and not loop.is_closed():
            loop.call_soon_threadsafe(told.set)

    forget = follower.listen(heard)
    try:
        if not reached():
            await asyncio.wait_for(told.wait(), seconds)
        return True
    except TimeoutError:
        return False
    finally:
        forget()
