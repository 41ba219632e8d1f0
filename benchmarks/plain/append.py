"""The journal's append as it was first written: the plain versions of what is shaped for speed. Same results."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain

from touchbook.schemas.touchpoint import Touchpoint
from touchbook.sealing import BODY_FORMAT, seal
from touchbook.streams.backends.sqlite import statement_for, transaction

SIZES = (256, 32, 4, 1)


def seal_each(bodies: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """A nonce is drawn for each, and each time the interpreter is let go of."""
    return [seal(plain, key, associated) for plain, key, associated in bodies]


def insert_whole(db: sqlite3.Connection, name: str, rows: Sequence[Sequence[object]]) -> None:
    """BEGIN, a statement for each power of a few, COMMIT: at 63 rows thirteen statements, now one."""
    with transaction(db):
        done = 0
        for size in SIZES:
            while len(rows) - done >= size:
                db.execute(statement_for(name, size), list(chain.from_iterable(rows[done : done + size])))
                done += size


def encode_body(touchpoint: Touchpoint) -> bytes:
    """With the standard library's encoder."""
    said = {
        "format": BODY_FORMAT,
        "id": touchpoint.id,
        "subject": touchpoint.subject,
        "identifiers": touchpoint.identifiers,
        "received_at": touchpoint.received_at,
        "said_at": touchpoint.said_at,
        "sent_at": touchpoint.sent_at,
        "strength": touchpoint.strength,
        "digest": touchpoint.digest,
        "data": touchpoint.data,
        "extra": touchpoint.extra,
    }
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
