"""The two ways an event arrives, Segment's calls and CloudEvents, read into one draft of a touchpoint.

A draft is what the sender said, checked for shape only: identifiers are not normalised yet, times not corrected, the
type's own fields not validated. Errors name the field as the sender wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from touchbook.errors import Rejected
from touchbook.schemas.times import milliseconds
from touchbook.schemas.touchpoint import CARRIED, IDENTIFIED

MAX_ID = 200
MAX_TYPE = 200
ID_PATTERN = rf"^[^\u0000-\u001f\u007f-\u009f]{{1,{MAX_ID}}}$"
"""What an id looks like, as schemas say it."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What no id and no name of a type may hold: programs cut texts off at NUL, and logs fall apart at the others."""
CLOUDEVENT_READ = frozenset({"specversion", "id", "source", "type", "time", "data", "channel"})


@dataclass(slots=True)
class Draft:
    """What one item says. `identifiers` are (type, value, field) as sent; `canonical` is the item without what an
    honest retry changes, from which the digest, and a missing id, are made."""

    id: str | None
    type: str
    version: int | None
    channel: str | None
    identifiers: list[tuple[str, str, str]]
    data: dict[str, Any]
    canonical: dict[str, Any]
    said_at: int | None
    sent_at: int | None
    strength: int = CARRIED
    extra: dict[str, Any] = field(default_factory=dict)
    data_field: str = "data"
    """Where the type's fields stood in the item, so that errors can point there."""


def draft_of_segment(call: Any, inherited: dict[str, Any], sent_at: int | None) -> Draft:
    """One Segment or RudderStack call. `inherited` holds the batch's `context` and `integrations`.

    What each call becomes: track → its event name with its properties; identify → `identified`; page and screen →
    `page_viewed`; group → `group_joined`; alias → `alias`.
    """
    call = _object(call, "")
    method = call.get("type")
    if not isinstance(method, str) or method not in SEGMENT_CALLS:
        raise Rejected("type_unknown", f"expected one of {', '.join(SEGMENT_CALLS)}", "type")
    context = {
        **_optional_object(inherited.get("context"), "context"),
        **_optional_object(call.get("context"), "context"),
    }
    properties = _optional_object(call.get("properties"), "properties")
    draft = Draft(
        id=_id(call.get("messageId"), "messageId"),
        type="",
        version=None,
        channel=_first_text(properties.get("channel"), context.get("channel")),
        identifiers=_segment_identifiers(call, context),
        data=properties,
        canonical={name: value for name, value in call.items() if name not in NOT_CANONICAL},
        said_at=_time(call, "timestamp", "originalTimestamp"),
        sent_at=milliseconds(call["sentAt"], "sentAt") if call.get("sentAt") is not None else sent_at,
        extra={name: value for name, value in call.items() if name not in SEGMENT_READ[method]},
        data_field="properties",
    )
    if context:
        draft.extra["context"] = context
    if call.get("integrations") is None and inherited.get("integrations"):
        draft.extra["integrations"] = inherited["integrations"]
    SEGMENT_CALLS[method](call, context, draft)
    return draft


def _track(call: dict[str, Any], context: dict[str, Any], draft: Draft) -> None:
    draft.type = _type(call.get("event"), "event")


def _identify(call: dict[str, Any], context: dict[str, Any], draft: Draft) -> None:
    traits = {
        **_optional_object(context.get("traits"), "context.traits"),
        **_optional_object(call.get("traits"), "traits"),
    }
    draft.type, draft.strength, draft.data_field = "identified", IDENTIFIED, ""
    draft.data = {"traits": traits}
    for kind in ("email", "phone"):
        if traits.get(kind) not in (None, ""):
            draft.identifiers.append((kind, _text(traits[kind], f"traits.{kind}"), f"traits.{kind}"))


def _page(call: dict[str, Any], context: dict[str, Any], draft: Draft) -> None:
    said = {name: call[name] for name in ("name", "category") if call.get(name) not in (None, "")}
    draft.type = "page_viewed"
    draft.data = {**draft.data, **said, "kind": call["type"]}


def _group(call: dict[str, Any], context: dict[str, Any], draft: Draft) -> None:
    draft.type, draft.data_field = "group_joined", ""
    draft.data = {
        "group": _text(call.get("groupId"), "groupId"),
        "traits": _optional_object(call.get("traits"), "traits"),
    }


def _alias(call: dict[str, Any], context: dict[str, Any], draft: Draft) -> None:
    previous = _text(call.get("previousId"), "previousId")
    draft.type, draft.strength, draft.data_field = "alias", IDENTIFIED, ""
    draft.identifiers.append(("anonymous_id", previous, "previousId"))
    draft.data = {"previous": previous}


