"""CloudEvents 1.0 in their modes, read into one shape: the same event sent in another mode, over HTTP or in a record of
Kafka's, is the same touchpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from touchbook.errors import Rejected
from touchbook.schemas.strict_json import JsonInvalid, decode, decode_loosely, fault_of

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

WrongIn = Callable[[Any], str | None]
"""Why a value is no JSON that all programs read alike; None where it is."""
_Value = TypeVar("_Value")

_JSON = re.compile(
    r"[a-z0-9.!#$&^_-]+/(?:json|[a-z0-9.!#$&^_-]+\+json)(?:\s*;.*)?", re.IGNORECASE | re.DOTALL
)


def event_in_message(
    headers: Sequence[tuple[str, bytes]], value: bytes | None
) -> tuple[dict[str, Any], str | None]:
    """The event in a record of Kafka's, and what is wrong with its JSON, if anything. Raises `Rejected`.

    Structured where its `content-type` says so, else binary: attributes in headers `ce_…` as UTF-8, data in the value
    (Kafka protocol binding 1.0.2). A record has one event: batches are rejected. So are names of headers that were no
    UTF-8, which come as Python writes them (`surrogateescape`).
    """
    _expect_text(name for name, _ in headers)
    content_type = next((said for name, said in headers if name.lower() == "content-type"), b"")
    stated = _utf8("content-type", content_type)
    match media_type_of(stated):
        case str(batch) if batch == BATCHED:
            raise Rejected(
                "batch_unexpected", "expected one event in each record, not a batch", "content-type"
            )
        case str(structured) if structured == STRUCTURED:
            content, wrong_in = content_of(value or b"")
            event = single(content)
        case _:
            data, wrong_in = content_of(value) if value else (None, nothing_wrong)
            event = binary("ce_", headers, _utf8, stated, data)
    return event, wrong_in(event)


def media_type_of(content_type: str) -> str:
    """Without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def content_of(body: bytes) -> tuple[Any, WrongIn]:
    """The JSON of a body, and what tells why an item in it is not acceptable JSON: one text with half an emoji must not
    cost its whole batch. Raises `Rejected` where not even its items can be told apart."""
    try:
        return decode(body), nothing_wrong
    except JsonInvalid:
        pass
    try:
        return decode_loosely(body), fault_of
    except JsonInvalid as error:
        raise Rejected("json_invalid", str(error)) from None


def nothing_wrong(item: Any) -> str | None:
    """For what was read strictly."""
    return None


def single(content: Any) -> dict[str, Any]:
    """The one event of structured mode. Raises `Rejected`."""
    if isinstance(content, list):
        raise Rejected("event_expected", f"expected one event as a JSON object; {BATCHED} takes arrays")
    if not isinstance(content, dict):
        raise Rejected("event_expected", "expected an event as a JSON object, or an array of events")
    read: dict[str, Any] = plain(content)
    return read


def binary(
    prefix: str,
    headers: Iterable[tuple[str, _Value]],
    text_of: Callable[[str, _Value], str],
    content_type: str | None,
    data: Any,
) -> dict[str, Any]:
    """The event of binary mode: attributes in headers with a prefix, each read by `text_of`. Raises `Rejected`."""
    event: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(prefix):
            attribute = name[len(prefix) :]
            if attribute == "data" or not attribute:
                raise Rejected("header_invalid", f"expected the name of an attribute after {prefix}", name)
            if attribute in event:
                raise Rejected("header_repeated", "expected at most once", name)
            event[attribute] = text_of(name, value)
    if content_type:
        event["datacontenttype"] = content_type
    if data is not None:
        event["data"] = data
    read: dict[str, Any] = plain(event)
    return read


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


def _expect_text(names: Iterable[str]) -> None:
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise Rejected("header_invalid", "expected names of headers in UTF-8") from None


def _utf8(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        raise Rejected("header_invalid", "expected UTF-8", name) from None
