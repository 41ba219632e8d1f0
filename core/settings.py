"""Every setting, with its unit, default and meaning.

A value is looked for in this order: the command line, `TOUCHBOOK_<NAME>` in the environment, the TOML file named by
`--config` or `TOUCHBOOK_CONFIG`, the default here. Nothing reads the environment at import.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import ByteSize, Field, NonNegativeFloat, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """How one Touchbook runs. Sizes are bytes ("4MiB" is understood), times seconds unless the name says days."""

    model_config = SettingsConfigDict(
        env_prefix="TOUCHBOOK_", frozen=True, extra="forbid", validate_default=True
    )

    data: Path = Field(Path("touchbook-data"), description="The data directory.")
    host: str = Field("127.0.0.1", description="The address the server listens on.")
    port: int = Field(8750, ge=0, le=65535, description="The port the server listens on; 0 takes a free one.")
    advertise: str | None = Field(
        None,
        pattern=r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        description="Of a replica: the URL at which other replicas reach it, http://HOST:PORT or https://HOST:PORT; by "
        "default http and the host and port it listens on, with this machine's name where those are all addresses.",
    )
    master_key: Path | None = Field(
        None,
        description="File of the master key that wraps all others; by default `master.key` in the data directory.",
    )
    destroyed_keys: Path | None = Field(
        None,
        description="List of the keys that erasures destroyed; by default `destroyed-keys.txt` in the data directory. "
        "Keep it where the data directory can be lost without it, and never in a backup of the keyring.",
    )
    phone_region: str | None = Field(
        None,
        pattern=r"^[A-Z]{2}$",
        description="Country of phone numbers without +, for example RU. Written into the journal at creation.",
    )
    mappings: tuple[Path, ...] = Field((), description="Mapping files, read after the built-in one.")
    scorecards: Path | None = Field(
        None, description="Folder of scorecards; by default the seven shipped ones."
    )
    max_request: ByteSize = Field(ByteSize(4 * 2**20), gt=0, description="Largest request body, inflated.")
    max_item: ByteSize = Field(
        ByteSize(64 * 2**10), gt=0, description="Largest single item; a larger one is rejected."
    )
    max_items: int = Field(5_000, ge=1, le=20_000, description="Most items in one batch.")
    max_queue: int = Field(20_000, ge=1, description="Touchpoints that may wait for the journal before 503.")
    max_in_flight: int | None = Field(
        None,
        ge=0,
        description="Publishing requests answered at a time before 503; by default 256, and 512 where `journal` is "
        "Kafka, which answers later than a disk, but many as soon as few.",
    )
    max_reads: int = Field(256, ge=0, description="Reading requests answered at a time before 503.")
    max_waits: int = Field(
        1_536, ge=0, description="Reading requests that wait to see what was published, at a time before 503."
    )
    max_delay: float = Field(
        0.5,
        gt=0,
        description="Seconds that requests may take to be answered once they have arrived; when they take longer, "
        "fewer are let in at a time and the others get 503.",
    )
    max_connections: int = Field(2_000, ge=1, description="Connections at a time; further ones get 503.")
    max_receiving: ByteSize = Field(
        ByteSize(64 * 2**20), gt=0, description="Bytes of request bodies held at a time before 503."
    )
    head_seconds: float = Field(
        10,
        gt=0,
        description="How long the head of a request may take, and a new connection may keep silent, before 408.",
    )
    body_seconds: float = Field(
        10,
        gt=0,
        description="How long the body of a request may take before 408, beside what its size allows.",
    )
    body_rate: ByteSize = Field(
        ByteSize(4 * 2**10),
        gt=0,
        description="Bytes a second of a large body: each so many that arrived allow one second more.",
    )
    send_seconds: float = Field(
        30,
        gt=0,
        description="How long an answer may wait to be read before the connection is cut, beside what its size allows "
        "at `body_rate`.",
    )
    key_rate: float = Field(
        0,
        ge=0,
        description="Touchpoints (and other requests) a second with one access key before 429; 0: no limit.",
    )
    key_rates: dict[str, NonNegativeFloat] = Field(
        {}, description="The same for the keys of single sources, by name; these come before `key_rate`."
    )
    key_burst: int = Field(
        10_000, ge=1, description="Touchpoints that one access key may send at once after a pause."
    )
    set_aside_days: int = Field(90, ge=1, description="How long what was set aside is kept.")
    late_after: int = Field(
        3_600, ge=0, description="Seconds between happening and arrival that mark a touchpoint late."
    )
    journal: str | None = Field(
        None,
        description="Kafka's brokers, kafka://HOST:PORT[,HOST:PORT…]; by default SQLite in the data directory.",
    )
    projections: str | None = Field(
        None,
        description="ClickHouse, clickhouse://USER:PASSWORD@HOST:PORT/DATABASE; goes together with `journal`. By "
        "default SQLite in the data directory.",
    )
    topic_prefix: str = Field(
        "touchbook",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="What the names of all topics begin with.",
    )
    delivery_seconds: float = Field(
        15,
        gt=0,
        description="How long Kafka may take to acknowledge what it was given, before the sender is told that it is "
        "not known and to send again.",
    )
    kafka_parts: int | None = Field(
        None,
        ge=1,
        le=1_024,
        description="Partitions of the journal, by default 8: the most workers that can share its folding. Fixed when "
        "it is made.",
    )
    kafka_replicas: int | None = Field(
        None,
        ge=1,
        description="Brokers that keep each record of new topics; by default 3, or as many as there are.",
    )
    kafka_min_insync: int | None = Field(
        None,
        ge=1,
        description="Brokers that must have a record before it is acknowledged; by default one less than keep it.",
    )
    kafka_tls: bool = Field(False, description="Whether brokers are reached with TLS.")
    kafka_ca: Path | None = Field(
        None, description="File of the authorities that may vouch for brokers; by default the system's."
    )
    kafka_certificate: Path | None = Field(None, description="File of this process's own certificate.")
    kafka_certificate_key: Path | None = Field(None, description="File of the key of that certificate.")
    kafka_sasl: str | None = Field(
        None,
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$",
        description="How a name and password are proven: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
    )
    kafka_username: str | None = Field(None, description="The name for `kafka_sasl`.")
    kafka_password_file: Path | None = Field(None, description="File of the password for `kafka_sasl`.")
    kafka_plaintext: bool = Field(
        False, description="Whether brokers on other machines may be reached without TLS."
    )
    worker_port: int = Field(
        8760,
        ge=0,
        le=65535,
        description="The port on the loopback where a worker answers /healthz, /readyz and /metrics; 0 takes a free "
        "one.",
    )
    watchdog_seconds: float = Field(
        120, gt=0, description="A worker that makes no progress for so long though records wait ends."
    )
    session_seconds: float = Field(
        10,
        ge=6,
        description="A worker that Kafka does not hear of for so long loses its partitions to others.",
    )
    fold_batch: int = Field(2_000, ge=1, le=50_000, description="Most touchpoints folded in one transaction.")
    policy: Path | None = Field(
        None,
        description="File of the policy: how soon customers are answered, and when and how often they may be spoken "
        "to; by default the shipped one.",
    )
    clock: bool = Field(
        True,
        description="Whether verdicts about time are recorded here: requests answered, late or ignored, promises "
        "overdue, cases silent, stages stuck, and tiers that changed. Of several replicas one does.",
    )
    sweep_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Share of a core that looking at customers again may take: at those who were touched, and after "
        "each midnight (UTC) at all.",
    )
    desk_zone: str = Field(
        "UTC",
        description="The time zone of the agents' page, as Europe/Berlin: its days and hours are this zone's.",
    )
    log_level: Annotated[str, NoDecode] = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="debug, info, warning or error. Requests that published or reserved contacts are logged at "
        "debug, all others at info.",
    )

    @field_validator("desk_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected the name of a time zone, as Europe/Berlin") from None
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if file := cls._config_file():
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=file))
        return tuple(sources)

    @staticmethod
    def _config_file() -> Path | None:
        named = os.environ.get("TOUCHBOOK_CONFIG")
        return Path(named) if named else None


def settings_from(**given: Any) -> Settings:
    """The settings, with what the command line gave on top; arguments that are None were not given."""
    return Settings(**{name: value for name, value in given.items() if value is not None})