SEGMENT_CALLS = {
    "track": _track, "identify": _identify, "page": _page, "screen": _page, "group": _group, "alias": _alias,
}  # fmt: skip
CHANGED_BY_RETRIES = frozenset({"sentAt", "receivedAt", "writeKey"})
RETRIES = "_metadata"
NOT_CANONICAL = CHANGED_BY_RETRIES | {RETRIES}
"""`_metadata` is kept, but no part of what is compared: there Segment's browser SDK counts its retries."""
_READ_OF_ALL = CHANGED_BY_RETRIES | {"type", "context", "messageId", "userId", "anonymousId", "timestamp"}
SEGMENT_READ = {
    "track": _READ_OF_ALL | {"event", "properties"},
    "identify": _READ_OF_ALL | {"traits"},
    "page": _READ_OF_ALL | {"properties", "name", "category"},
    "screen": _READ_OF_ALL | {"properties", "name", "category"},
    "group": _READ_OF_ALL | {"groupId", "traits"},
    "alias": _READ_OF_ALL | {"previousId"},
}
"""What of a call has its own place in the draft; all else comes along in `extra`, so that nothing sent is lost."""


def _segment_identifiers(call: dict[str, Any], context: dict[str, Any]) -> list[tuple[str, str, str]]:
    device = context.get("device")
    named = [
        ("user_id", call.get("userId"), "userId"),
        ("anonymous_id", call.get("anonymousId"), "anonymousId"),
        ("device", device.get("id") if isinstance(device, dict) else None, "context.device.id"),
    ]
    return [(kind, _text(value, where), where) for kind, value, where in named if value not in (None, "")]


def draft_of_cloudevent(event: Any, source: str) -> Draft:
    """One CloudEvent in structured form; a binary one is given in the same shape. `source` is the publisher's own."""
    event = _object(event, "")
    if event.get("specversion") != "1.0":
        raise Rejected("specversion_unknown", 'expected "1.0"', "specversion")
    if event.get("source") != source:
        raise Rejected("source_mismatch", f"expected {source!r}, the source this key belongs to", "source")
    if "data_base64" in event:
        raise Rejected("data_not_json", "expected a JSON object in `data`, not base64", "data_base64")
    if event.get("channel") is not None and not isinstance(event["channel"], str):
        raise Rejected("channel_invalid", "expected at most 50 printable characters", "channel")
    data = dict(_optional_object(event.get("data"), "data"))
    identifiers = _optional_object(data.pop("identifiers", None), "data.identifiers")
    return Draft(
        id=_id(event.get("id"), "id"),
        type=_type(event.get("type"), "type"),
        version=_version(event.get("dataschema")),
        channel=_first_text(event.get("channel")),
        identifiers=[
            (kind, _text(value, _identifier_field(kind)), _identifier_field(kind))
            for kind, values in identifiers.items()
            for value in (values if isinstance(values, list) else [values])
            if value not in (None, "")
        ],
        data=data,
        canonical=event,
        said_at=_time(event, "time"),
        sent_at=None,
        strength=IDENTIFIED if event["type"] in ("identified", "alias") else CARRIED,
        extra={}
        if event.keys() <= CLOUDEVENT_READ
        else {name: value for name, value in event.items() if name not in CLOUDEVENT_READ},
    )


@lru_cache(256)
def _identifier_field(kind: str) -> str:
    """Where the identifier stood; a key that does not look like a field name may be somebody's address."""
    return f"data.identifiers.{kind}" if re.fullmatch(r"[A-Za-z_]{1,40}", kind) else "data.identifiers"


def _version(schema: Any) -> int | None:
    """The version in a `dataschema` such as `urn:touchbook:schema:order_placed:2`; None where it states none."""
    if schema is None:
        return None
    tail = str(schema).replace("/", ":").rsplit(":", 1)[-1]
    return int(tail) if tail.isascii() and tail.isdecimal() and len(tail) < 5 else None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Rejected("object_expected", "expected a JSON object", where)
    return value


def _optional_object(value: Any, where: str) -> dict[str, Any]:
    return {} if value is None else _object(value, where)


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise Rejected("text_expected", "expected a text that is not empty", where)
    return str(value)


def _first_text(*values: Any) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _id(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    text = _text(value, where)
    if len(text) > MAX_ID:
        raise Rejected("id_too_long", f"expected at most {MAX_ID} characters", where)
    if CONTROL.search(text):
        raise Rejected("id_invalid", f"expected 1 to {MAX_ID} characters, no control characters", where)
    return text


def _type(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TYPE or CONTROL.search(value):
        raise Rejected(
            "type_invalid", f"expected a text of 1 to {MAX_TYPE} characters, no control characters", where
        )
    return value


def _time(item: dict[str, Any], *names: str) -> int | None:
    for name in names:
        if item.get(name) is not None:
            return milliseconds(item[name], name)
    return None
