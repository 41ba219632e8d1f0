"""Request bodies: raw bytes of any Content-Type, bounded while they arrive, gunzipped with a bound."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import Receive, Scope

from touchbook.api.seen import header_of
from touchbook.errors import Refused, Rejected
from touchbook.schemas.cloudevents import WrongIn, content_of
from touchbook.schemas.strict_json import JsonInvalid, decode

SECONDS = 1_200
"""How long a body may take to arrive where the server below has no deadlines of its own."""

MOST_OF_A_QUESTION = 2**20
"""Bytes of a body that asks instead of publishing."""

_GZIP = zlib.MAX_WBITS | 16
_Model = TypeVar("_Model", bound=BaseModel)


async def read_model(request: Request, model: type[_Model]) -> _Model:
    """A JSON body as its model. Raises `Refused`, or RequestValidationError that names each wrong field."""
    content = json_of(await read_body(request.scope, request.receive, MOST_OF_A_QUESTION))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


def json_of(body: bytes) -> Any:
    """The body's JSON. Raises `Refused` (400) that says what was expected."""
    try:
        return decode(body)
    except JsonInvalid as error:
        raise Refused(400, "json_invalid", str(error)) from None


def items_of(body: bytes) -> tuple[Any, WrongIn]:
    """`content_of` a body as a door reads it. Raises `Refused` (400)."""
    try:
        return content_of(body)
    except Rejected as reason:
        raise Refused(400, reason.code, str(reason)) from None


async def read_body(scope: Scope, receive: Receive, most: int, arrived: bool = False) -> bytes:
    """The body, inflated where it came as gzip. Raises `Refused`: 413 beyond `most` bytes (before or after inflating,
    and before reading where Content-Length tells), 415 for another encoding, 400 for a broken one, 408 when slow.

    `arrived` says that all of it is there, so that nobody needs to look at the clock."""
    inflate = _inflation(header_of(scope, b"content-encoding") or "")
    _check_length(header_of(scope, b"content-length"), most)
    if arrived:
        return await (_gunzipped(receive, most) if inflate else _plain(receive, most))
    try:
        async with asyncio.timeout(SECONDS):
            return await (_gunzipped(receive, most) if inflate else _plain(receive, most))
    except TimeoutError:
        raise Refused(408, "body_too_slow", f"expected the whole body within {SECONDS} seconds") from None


def _inflation(encoding: str) -> bool:
    match encoding.strip().lower():
        case "" | "identity":
            return False
        case "gzip" | "x-gzip":
            return True
    raise Refused(415, "encoding_unknown", "expected Content-Encoding gzip or identity")


def _check_length(stated: str | None, most: int) -> None:
    if stated is not None and stated.isascii() and stated.isdigit() and int(stated[:19]) > most:
        raise _too_large(most)


async def _plain(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        part, more = await _next(receive)
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _gunzipped(receive: Receive, most: int) -> bytes:
    """Inflated once all of it is there: who sends only half must not make the server hold many times that."""
    out = bytearray()
    if not _inflate(zlib.decompressobj(_GZIP), await _plain(receive, most), out, most).eof:
        raise Refused(400, "gzip_invalid", "expected a whole gzip body; it ends too early")
    return bytes(out)


def _inflate(unpack: zlib._Decompress, part: bytes, out: bytearray, most: int) -> zlib._Decompress:
    """Inflates one part onto `out`, never more than a byte past the bound; a gzip body may have several members."""
    try:
        while part:
            if unpack.eof:
                unpack = zlib.decompressobj(_GZIP)
            out += unpack.decompress(part, most + 1 - len(out))
            if len(out) > most:
                raise _too_large(most)
            part = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    except zlib.error:
        raise Refused(
            400, "gzip_invalid", "expected a gzip body (RFC 1952), as Content-Encoding says"
        ) from None
    return unpack


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Refused(400, "body_incomplete", "the connection closed before the body was complete")
    return message.get("body", b""), message.get("more_body", False)


def _too_large(most: int) -> Refused:
    return Refused(413, "body_too_large", f"expected at most {most} bytes, inflated; send smaller batches")
