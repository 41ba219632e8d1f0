"""What the other tests rely on when they kill, stop, and hold still the servers that they run against."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException, SocketTimeoutError
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError

from tests.servers import machine
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from touchbook.errors import BrokerUnavailable
from touchbook.streams.backends.kafka import connected

ROOT = Path(__file__).parents[2]
SECONDS = 60


@pytest.fixture
def topic(kafka_server: Kafka) -> str:
    """A topic of one partition, which soon forgets all values of a key but the last."""
    kafka_server.start()
    name = f"t{secrets.token_hex(4)}.orders"
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    with admin(kafka_server) as asked:
        asked.create_topics([NewTopic(name, 1, 1, topic_configs=compacted)])
        asked.wait_for_topics([name], timeout_ms=SECONDS * 1_000)
    return name


@contextmanager
def admin(server: Kafka, **security: object) -> Iterator[KafkaAdminClient]:
    settings: dict[str, Any] = {
        "bootstrap_servers": [server.bootstrap],
        "bootstrap_timeout_ms": 20_000,
        **security,
    }
    client = connected(KafkaAdminClient, **settings)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def producer(server: Kafka, **settings: object) -> Iterator[KafkaProducer]:
    client = KafkaProducer(bootstrap_servers=server.bootstrap, acks="all", **settings)
    try:
        yield client
    finally:
        client.close(timeout=5)


def write(server: Kafka, topic: str, *values: bytes, key: bytes | None = None) -> None:
    """Each under a key of its own, or all under this one."""
    with producer(server) as client:
        for sent in [client.send(topic, key=key or value, value=value) for value in values]:
            sent.get(SECONDS)


def read(server: Kafka, topic: str) -> list[bytes]:
    part = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=server.bootstrap)
    try:
        consumer.assign([part])
        consumer.seek_to_beginning(part)
        end = consumer.end_offsets([part])[part]
        values: list[bytes] = []
        while consumer.position(part) < end:
            values += [record.value for records in consumer.poll(500).values() for record in records]
        return values
    finally:
        consumer.close()


def secure(server: Kafka, **wanted: object) -> dict[str, object]:
    return {
        "bootstrap_servers": [server.secure_bootstrap],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(server.ca_file),
        "sasl_plain_username": server.username,
        "sasl_plain_password": server.password,
        **wanted,
    }


@pytest.mark.server
@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.thorough
def test_a_broker_started_again_has_its_records_at_the_same_address(
    kafka_server: Kafka, topic: str, end: str
) -> None:
    write(kafka_server, topic, b"1", b"2")
    before = kafka_server.bootstrap

    getattr(kafka_server, end)()
    assert not kafka_server.running
    kafka_server.start()

    assert kafka_server.bootstrap == before
    write(kafka_server, topic, b"3")
    assert read(kafka_server, topic) == [b"1", b"2", b"3"]


@pytest.mark.server
def test_a_paused_broker_acknowledges_nothing_and_goes_on_when_resumed(
    kafka_server: Kafka, topic: str
) -> None:
    with producer(kafka_server, request_timeout_ms=30_000) as client:
        client.send(topic, key=b"1", value=b"before").get(SECONDS)

        kafka_server.pause()
        waiting = client.send(topic, key=b"2", value=b"meanwhile")
        with pytest.raises(KafkaTimeoutError):
            waiting.get(0.5)
        kafka_server.resume()

        waiting.get(SECONDS)
    assert read(kafka_server, topic) == [b"before", b"meanwhile"]


@pytest.mark.server
def test_compaction_leaves_the_last_value_of_a_key_within_seconds(kafka_server: Kafka, topic: str) -> None:
    write(kafka_server, topic, *(b"%d" % number for number in range(100)), key=b"order")

    time.sleep(0.2)  # longer than a segment is written to, and the one written to is never compacted
    write(kafka_server, topic, b"last", key=b"order")

    deadline = time.monotonic() + SECONDS
    while len(left := read(kafka_server, topic)) > 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert left[-1] == b"last"


@pytest.mark.server
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_secure_listener_knows_its_user_by_each_mechanism(
    kafka_server: Kafka, topic: str, mechanism: str
) -> None:
    with admin(kafka_server, **secure(kafka_server, sasl_mechanism=mechanism)) as asked:
        assert topic in asked.list_topics()


@pytest.mark.server
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_the_secure_listener_refuses_a_wrong_password(
    kafka_server: Kafka, topic: str, mechanism: str
) -> None:
    wrong = secure(
        kafka_server, sasl_mechanism=mechanism, sasl_plain_password="guessed", bootstrap_timeout_ms=500
    )
    with pytest.raises(BrokerUnavailable), admin(kafka_server, **wrong):
        pass


@pytest.mark.server
def test_the_mutual_listener_wants_a_certificate_of_the_client(kafka_server: Kafka, topic: str) -> None:
    tls = {
        "bootstrap_servers": [kafka_server.mutual_bootstrap],
        "security_protocol": "SSL",
        "ssl_cafile": str(kafka_server.ca_file),
    }
    own = {"ssl_certfile": str(kafka_server.certificate), "ssl_keyfile": str(kafka_server.certificate_key)}

    with admin(kafka_server, **tls, **own) as asked:
        assert topic in asked.list_topics()
    with pytest.raises(BrokerUnavailable), admin(kafka_server, **tls, bootstrap_timeout_ms=500):
        pass


@pytest.mark.server
@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.thorough
def test_a_clickhouse_started_again_has_its_rows_at_the_same_address(
    clickhouse_server: ClickHouse, clickhouse: str, end: str
) -> None:
    with Client.from_url(clickhouse) as client:
        client.execute("CREATE TABLE orders (number Int64) ENGINE = MergeTree ORDER BY number")
        client.execute("INSERT INTO orders VALUES", [(1,), (2,)])

    getattr(clickhouse_server, end)()
    assert not clickhouse_server.running
    clickhouse_server.start()

    with Client.from_url(clickhouse) as client:
        assert client.execute("SELECT number FROM orders ORDER BY number") == [(1,), (2,)]


@pytest.mark.server
def test_a_paused_clickhouse_answers_nobody_until_it_is_resumed(
    clickhouse_server: ClickHouse, clickhouse: str
) -> None:
    with Client.from_url(f"{clickhouse}?send_receive_timeout=1") as client:
        clickhouse_server.pause()
        with pytest.raises((SocketTimeoutError, TimeoutError)):  # the driver names it on one way of two
            client.execute("SELECT 1")
        clickhouse_server.resume()

        assert client.execute("SELECT 1") == [(1,)]


@pytest.mark.server
def test_the_guarded_user_of_clickhouse_needs_the_password(clickhouse_server: ClickHouse) -> None:
    url = clickhouse_server.start().guarded_url()

    with Client.from_url(url) as client:
        assert (clickhouse_server.username,) in client.execute("SELECT user FROM system.processes")
    with (
        Client.from_url(url.replace(clickhouse_server.password, "guessed")) as client,
        pytest.raises(ServerException),
    ):
        client.execute("SELECT 1")


@pytest.mark.server
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGKILL])
def test_servers_brought_up_by_hand_end_with_the_process_that_holds_them(
    kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path: Path, number: signal.Signals
) -> None:
    command = (sys.executable, "-m", "tests.servers", "up", "--dir", str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        urls = json.loads(holder.stdout.readline())
        ports = [int(url.split("127.0.0.1:")[1].split("/")[0]) for url in urls.values()]
        assert [listens(port) for port in ports] == [True, True]

        holder.send_signal(number)
        holder.wait(SECONDS)

    deadline = time.monotonic() + SECONDS
    while any(listens(port) for port in ports):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert holder.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert kafka_server.running
    assert clickhouse_server.running


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


class Silent(ClickHouse):
    """Ends at once."""

    def command(self) -> tuple[str, ...]:
        return ("sh", "-c", "echo the disk is on fire; exit 3")


def test_a_server_that_does_not_start_is_told_with_its_own_last_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the disk is on fire"):
        Silent(tmp_path).start()


def test_a_server_is_not_mistaken_for_the_one_that_has_its_port_already(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        server = ClickHouse(tmp_path, port=taken)
        with pytest.raises(
            RuntimeError, match=f"127.0.0.1:{taken} belongs to somebody else; clickhouse needs it"
        ):
            server.start()
    assert not server.running


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing but a shell, and a folder for what gets installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "SYSTEM_FOLDERS", str(folder))
    return folder


@pytest.mark.parametrize(("ci", "ends"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_root_a_missing_server_skips_at_home_and_fails_in_ci(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, ci: str, ends: type[BaseException]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("CI", ci)

    with pytest.raises(ends, match=r"press is not on this machine; install it \(Debian: printing\)"):
        machine.program("press", "printing")


def test_root_installs_a_missing_server_after_asking_what_there_is(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    lists, press = bare_machine / "lists", bare_machine / "press"
    apt = bare_machine / "apt-get"
    apt.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = update ]; then : > {lists}; exit 0; fi\n'
        f'[ -e {lists} ] || {{ echo "E: Unable to locate package"; exit 100; }}\n'
        f'for package; do :; done; [ "$package" = printing ] && : > {press} && /bin/chmod +x {press}\n'
    )
    apt.chmod(0o755)

    assert machine.program("press", "printing") == str(press)
