"""CloudEvents 1.0 over HTTP, in its three modes, read into one shape: the same event sent in another mode is the same
touchpoint."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from touchbook.api.bodies import WrongIn, items_of, nothing_wrong
from touchbook.errors import Refused

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

_JSON = re.compile(
    r"[a-z0-9.!#$&^_-]+/(?:json|[a-z0-9.!#$&^_-]+\+json)(?:\s*;.*)?", re.IGNORECASE | re.DOTALL
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def events_of(headers: Headers, body: bytes) -> tuple[list[Any], bool, WrongIn]:
    """The events of a request, whether it is a single one, not a batch, and what tells a fault in one of them. Raises
    `Refused` (400).

    The mode is told by the Content-Type, else by a `ce-specversion` header, else by the JSON itself: an array is a
    batch. What is in a batch is not looked at: each event is judged alone."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (STRUCTURED, BATCHED) and "ce-specversion" in headers:
        data, wrong_in = items_of(body) if body else (None, nothing_wrong)
        return [_binary(headers, data)], True, wrong_in
    content, wrong_in = items_of(body)
    if isinstance(content, list):
        if media_type == STRUCTURED:
            raise Refused(
                400, "event_expected", f"expected one event as a JSON object; {BATCHED} takes arrays"
            )
        return [plain(event) for event in content], False, wrong_in
    if media_type == BATCHED:
        raise Refused(400, "batch_expected", "expected a JSON array of events")
    if not isinstance(content, dict):
        raise Refused(400, "event_expected", "expected an event as a JSON object, or an array of events")
    return [plain(content)], True, wrong_in


def _binary(headers: Headers, data: Any) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attribute = name[3:]
            if attribute == "data" or not attribute:
                raise Refused(400, "header_invalid", f"{name}: expected the name of an attribute after ce-")
            if attribute in event:
                raise Refused(400, "header_repeated", f"{name}: expected at most once")
            event[attribute] = _header_value(name, value)
    media_type = headers.get("content-type")
    if media_type:
        event["datacontenttype"] = media_type
    if data is not None:
        event["data"] = data
    read: dict[str, Any] = plain(event)
    return read


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
        raise Refused(400, "header_invalid", f"{name}: expected percent-encoded UTF-8") from None


def plain(event: Any) -> Any:
    """The event without what the modes write differently: null attributes are absent ones, extensions are text, and
    JSON is what data is anyway. Anything but an object is left as it is."""
    if not isinstance(event, dict):
        return event
    read = {
        name: value if name == "data" or type(value) is str else _attribute(value)
        for name, value in event.items()
        if value is not None
    }
    if isinstance(read.get("datacontenttype"), str) and _JSON.fullmatch(read["datacontenttype"]):
        del read["datacontenttype"]
    return read


def _attribute(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value
