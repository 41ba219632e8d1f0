"""Our topics: made, compared with what they should be, and what the first use of a prefix writes for good."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from touchbook.errors import BrokerUnavailable, FormatUnknown, PartsFixed, SettingUnfit, TopicsMissing
from touchbook.identity import IdentityRules
from touchbook.sealing import new_key_id
from touchbook.streams.backends.kafka import KafkaPlace, reaching
from touchbook.streams.backends.kafka_producer import Producer, Row

FORMAT = "1"
JOURNAL, KEYS, SET_ASIDE, CONTROL, INGRESS = "journal", "keys", "set-aside", "control", "ingress"
AUDIT = "audit"
SCORES = "scores"
DECISIONS, VERDICTS = "decisions", "verdicts"
"""Logs that one process at a time writes, see `KafkaDecisions`."""
DUTY = "duty"
"""Nobody writes to it: whom a consumer group gives its one partition has the duty, see `KafkaDuty`."""
BUILT = ("ledgers", "registers", "claims")
"""Topics of a build of the projections."""
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""The largest batch that our topics take. A touchpoint may be half as large."""
MAX_ROW_BYTES = MAX_MESSAGE_BYTES // 2

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ERASED_WITHIN_MS = DAY_MS
"""How long brokers keep what was overwritten or destroyed in a compacted topic at most, while something is written to
the partition now and then: `max.compaction.lag.ms`."""
SETTLING_MS = HOUR_MS
"""How long they keep it at least."""
GONE_MS = 30 * DAY_MS
"""How long it is told that something is gone. A follower that was away for longer begins anew."""
DESTROYED_MS = 3_650 * DAY_MS
"""The same for keys, whose destruction nobody may miss."""
INGRESS_MS = 7 * DAY_MS
DECISIONS_MS = 30 * DAY_MS
"""Decisions are in the journal a moment later; until then, and for the next who decides, they are kept here."""
DEFAULT_PARTS = 8
DEFAULT_REPLICAS = 3
READ_SECONDS = 10.0
PAUSE_SECONDS = 0.05
READY_MS = 60_000
"""How long the brokers may take until every partition of a topic that they made has a leader."""

_JOURNAL_RECORD, _IDENTITY_RECORD = b"journal", b"identity"


class Identity(NamedTuple):
    """The identity key, wrapped by the master key, and its name."""

    key_id: str
    wrapped: bytes


@dataclass(frozen=True)
class Described:
    """What a journal was made with, which never changes."""

    id: str
    rules: IdentityRules
    parts: int


@dataclass(frozen=True)
class TopicReport:
    """What `ensure` found of one topic, and did."""

    topic: str
    state: Literal["created", "as expected", "differs"]
    differences: tuple[str, ...] = ()
    """How it differs, each with what to do."""


@dataclass(frozen=True)
class _Topic:
    name: str
    parts: int
    config: Mapping[str, str]


def ensure(
    place: KafkaPlace,
    *,
    rules: IdentityRules,
    identity: Callable[[], Identity],
    parts: int | None = None,
    replicas: int | None = None,
    min_insync: int | None = None,
    set_aside_days: int = 90,
    ingress: Sequence[str] = (),
) -> list[TopicReport]:
    """Makes the topics that are not there and compares those that are, with `ingress` topics for these sources too.

    On first use writes the journal's id, its rules and the identity key, which `identity` then gives; a journal that is
    there keeps its own. `parts` of None are those it has, or DEFAULT_PARTS. Changes no topic that is there, but tells
    what differs and what to do. May be repeated, and by several at once. Raises PartsFixed if the journal has another
    number of parts, SettingUnfit if there are too few brokers for the replicas.
    """
    with closing(place.admin()) as admin:
        found = _parts_of(admin, place.topic(JOURNAL))
        if found and parts and found != parts:
            raise PartsFixed(place.topic(JOURNAL), found, parts)
        parts = found or parts or DEFAULT_PARTS
        topics = _standing(place, parts, set_aside_days, ingress)
        reports = _ensured(admin, topics, replicas, min_insync)
    _first_use(place, rules, identity, parts)
    return reports


