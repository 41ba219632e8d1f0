"""A real ClickHouse, the one that Debian ships: the oldest server that the projections must run on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tests.servers import machine
from tests.servers.process import Server, free_port

CONFIG = """\
<yandex>
    <logger><level>warning</level><console>1</console></logger>
    <listen_host>127.0.0.1</listen_host>
    <tcp_port>{port}</tcp_port>
    <http_port>{http_port}</http_port>
    <path>{data}/</path>
    <tmp_path>{data}/tmp/</tmp_path>
    <user_files_path>{data}/user_files/</user_files_path>
    <format_schema_path>{data}/format_schemas/</format_schema_path>
    <users_config>users.xml</users_config>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <mark_cache_size>16777216</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <max_concurrent_queries>50</max_concurrent_queries>
    <timezone>UTC</timezone>
</yandex>
"""

USERS = """\
<yandex>
    <profiles>
        <default>
            <max_memory_usage>1000000000</max_memory_usage>
            <max_threads>2</max_threads>
            <background_pool_size>2</background_pool_size>
            <background_schedule_pool_size>2</background_schedule_pool_size>
        </default>
    </profiles>
    <quotas><default /></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </default>
        <{username}>
            <password_sha256_hex>{password}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </{username}>
    </users>
</yandex>
"""


class ClickHouse(Server):
    """Two users: `default`, who has no password, and `username`, who has `password`."""

    name = "clickhouse"
    username = "touchbook"
    password = "correct-horse-battery"

    def __init__(self, directory: Path | None = None, *, port: int = 0) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        self.http_port = free_port()

    def url(self, database: str = "default") -> str:
        return f"clickhouse://default@127.0.0.1:{self.port}/{database}"

    def guarded_url(self, database: str = "default") -> str:
        return f"clickhouse://{self.username}:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Over a connection of its own, so that it also works after a restart."""
        from clickhouse_driver import (
            Client,
        )  # here: every run of the tests loads this file, few need the driver

        with Client("127.0.0.1", port=self.port, connect_timeout=2, send_receive_timeout=10) as client:
            rows: list[tuple[object, ...]] = client.execute(statement)
            return rows

    def prepare(self) -> None:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        config = CONFIG.format(port=self.port, http_port=self.http_port, data=data)
        self._config.write_text(config)
        users = USERS.format(
            username=self.username, password=hashlib.sha256(self.password.encode()).hexdigest()
        )
        self._config.with_name("users.xml").write_text(users)

    def command(self) -> Sequence[str]:
        program = machine.program("clickhouse-server", "clickhouse-server")
        return (program, f"--config-file={self._config}")

    def answers(self) -> bool:
        from clickhouse_driver.errors import Error

        try:
            return self.execute("SELECT 1") == [(1,)]
        except (Error, OSError):
            return False

    @property
    def _config(self) -> Path:
        return self.directory / "config.xml"
