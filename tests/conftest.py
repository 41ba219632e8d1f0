"""What every folder of tests may ask for."""

from __future__ import annotations

from tests.servers.fixtures import clickhouse, clickhouse_server, kafka, kafka_server

__all__ = ["clickhouse", "clickhouse_server", "kafka", "kafka_server"]