def ensure_build(
    place: KafkaPlace, build: str, *, replicas: int | None = None, min_insync: int | None = None
) -> list[TopicReport]:
    """Makes the topics of a build of the projections, with as many parts as the journal has."""
    with closing(place.admin()) as admin:
        parts = _parts_of(admin, place.topic(JOURNAL))
        if not parts:
            raise TopicsMissing(place.prefix)
        topics = [
            _Topic(place.topic(f"{name}.{build}"), parts, _compacted(MAX_MESSAGE_BYTES, GONE_MS))
            for name in BUILT
        ]
        return _ensured(admin, topics, replicas, min_insync)


def drop_build(place: KafkaPlace, build: str) -> None:
    """Deletes the topics of a build; those that are not there are passed over."""
    with closing(place.admin()) as admin, reaching():
        topics = [place.topic(f"{name}.{build}") for name in BUILT]
        for one in admin.delete_topics(topics, raise_errors=False)["topics"]:
            error = kafka.errors.for_code(one["error_code"])
            if error not in (kafka.errors.NoError, kafka.errors.UnknownTopicOrPartitionError):
                raise error(one["error_message"])
        deadline = time.monotonic() + READ_SECONDS
        while set(topics) & set(admin.list_topics()):  # brokers hear of it one after another
            if time.monotonic() > deadline:
                raise BrokerUnavailable("topics that were deleted are still there")
            time.sleep(PAUSE_SECONDS)


def described(place: KafkaPlace) -> Described:
    """What the journal of this place was made with. Raises TopicsMissing if there is none, FormatUnknown."""
    said = first_said(read_control(place), _JOURNAL_RECORD, "id")
    if said is None:
        raise TopicsMissing(place.prefix)
    where = f"{place.topic(CONTROL)}, key journal,"
    if said["format"] != FORMAT:
        raise FormatUnknown(where, said["format"], FORMAT)
    if said["identity_rules"]["version"] != IdentityRules.version:
        found = f"identity rules {said['identity_rules']['version']}"
        raise FormatUnknown(where, found, str(IdentityRules.version))
    return Described(said["id"], IdentityRules.from_json(said["identity_rules"]), said["parts"])


def identity_of(place: KafkaPlace) -> Identity:
    """The wrapped identity key of this place. Raises TopicsMissing if there is none."""
    said = first_said(read_control(place), _IDENTITY_RECORD, "key_id")
    if said is None:
        raise TopicsMissing(place.prefix)
    return Identity(said["key_id"], bytes.fromhex(said["wrapped"]))


def identity_row(place: KafkaPlace, identity: Identity) -> Row:
    """What writes the identity key, or writes it anew under another master key: it keeps its name."""
    said = {"key_id": identity.key_id, "wrapped": identity.wrapped.hex()}
    return Row(place.topic(CONTROL), 0, _IDENTITY_RECORD, json.dumps(said).encode())


ControlRecord = tuple[bytes, bytes | None]


def read_control(place: KafkaPlace) -> list[ControlRecord]:
    """Every key and value in the control topic, the oldest first. Raises TopicsMissing if there is no such topic."""
    return [(record.key, record.value) for record in read_topic(place, CONTROL)]


def read_topic(place: KafkaPlace, name: str) -> Iterator[Any]:
    """Every record of a topic of one part, the oldest first. Raises TopicsMissing if there is no such topic."""
    topic = place.topic(name)
    with closing(place.consumer()) as consumer, reaching():
        if not consumer.partitions_for_topic(topic):
            raise TopicsMissing(place.prefix)
        yield from all_in(consumer, TopicPartition(topic, 0))


