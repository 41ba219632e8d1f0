"""How Kafka is reached: what the settings may say, and that nobody is told a secret."""

from __future__ import annotations

import gc
import logging
import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.kafka import Kafka
from touchbook.errors import BrokerUnavailable, SettingUnfit, StoreUnavailable
from touchbook.settings import settings_from
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import READY_MS

SECRET = "horse-battery-staple"


@pytest.fixture
def secured(kafka_server: Kafka) -> Kafka:
    return kafka_server.start()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    return file


def place(journal: str = "kafka://127.0.0.1:9092", **settings: Any) -> KafkaPlace:
    return KafkaPlace.of(settings_from(journal=journal, **settings))


# What the settings may say


def test_the_place_has_every_broker_of_the_url_and_the_prefix() -> None:
    found = place("kafka://localhost:9092,[::1]:9093,127.0.0.5:9094", topic_prefix="shop")

    assert found.bootstrap == ("localhost:9092", "[::1]:9093", "127.0.0.5:9094")
    assert found.topic("journal") == "shop.journal"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kafka://",
        "127.0.0.1:9092",
        "kafka://127.0.0.1",
        "kafka://h:0",
        "kafka://h:65536",
        "kafka://h:1,,",
    ],
)
def test_a_url_that_names_no_brokers_is_refused(url: str) -> None:
    with pytest.raises(SettingUnfit, match=r"^journal: .*kafka://HOST:PORT"):
        place(url, kafka_tls=True)


def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(SettingUnfit, match="kafka_password_file") as refused:
        place(f"kafka://ann:{SECRET}@127.0.0.1:9092")

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("host", ["kafka.example.test", "10.0.0.7", "[fd00::1]", "localhost.example.test"])
def test_another_machine_is_reached_with_tls_unless_it_is_said_otherwise(host: str) -> None:
    url = f"kafka://127.0.0.1:9092,{host}:9092"

    with pytest.raises(SettingUnfit, match=r"^kafka_tls: .*kafka_plaintext"):
        place(url)
    assert place(url, kafka_tls=True).bootstrap == place(url, kafka_plaintext=True).bootstrap


def test_a_password_does_not_leave_for_another_machine_in_the_clear(password: Path) -> None:
    sasl: dict[str, Any] = {"kafka_sasl": "PLAIN", "kafka_username": "ann", "kafka_password_file": password}

    with pytest.raises(SettingUnfit, match=r"^kafka_tls"):
        place("kafka://kafka.example.test:9092", **sasl)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kafka_sasl": "PLAIN", "kafka_username": "ann"}, "kafka_sasl"),
        ({"kafka_username": "ann"}, "kafka_sasl"),
        ({"kafka_ca": "ca.pem"}, "kafka_tls"),
        ({"kafka_tls": True, "kafka_certificate": "c.pem"}, "kafka_certificate"),
    ],
)
def test_settings_that_belong_together_are_given_together(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingUnfit, match=f"^{named}: "):
        place(**settings)


@pytest.mark.parametrize("written", [None, b"", b"\n", b"\xff\xfe"])
def test_a_password_file_that_holds_none_is_named(tmp_path: Path, written: bytes | None) -> None:
    file = tmp_path / "password"
    if written is not None:
        file.write_bytes(written)

    with pytest.raises(SettingUnfit, match=r"^kafka_password_file: "):
        place(kafka_sasl="PLAIN", kafka_username="ann", kafka_password_file=file).aio()


