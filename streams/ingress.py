"""Ingress: what services publish straight to topics `<prefix>.ingress.<source>` goes into the journal, under exactly
the rules of the doors.

The topic proves the source: who may write there is for the broker to say. What cannot be accepted is set aside with
the bytes it came as, so that nothing anybody writes there stops the records behind it.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from touchbook.errors import Rejected
from touchbook.schemas.cloudevents import event_in_message
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.admission import IN_KAFKA, REUSED, Admission, Item, Publisher
from touchbook.streams.control import OURS, PUBLISHING, SOURCE_NAME, Control, SetAside
from touchbook.streams.journal import Appended, Journal

log = logging.getLogger(__name__)

MOST_READ = 16
"""A value of more than so many items' size is not looked into."""
MOST_KEPT = 256 * 1024
"""Bytes of a value that are kept when it is set aside: all of it, unless no item could ever be so large. What is set
aside must itself fit into a record."""
APPEND_SECONDS = 60.0


class Arrived(NamedTuple):
    """A record of an ingress topic. `timestamp` is Kafka's, milliseconds UTC."""

    topic: str
    part: int
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None


class Taken(NamedTuple):
    """What became of a pack: so many records were recorded, so many set aside, by reason."""

    accepted: int
    rejected: Mapping[str, int]


class Ingress:
    """Takes packs of ingress records, one at a time."""

    def __init__(
        self, journal: Journal, admission: Admission, control: Control, prefix: str, clock: Callable[[], int],
        max_item: int = 64 * 2**10,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._admission = admission
        self._control = control
        self._prefix = f"{prefix}.ingress."
        self._clock = clock
        self._most = MOST_READ * max_item

    def take(self, arrived: Sequence[Arrived]) -> Taken:
        """Returns once each record is durable: in the journal, or set aside. Raises what the journal or control raise
        while they take nothing; the same records may then be taken again, and are set aside once at most."""
        touchpoints: list[Touchpoint] = []
        origins: list[Arrived] = []
        rejected: list[tuple[Arrived, Rejected]] = []
        taken_by_pages = self._public_sources()
        for one in arrived:
            try:
                touchpoints.append(self._touchpoint_of(one, taken_by_pages))
                origins.append(one)
            except Rejected as reason:
                rejected.append((one, reason))
        appended = self._append(touchpoints) if touchpoints else []
        for one, end in zip(origins, appended, strict=True):
            if isinstance(end, Rejected):
                rejected.append((one, end))
            elif end.outcome == "reused":
                rejected.append((one, REUSED))
        if rejected:
            self._control.set_aside([self._set_aside(one, why) for one, why in rejected])
        counted: dict[str, int] = {}
        for _, why in rejected:
            counted[why.code] = counted.get(why.code, 0) + 1
        return Taken(len(arrived) - len(rejected), counted)

    def source_of(self, topic: str) -> str:
        """The source that a topic of ours proves."""
        return topic.removeprefix(self._prefix)

    def _touchpoint_of(self, one: Arrived, taken_by_pages: frozenset[str]) -> Touchpoint:
        source = self.source_of(one.topic)
        if not SOURCE_NAME.fullmatch(source):
            raise Rejected(
                "source_invalid", "expected a topic <prefix>.ingress.<source>, named as sources are"
            )
        if source == OURS:
            raise Rejected("source_reserved", "expected another source: this one is the server's own")
        if source in taken_by_pages:
            raise Rejected("source_taken", "expected another source: this one has keys for web pages")
        try:
            return self._admission.touchpoint_of(
                self._item_of(one), Publisher(source), received_at(one.timestamp, self._clock())
            )
        except Rejected:
            raise
        except (
            Exception
        ) as error:  # our bug; at a door it would be a 500, here it must not stop what is behind it
            log.error(
                "the record at offset %d of %s, partition %d, cannot be read: %s",
                one.offset, one.topic, one.part, type(error).__name__,
            )  # fmt: skip
            raise Rejected(
                "internal_error", "this version of Touchbook cannot read it; redrive it later"
            ) from error

    def _item_of(self, one: Arrived) -> Item:
        if one.value is None and not any(name.startswith("ce_") for name, _ in one.headers):
            raise Rejected(
                "event_expected", "expected an event as a JSON object, or its attributes in ce_ headers"
            )
        if one.value is not None and len(one.value) > self._most:
            raise Rejected("item_too_large", f"expected at most {self._most} bytes in one record")
        event, fault = event_in_message(one.headers, one.value)
        return Item("cloudevents", event, {}, fault=fault)

    def _append(self, touchpoints: Sequence[Touchpoint]) -> Sequence[Appended | Rejected]:
        """All at once; one that no journal could keep does not cost the others their place."""
        try:
            return self._journal.append(touchpoints).result(APPEND_SECONDS)
        except ValueError:
            if len(touchpoints) == 1:
                return [Rejected("unstorable", "expected text and times that the journal can keep")]
        return [end for touchpoint in touchpoints for end in self._append([touchpoint])]

    def _public_sources(self) -> frozenset[str]:
        """Sources whose ids any visitor of a page may take before the service sends them."""
        keys = self._control.list_keys()
        return frozenset(key.source for key in keys if key.public and key.role in PUBLISHING)

    def _set_aside(self, one: Arrived, why: Rejected) -> SetAside:
        source, value = self.source_of(one.topic), one.value or b""
        came: dict[str, Any] = {
            "topic": one.topic,
            "partition": one.part,
            "offset": one.offset,
            "headers": _kept_headers(one.headers),
        }
        if len(value) > MOST_KEPT:
            came |= {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        return SetAside(
            key=_key_aside(one),
            reason=str(why),
            code=why.code,
            source=source if SOURCE_NAME.fullmatch(source) else "unknown",
            channel=None,
            route=IN_KAFKA,
            inherited={
                "batch": {},
                "publisher": {"source": source, "channel": None, "role": "publish", "public": False},
                "kafka": came,
            },
            received_at=received_at(one.timestamp, self._clock()),
            raw=value[:MOST_KEPT],
            sent_at=None,
        )


def received_at(timestamp: int, now: int) -> int:
    """When the broker had it: Kafka's timestamp, where that can be; a lagging worker must not make it later."""
    return timestamp if 0 < timestamp <= now else now


def _kept_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """As text that JSON can hold, from the first on as far as they fit."""
    kept, room = [], MOST_KEPT
    for name, said in headers:
        room -= len(name) + len(said or b"")
        if room < 0:
            break
        kept.append((name, base64.b64encode(said or b"").decode()))
    return kept


def _key_aside(one: Arrived) -> str:
    """The same however often the record is delivered. The timestamp tells a topic that was made anew from the old."""
    where = f"{one.topic}\0{one.part}\0{one.offset}\0{one.timestamp}"
    return hashlib.sha256(where.encode()).hexdigest()[:32]
