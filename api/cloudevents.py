"""CloudEvents 1.0 over HTTP, in its three modes; see `schemas.cloudevents`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from touchbook.api.bodies import items_of
from touchbook.errors import Refused, Rejected
from touchbook.schemas.cloudevents import (
    BATCHED,
    STRUCTURED,
    WrongIn,
    binary,
    media_type_of,
    nothing_wrong,
    plain,
    single,
)

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def events_of(headers: Headers, body: bytes) -> tuple[list[Any], bool, WrongIn]:
    """The events of a request, whether it is a single one, not a batch, and what tells a fault in one of them. Raises
    `Refused` (400).

    The mode is told by the Content-Type, else by a `ce-specversion` header, else by the JSON itself: an array is a
    batch. What is in a batch is not looked at: each event is judged alone."""
    media_type = media_type_of(headers.get("content-type", ""))
    try:
        if media_type not in (STRUCTURED, BATCHED) and "ce-specversion" in headers:
            data, wrong_in = items_of(body) if body else (None, nothing_wrong)
            event = binary("ce-", headers.items(), _header_value, headers.get("content-type"), data)
            return [event], True, wrong_in
        content, wrong_in = items_of(body)
        if isinstance(content, list) and media_type != STRUCTURED:
            return [plain(event) for event in content], False, wrong_in
        if media_type == BATCHED:
            raise Rejected("batch_expected", "expected a JSON array of events")
        return [single(content)], True, wrong_in
    except Rejected as reason:
        raise Refused(400, reason.code, str(reason)) from None


def _header_value(name: str, value: str) -> str:
    """RFC 7230 quoting is taken off first, then one round of percent-decoding (the HTTP binding, 3.1.3.2)."""
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    try:
        if _BAD_ESCAPE.search(value):
            raise ValueError
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except ValueError:
        raise Rejected("header_invalid", "expected percent-encoded UTF-8", name) from None
