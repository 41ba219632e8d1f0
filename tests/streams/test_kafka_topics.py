"""Topics: what they are made with, what differs is told, and what a first use writes stays for good."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from touchbook.errors import FormatUnknown, PartsFixed, SettingUnfit, TopicsMissing
from touchbook.identity import IdentityRules
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import (
    CONTROL,
    Identity,
    TopicReport,
    all_in,
    described,
    drop_build,
    ensure,
    ensure_build,
    identity_of,
    identity_row,
)

pytestmark = pytest.mark.server

RULES = IdentityRules(default_region="DE")


@pytest.fixture
def admin(kafka: KafkaPlace) -> Iterator[KafkaAdminClient]:
    with closing(kafka.admin()) as admin:
        yield admin


def ensured(
    place: KafkaPlace, parts: int | None = None, name: str = "first", **settings: Any
) -> dict[str, TopicReport]:
    reports = ensure(place, rules=RULES, identity=lambda: Identity(name, b"wrapped"), parts=parts, **settings)
    return {report.topic.removeprefix(f"{place.prefix}."): report for report in reports}


def config_of(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {name: one["value"] for name, one in found.items()}


def test_topics_are_made_once_and_then_are_as_expected(kafka: KafkaPlace) -> None:
    names = [
        "journal", "keys", "set-aside", "control", "audit", "scores", "duty", "decisions", "verdicts", "ingress.shop",
    ]  # fmt: skip

    assert {name: one.state for name, one in ensured(kafka, 3, ingress=["shop"]).items()} == dict.fromkeys(
        names, "created"
    )
    assert {name: one.state for name, one in ensured(kafka, ingress=["shop"]).items()} == dict.fromkeys(
        names, "as expected"
    )
    assert described(kafka).parts == 3


def test_the_journal_is_kept_for_ever_and_keys_are_gone_within_a_bound(
    kafka: KafkaPlace, admin: KafkaAdminClient
) -> None:
    ensured(kafka)

    journal, keys = (config_of(admin, kafka.topic(name)) for name in ("journal", "keys"))
    assert (journal["cleanup.policy"], journal["retention.ms"], journal["retention.bytes"]) == (
        "delete",
        "-1",
        "-1",
    )
    assert keys["cleanup.policy"] == "compact"
    assert int(keys["max.compaction.lag.ms"]) <= 24 * 3_600_000


def test_what_differs_is_told_with_what_to_do_and_left_as_it_is(
    kafka: KafkaPlace, admin: KafkaAdminClient
) -> None:
    ensured(kafka)
    topic = kafka.topic("journal")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "60000"})])

    report = ensured(kafka)["journal"]

    assert report.state == "differs"
    assert report.differences == (
        "retention.ms is 60000, expected -1: set it with kafka-configs.sh --alter "
        f"--topic {topic} --add-config retention.ms=-1",
    )
    assert config_of(admin, topic)["retention.ms"] == "60000"


def test_a_journal_never_gets_another_number_of_parts(kafka: KafkaPlace) -> None:
    ensured(kafka, 2)

    with pytest.raises(PartsFixed, match=r"has 2 partitions and was to have 3: customers would move"):
        ensured(kafka, 3)
    assert described(kafka).parts == 2


def test_a_partition_that_somebody_added_is_told(kafka: KafkaPlace, admin: KafkaAdminClient) -> None:
    ensured(kafka, 2)
    admin.create_partitions({kafka.topic("keys"): 2})

    assert "2 partitions, expected 1" in ensured(kafka)["keys"].differences[0]


@pytest.mark.parametrize(
    ("settings", "named"), [({"replicas": 3}, "kafka_replicas"), ({"min_insync": 2}, "kafka_min_insync")]
)
def test_more_replicas_than_brokers_are_refused_before_anything_is_made(
    kafka: KafkaPlace, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingUnfit, match=f"^{named}: "):
        ensured(kafka, **settings)
    with pytest.raises(TopicsMissing):
        described(kafka)


def test_the_first_use_fixes_id_rules_and_identity_key(kafka: KafkaPlace) -> None:
    ensured(kafka, name="first")
    first = described(kafka)

    ensure(kafka, rules=IdentityRules(default_region="FR"), identity=lambda: Identity("second", b""))

    assert described(kafka) == first
    assert first.rules == RULES
    assert identity_of(kafka) == Identity("first", b"wrapped")


def test_a_master_key_may_change_and_the_identity_key_stays(kafka: KafkaPlace) -> None:
    ensured(kafka, name="first")

    write(kafka, identity_row(kafka, Identity("first", b"wrapped anew")))
    ensured(kafka, name="second")

    assert identity_of(kafka) == Identity("first", b"wrapped anew")


def test_of_several_first_uses_at_once_one_counts_for_all(kafka: KafkaPlace) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: ensured(kafka, 2, name=f"key-{n}"), range(4)))

    said = described(kafka), identity_of(kafka)
    ensured(kafka)
    assert (described(kafka), identity_of(kafka)) == said


def test_the_first_of_two_who_wrote_counts_and_is_what_compaction_keeps(kafka: KafkaPlace) -> None:
    ensured(kafka, name="first")
    write(kafka, identity_row(kafka, Identity("second", b"other")))  # as one does who saw none a moment ago
    assert identity_of(kafka).key_id == "first"

    ensured(kafka)

    with closing(kafka.consumer()) as consumer:
        last = [
            one for one in all_in(consumer, TopicPartition(kafka.topic(CONTROL), 0)) if one.key == b"identity"
        ][-1]
    assert b'"first"' in last.value


def test_a_journal_of_another_format_is_not_guessed_at(kafka: KafkaPlace) -> None:
    ensured(kafka)
    id = described(kafka).id
    write(kafka, Row(kafka.topic(CONTROL), 0, b"journal", b'{"id": "%s", "format": "999"}' % id.encode()))

    with pytest.raises(FormatUnknown, match="999"):
        described(kafka)


def test_there_is_no_journal_where_no_topics_are(kafka: KafkaPlace) -> None:
    for ask in (described, identity_of, lambda place: ensure_build(place, "v1-0a1b")):
        with pytest.raises(TopicsMissing, match="touchbook topics ensure"):
            ask(kafka)


def test_a_build_has_topics_of_its_own_with_the_journal_s_parts_until_it_is_dropped(
    kafka: KafkaPlace, admin: KafkaAdminClient
) -> None:
    ensured(kafka, 3)
    topics = [kafka.topic(f"{name}.v1-0a1b") for name in ("ledgers", "registers", "claims")]

    assert [(one.topic, one.state) for one in ensure_build(kafka, "v1-0a1b")] == [
        (one, "created") for one in topics
    ]
    assert {one.state for one in ensure_build(kafka, "v1-0a1b")} == {"as expected"}
    assert [len(one["partitions"]) for one in admin.describe_topics(topics)] == [3, 3, 3]

    drop_build(kafka, "v1-0a1b")
    drop_build(kafka, "v1-0a1b")
    assert not {*topics} & {*admin.list_topics()}


def write(place: KafkaPlace, row: Row) -> None:
    with closing(Producer(place)) as producer:
        producer.send([row]).result(30)