def all_in(consumer: KafkaConsumer, partition: TopicPartition) -> Iterator[Any]:
    """Every record of a partition up to its end as of now."""
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    deadline = time.monotonic() + READ_SECONDS
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=500).values():
            yield from records
            deadline = time.monotonic() + READ_SECONDS
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"{partition.topic} is not read to its end")


def first_said(records: Sequence[ControlRecord], key: bytes, name: str) -> dict[str, Any] | None:
    """The record of this key that was there first, as it was written last; None if there is none.

    Two who make a journal at once may both write. Whose record lies first counts, told by its `name`, which never
    changes; `_first_use` writes it again at the end, so that it is what compaction keeps.
    """
    said = [json.loads(value) for at, value in records if at == key and value is not None]
    return next((one for one in reversed(said) if one[name] == said[0][name]), None)


def _first_use(place: KafkaPlace, rules: IdentityRules, identity: Callable[[], Identity], parts: int) -> None:
    records = read_control(place)
    missing: list[Row] = []
    if first_said(records, _JOURNAL_RECORD, "id") is None:
        journal = {"format": FORMAT, "id": new_key_id(), "identity_rules": rules.to_json(), "parts": parts}
        missing.append(Row(place.topic(CONTROL), 0, _JOURNAL_RECORD, json.dumps(journal).encode()))
    if first_said(records, _IDENTITY_RECORD, "key_id") is None:
        missing.append(identity_row(place, identity()))
    if not missing and not _beaten(place, records):
        return
    with closing(Producer(place)) as producer:
        producer.send(missing).result()
        producer.send(_beaten(place, read_control(place))).result()


def _beaten(place: KafkaPlace, records: Sequence[ControlRecord]) -> list[Row]:
    """The records that count, where another lies last."""
    rows = []
    for key, name in ((_JOURNAL_RECORD, "id"), (_IDENTITY_RECORD, "key_id")):
        first = first_said(records, key, name)
        last = [json.loads(value) for at, value in records if at == key and value is not None][-1]
        if last != first:
            rows.append(Row(place.topic(CONTROL), 0, key, json.dumps(first).encode()))
    return rows


def _standing(place: KafkaPlace, parts: int, set_aside_days: int, ingress: Sequence[str]) -> list[_Topic]:
    """The topics that every Touchbook has."""
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    passing = {"cleanup.policy": "delete", "retention.ms": str(INGRESS_MS)}
    large = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    # A month by the brokers' clock, whatever time it is for who decides.
    decided = {"retention.ms": str(DECISIONS_MS), "message.timestamp.type": "LogAppendTime"}
    aside = {"cleanup.policy": "compact,delete", "retention.ms": str(set_aside_days * DAY_MS)}
    return [
        _Topic(place.topic(JOURNAL), parts, kept | large),
        _Topic(place.topic(KEYS), 1, _compacted(MAX_MESSAGE_BYTES, DESTROYED_MS)),
        # Whatever ingress took can be set aside: it grows by being sealed, and by the reason.
        _Topic(place.topic(SET_ASIDE), 1, _compacted(2 * MAX_MESSAGE_BYTES, GONE_MS) | aside),
        _Topic(place.topic(CONTROL), 1, _compacted(MAX_MESSAGE_BYTES, GONE_MS)),
        _Topic(place.topic(AUDIT), 1, kept),
        _Topic(place.topic(SCORES), parts, _compacted(MAX_MESSAGE_BYTES, GONE_MS)),
        _Topic(place.topic(DUTY), 1, passing),
        *(_Topic(place.topic(name), 1, passing | large | decided) for name in (DECISIONS, VERDICTS)),
        *(_Topic(place.topic(f"{INGRESS}.{source}"), parts, passing | large) for source in ingress),
    ]


def _compacted(largest: int, gone_ms: int) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(SETTLING_MS),
        "max.compaction.lag.ms": str(ERASED_WITHIN_MS),
        "delete.retention.ms": str(gone_ms),
        "max.message.bytes": str(largest),
    }