@pytest.mark.parametrize("named", ["kafka_ca", "kafka_certificate"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, named: str) -> None:
    (file := tmp_path / "file.pem").write_text("no certificate")
    files: dict[str, Any] = {named: file} | (
        {"kafka_certificate_key": file} if named == "kafka_certificate" else {}
    )

    with pytest.raises(SettingUnfit, match=f"^{named}: "):
        place(kafka_tls=True, **files).aio()


def test_nobody_is_told_the_password(password: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for client in ("kafka", "aiokafka"):
        caplog.set_level(logging.DEBUG, client)
    found = place(
        "kafka://127.0.0.1:1", kafka_sasl="PLAIN", kafka_username="ann", kafka_password_file=password
    )

    with pytest.raises(StoreUnavailable) as failed:
        found.admin(bootstrap_timeout_ms=200)
    with pytest.raises(StoreUnavailable):
        found.consumer(bootstrap_timeout_ms=200).topics()

    assert caplog.records
    assert SECRET not in caplog.text + repr(found) + str(found.aio()) + str(failed.value)


@pytest.mark.parametrize("kind", ["admin", "consumer"])
def test_a_client_whose_brokers_are_away_leaves_nothing_behind(kind: str) -> None:
    """Whoever asks whether they are back asks again and again."""
    make = getattr(place("kafka://127.0.0.1:1"), kind)
    threads, files = threading.enumerate(), len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            make(bootstrap_timeout_ms=50)
    gc.collect()

    assert set(threading.enumerate()) <= set(threads)
    assert len(os.listdir("/proc/self/fd")) <= files


# What brokers see


@pytest.mark.server
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_every_client_proves_who_it_is_over_tls(secured: Kafka, tmp_path: Path, mechanism: str) -> None:
    (file := tmp_path / "password").write_text(secured.password)
    found = place(
        f"kafka://{secured.secure_bootstrap}",
        kafka_tls=True,
        kafka_ca=secured.ca_file,
        kafka_sasl=mechanism,
        kafka_username=secured.username,
        kafka_password_file=file,
    )

    written_and_read(found, mechanism)


@pytest.mark.server
def test_every_client_proves_who_it_is_by_a_certificate(secured: Kafka) -> None:
    url = f"kafka://{secured.mutual_bootstrap}"
    tls = {"kafka_tls": True, "kafka_ca": secured.ca_file}
    own = {"kafka_certificate": secured.certificate, "kafka_certificate_key": secured.certificate_key}

    written_and_read(place(url, **tls, **own), "certificate")
    with pytest.raises(BrokerUnavailable):
        place(url, **tls).admin(bootstrap_timeout_ms=1_000)


@pytest.mark.server
def test_a_broker_that_nobody_vouches_for_is_sent_nothing(secured: Kafka, password: Path) -> None:
    found = place(
        f"kafka://{secured.secure_bootstrap}",
        kafka_tls=True,  # by the authorities of the system, which do not know it
        kafka_sasl="PLAIN",
        kafka_username=secured.username,
        kafka_password_file=password,
    )

    with pytest.raises(BrokerUnavailable):
        found.admin(bootstrap_timeout_ms=1_000)


@pytest.mark.server
def test_a_wrong_password_fails_every_client_and_is_told_to_nobody(secured: Kafka, password: Path) -> None:
    found = place(
        f"kafka://{secured.secure_bootstrap}",
        kafka_tls=True,
        kafka_ca=secured.ca_file,
        kafka_sasl="PLAIN",
        kafka_username=secured.username,
        kafka_password_file=password,
    )

    with pytest.raises(BrokerUnavailable) as refused:
        found.admin(bootstrap_timeout_ms=1_000)
    with closing(Producer(found, delivery_seconds=1)) as producer, pytest.raises(BrokerUnavailable) as unsent:
        producer.send([Row(found.topic("any"), 0, b"key", b"value")]).result(30)
    assert SECRET not in str(refused.value) + str(unsent.value)


def written_and_read(found: KafkaPlace, name: str) -> None:
    topic = found.topic(f"seen-{name}")
    with closing(found.admin()) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([topic], timeout_ms=READY_MS)
    with closing(Producer(found)) as producer:
        assert producer.send([Row(topic, 0, b"key", b"value")]).result(30) == [0]
    with closing(found.consumer()) as consumer:
        assert consumer.partitions_for_topic(topic) == {0}
