"""Places in lists as outsiders hold them: opaque, and refused where they are not ours."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from typing import Any

from touchbook.errors import Refused
from touchbook.positions import MOST_PARTS
from touchbook.projections.changes import Stamp
from touchbook.projections.stores.port import Places


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _decoded(token: str, name: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError):
        raise Refused(
            400, f"{name}_invalid", f"{name}: expected a value that an earlier answer gave"
        ) from None


def cursor_of(stamp: Stamp) -> str:
    """The place below an entry, as a page's `next`."""
    return _encoded(list(stamp))


def stamp_of(cursor: str) -> Stamp:
    """The place a cursor stands for. Raises `Refused` (400) for one that is not ours."""
    match _decoded(cursor, "cursor"):
        case [int(at), str(key)] if abs(at) < 2**62 and re.fullmatch("[0-9a-f]{32}", key):
            return at, key
    raise Refused(400, "cursor_invalid", "cursor: expected a value that an earlier answer gave")


def question_of(*asked: str | int | bool | None) -> str:
    """What a list is of, short: the same for every page of it, on every replica."""
    return sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:12]


def asked_before(question: str, place: str | None) -> str | None:
    """A page's `next`, which only the same question takes back."""
    return None if place is None else f"{question}.{place}"


def place_in(cursor: str | None, question: str, same: str) -> str | None:
    """The place a cursor of `asked_before` stands for. Raises `Refused` (400) for one that another question gave: its
    place means nothing here, and a list that goes on from it would leave out what lies before it without saying so.
    `same` names what has to be as it was."""
    if cursor is None:
        return None
    asked, _, place = cursor.partition(".")
    if asked != question:
        raise Refused(
            400, "cursor_invalid", f"cursor: expected `next` of an earlier answer with the same {same}"
        )
    return place


def stream_token(places: Places, members: str) -> str:
    """Where a live stream goes on, and digests of the customer's members and erasures; see `stream_position`."""
    return _encoded([places[0] if [*places] == [0] else sorted(places.items()), members])


def stream_position(token: str) -> tuple[Places, str]:
    """(places, members) of a stream's token. Raises `Refused` (400) for one that is not ours."""
    match _decoded(token, "after"):
        case [int(position), str(members)] if 0 <= position < 2**62:
            return {0: position}, members
        case [list(places), str(members)] if all(map(_is_place, places)):
            return dict(places), members
    raise Refused(400, "after_invalid", "after: expected a `stream_from` or an event id of this stream")


def _is_place(found: Any) -> bool:
    match found:
        case [int(part), int(position)]:
            return 0 <= part < MOST_PARTS and 0 <= position < 2**62
    return False
