"""Whoever cannot reach a broker is told why: time being up is no reason that anybody could put right."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.servers.kafka import Kafka
from touchbook.errors import BrokerUnavailable
from touchbook.settings import settings_from
from touchbook.streams.backends import kafka
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_reach import why_not_reached

SECRET = "horse-battery-staple"


@pytest.fixture
def secured(kafka_server: Kafka) -> Kafka:
    return kafka_server.start()


def told(bootstrap: str, **settings: Any) -> str:
    place = KafkaPlace.of(settings_from(journal=f"kafka://{bootstrap}", **settings))
    with pytest.raises(BrokerUnavailable) as failed:
        place.consumer()
    assert SECRET not in str(failed.value)
    return failed.value.why


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert "nobody takes connections" in told(f"127.0.0.1:{port}")


def test_the_name_is_nobodys() -> None:
    assert "broker.invalid:9092" in told("broker.invalid:9092", kafka_plaintext=True)


def test_a_broker_that_stands_still_is_not_taken_for_another_kind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        by_tls = why_not_reached([f"127.0.0.1:{port}"], ssl.create_default_context())

        assert by_tls is not None
        assert "does not answer" in by_tls
        assert "TLS" not in told(f"127.0.0.1:{port}")


def test_who_takes_connections_and_never_agrees_on_tls_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "HANDSHAKE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = KafkaPlace.of(
            settings_from(journal=f"kafka://127.0.0.1:{silent.getsockname()[1]}", kafka_tls=True)
        )

        with pytest.raises(BrokerUnavailable) as failed:
            place.admin(bootstrap_timeout_ms=500)

    assert "takes connections and does not answer" in failed.value.why


@pytest.mark.server
def test_one_side_speaks_tls_and_the_other_does_not(secured: Kafka) -> None:
    assert "set kafka_tls" in told(secured.secure_bootstrap)
    assert "does not speak TLS" in told(secured.bootstrap, kafka_tls=True)


@pytest.mark.server
def test_a_certificate_is_not_trusted_or_not_shown(secured: Kafka) -> None:
    assert "look at kafka_ca" in told(secured.secure_bootstrap, kafka_tls=True)
    assert "look at kafka_certificate" in told(
        secured.mutual_bootstrap, kafka_tls=True, kafka_ca=secured.ca_file
    )


@pytest.mark.server
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_user_is_refused(secured: Kafka, tmp_path: Path, mechanism: str) -> None:
    (password := tmp_path / "password").write_text(SECRET)
    sasl = {"kafka_sasl": mechanism, "kafka_username": "ann", "kafka_password_file": password}

    why = told(secured.secure_bootstrap, kafka_tls=True, kafka_ca=secured.ca_file, **sasl)

    assert "look at the settings of kafka_sasl" in why


@pytest.mark.server
def test_a_broker_wants_to_know_who_it_is(secured: Kafka) -> None:
    assert "who does not say who he is" in told(
        secured.secure_bootstrap, kafka_tls=True, kafka_ca=secured.ca_file
    )