def _ensured(
    admin: KafkaAdminClient, topics: Sequence[_Topic], replicas: int | None, min_insync: int | None
) -> list[TopicReport]:
    with reaching():
        brokers = len(admin.describe_cluster()["brokers"])
        there = set(admin.list_topics())
    replicas = replicas or min(DEFAULT_REPLICAS, brokers)
    min_insync = min_insync or max(1, replicas - 1)
    if replicas > brokers:
        raise SettingUnfit("kafka_replicas", f"there are {brokers} brokers, too few for {replicas} replicas")
    if min_insync > replicas:
        raise SettingUnfit("kafka_min_insync", f"expected at most kafka_replicas, which is {replicas}")
    new = [topic for topic in topics if topic.name not in there]
    made = _created(admin, new, replicas, min_insync) if new else set()
    old = [topic for topic in topics if topic.name not in made]
    compared = _compared(admin, old, replicas, min_insync) if old else {}
    return [compared.get(topic.name) or TopicReport(topic.name, "created") for topic in topics]


def _created(admin: KafkaAdminClient, topics: Sequence[_Topic], replicas: int, min_insync: int) -> set[str]:
    """The topics that it made; somebody else may make one meanwhile."""
    wanted = {
        topic.name: {
            "num_partitions": topic.parts,
            "replication_factor": replicas,
            "configs": {**topic.config, "min.insync.replicas": str(min_insync)},
        }
        for topic in topics
    }
    with reaching():
        answer = admin.create_topics(wanted, raise_errors=False)
        made = set()
        for one in answer["topics"]:
            error = kafka.errors.for_code(one["error_code"])
            if error is kafka.errors.NoError:
                made.add(one["name"])
            elif error is not kafka.errors.TopicAlreadyExistsError:
                raise error(one.get("error_message"))
        admin.wait_for_topics(list(wanted), timeout_ms=READY_MS)
    return made


def _compared(
    admin: KafkaAdminClient, topics: Sequence[_Topic], replicas: int, min_insync: int
) -> dict[str, TopicReport]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    with reaching():
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
        partitions = {
            one["name"]: one["partitions"] for one in admin.describe_topics([t.name for t in topics])
        }
    reports = {}
    for topic in topics:
        found = {name: config["value"] for name, config in configs[topic.name].items()}
        wanted = {**topic.config, "min.insync.replicas": str(min_insync)}
        differences = [
            *_of_partitions(topic, partitions[topic.name], replicas),
            *(
                f"{name} is {found.get(name)}, expected {value}: set it with kafka-configs.sh --alter --topic "
                f"{topic.name} --add-config {name}={_quoted(value)}"
                for name, value in wanted.items()
                if _sorted(found.get(name)) != _sorted(value)
            ),
        ]
        state: Literal["differs", "as expected"] = "differs" if differences else "as expected"
        reports[topic.name] = TopicReport(topic.name, state, tuple(differences))
    return reports


def _of_partitions(topic: _Topic, partitions: Sequence[Any], replicas: int) -> Iterator[str]:
    if len(partitions) != topic.parts:
        yield (
            f"it has {len(partitions)} partitions, expected {topic.parts}: make it anew, or name another topic_prefix"
        )
    fewest = min(len(partition["replica_nodes"]) for partition in partitions)
    if fewest < replicas:
        yield (
            f"brokers that keep it: {fewest}, expected {replicas}: add some with kafka-reassign-partitions.sh, or set "
            "kafka_replicas"
        )


def _sorted(value: str | None) -> list[str]:
    """A list in a setting is the same in any order."""
    return sorted((value or "").replace(" ", "").split(","))


def _quoted(value: str) -> str:
    return f"[{value}]" if "," in value else value


def _parts_of(admin: KafkaAdminClient, topic: str) -> int:
    """How many partitions a topic has; 0 if it is not there."""
    with reaching():
        if topic not in admin.list_topics():
            return 0
        return len(admin.describe_topics([topic])[0]["partitions"])
