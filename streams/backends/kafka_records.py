"""The journal's records as Kafka keeps them: CloudEvents 1.0 in binary mode.

Key = the subject, which puts all of a subject's records into one part; value = the sealed body; timestamp = when it was
recorded; the clear header in Kafka's headers. An erasure has an empty `ce_keyid`, and the erased member as its key.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial

from touchbook.errors import BodyUnreadable
from touchbook.positions import position_in
from touchbook.schemas.touchpoint import Record

Headers = Sequence[tuple[str, bytes]]

_NAMES = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_channel",
    "ce_dataversion",
    "ce_keyid",
    "ce_occurredat",
)
_record = partial(tuple.__new__, Record)


def headers_of(
    key: str, source: str, type: str, version: int, channel: str, key_id: str, occurred_at: int
) -> list[tuple[str, bytes]]:
    """The clear header, but for the subject and the recorded time, which Kafka has places of its own for."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", key.encode()),
        ("ce_source", source.encode()),
        ("ce_type", type.encode()),
        ("ce_channel", channel.encode()),
        ("ce_dataversion", b"%d" % version),
        ("ce_keyid", key_id.encode()),
        ("ce_occurredat", b"%d" % occurred_at),
    ]


def record_of(
    part: int, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers
) -> Record:
    """The record that stands there. Raises BodyUnreadable for what is none of ours: somebody else writes this topic."""
    try:
        names, values = zip(*headers, strict=True)
        if names != _NAMES:
            said = dict(headers)
            values = tuple(said[name] for name in _NAMES)
        _, id, source, type, channel, version, key_id, occurred_at = values
        return _record((
            position_in(part, offset), id.decode(), source.decode(), type.decode(), int(version), channel.decode(),
            (key or b"").decode(), key_id.decode(), int(occurred_at), timestamp, value,
        ))  # fmt: skip
    except (KeyError, TypeError, ValueError):
        raise BodyUnreadable(
            f"partition {part} of the journal holds no record at offset {offset}; see who else may write this topic"
        ) from None


def part_for(subject: str, parts: int) -> int:
    """The part that Kafka's own clients put this key into: murmur2, as their default partitioner does."""
    return (_murmur2(subject.encode()) & 0x7FFFFFFF) % parts


def _murmur2(key: bytes) -> int:
    length, words = len(key), len(key) // 4
    h = 0x9747B28C ^ length
    for k in struct.unpack_from(f"<{words}I", key):
        k = k * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        h = h * 0x5BD1E995 & 0xFFFFFFFF ^ k
    if rest := key[4 * words :]:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return h ^ h >> 15
