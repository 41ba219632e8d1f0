"""Where a Touchbook stands in Kafka, and how its brokers are reached: the one place that makes clients."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import aiokafka.errors
import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.net.transport import KafkaSSLTransport

from touchbook.errors import BrokerUnavailable, SettingUnfit
from touchbook.settings import Settings
from touchbook.streams.backends.kafka_reach import why_not_reached

SCHEME = "kafka://"
REQUEST_MS = 5_000
"""How long a broker may take to answer one request before it is asked again on another connection."""
BOOTSTRAP_MS = 5_000
"""How long it may take to reach the first of them."""
HANDSHAKE_SECONDS = 5.0
"""How long a broker may take to agree on TLS."""
RECONNECT_MS = 1_000
"""The longest pause between two attempts to reach a broker, which is how late its return can be noticed."""
CLIENT_ERRORS = (kafka.errors.KafkaError, aiokafka.errors.KafkaError, OSError)

_BROKER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

# Both clients log every failed attempt, ten a second while a broker is away. We say once that it is, and why.
for _client in ("kafka", "aiokafka"):
    logging.getLogger(_client).setLevel(logging.CRITICAL)


class _Secret(str):
    """A text that stays out of what a client logs of its settings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


@dataclass(frozen=True)
class KafkaPlace:
    """The brokers, what is needed to reach them, and the prefix of our topics there.

    Secrets are read from their files when a client is made; nothing here holds one. Raises SettingUnfit where the
    settings do not go together, and for a broker on another machine without TLS unless `plaintext` allows it.
    """

    bootstrap: tuple[str, ...]
    prefix: str = "touchbook"
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    sasl: str | None = None
    username: str | None = None
    password_file: Path | None = None
    plaintext: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The place that the settings name."""
        return cls(
            bootstrap=_brokers(settings.journal or ""),
            prefix=settings.topic_prefix,
            tls=settings.kafka_tls,
            ca=settings.kafka_ca,
            certificate=settings.kafka_certificate,
            certificate_key=settings.kafka_certificate_key,
            sasl=settings.kafka_sasl,
            username=settings.kafka_username,
            password_file=settings.kafka_password_file,
            plaintext=settings.kafka_plaintext,
        )

    def __post_init__(self) -> None:
        if not (self.tls or self.plaintext) and not all(map(_is_here, self.bootstrap)):
            raise SettingUnfit(
                "kafka_tls",
                "a broker on another machine is reached with TLS only; set it, or kafka_plaintext where the network "
                "between is yours alone",
            )
        if not self.tls and (self.ca or self.certificate or self.certificate_key):
            raise SettingUnfit("kafka_tls", "must be set for kafka_ca and kafka_certificate to be used")
        if bool(self.certificate) != bool(self.certificate_key):
            raise SettingUnfit("kafka_certificate", "goes together with kafka_certificate_key; give both")
        if len({bool(self.sasl), bool(self.username), bool(self.password_file)}) > 1:
            raise SettingUnfit(
                "kafka_sasl", "goes together with kafka_username and kafka_password_file; give all three"
            )

    def topic(self, name: str) -> str:
        """The full name of one of our topics: "journal" → "touchbook.journal"."""
        return f"{self.prefix}.{name}"

    def admin(self, **settings: Any) -> KafkaAdminClient:
        """A client for topics; whoever asks closes it."""
        return connected(KafkaAdminClient, **{**self._common(), **_PATIENCE, **settings})

    def consumer(self, **settings: Any) -> KafkaConsumer:
        """A client that reads, by default what it is assigned and seeks, in no group; whoever asks closes it."""
        return connected(KafkaConsumer, **{**self._common(), **_PATIENCE, **_ALONE, **settings})

    def aio(self, **settings: Any) -> dict[str, Any]:
        """What aiokafka's clients are made with."""
        common = self._common()
        if not self.sasl:
            del common["sasl_mechanism"]
        return {**common, "request_timeout_ms": REQUEST_MS, **settings}

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.bootstrap),
            "client_id": "touchbook",
            "security_protocol": ("SASL_" if self.sasl else "") + ("SSL" if self.tls else "PLAINTEXT"),
            "ssl_context": self._context() if self.tls else None,
            "sasl_mechanism": self.sasl,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self._password() if self.sasl else None,
        }

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingUnfit("kafka_ca", f"is no file of certificates ({_kind(error)})") from None
        if self.certificate:
            try:
                context.load_cert_chain(self.certificate, self.certificate_key)
            except (OSError, ssl.SSLError) as error:
                raise SettingUnfit(
                    "kafka_certificate",
                    f"and kafka_certificate_key are no pair of files in PEM ({_kind(error)})",
                ) from None
        return context

    def _password(self) -> _Secret:
        assert self.password_file is not None  # as __post_init__ has seen
        try:
            password = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingUnfit("kafka_password_file", f"cannot be read ({_kind(error)})") from None
        if not password:
            raise SettingUnfit("kafka_password_file", "is empty; its first line is the password")
        return _Secret(password)


_PATIENCE = {
    "request_timeout_ms": REQUEST_MS,
    "bootstrap_timeout_ms": BOOTSTRAP_MS,
    "reconnect_backoff_max_ms": RECONNECT_MS,
}
# A reader that asks for what is not there is to hear so, not to be led to the end.
_ALONE = {
    "group_id": None,
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "auto_offset_reset": "none",
    "metrics_enabled": False,
}


def connected(kind: type[Any], **settings: Any) -> Any:
    """A client of kafka-python's, of this class. Raises BrokerUnavailable where it reaches nobody, which says why, and
    leaves nothing behind then: such a client keeps its thread and its sockets, and whoever made it has nothing to
    close."""
    nets: list[Any] = []
    failures: list[Exception] = []

    def net(**config: Any) -> Any:
        nets.append(kind.DEFAULT_CONFIG["kafka_client"](**config))
        _hear_failures(nets[-1], failures)
        return nets[-1]

    with reaching():
        try:
            client = kind(**settings, kafka_client=net)
        except BaseException as error:
            for one in nets:
                one.close()
            if isinstance(error, kafka.errors.KafkaTimeoutError):
                raise BrokerUnavailable(_why_not(settings, failures) or told(error)) from error
            raise
        for one in nets:
            del one._manager.get_connection
        return client


async def _shake_hands(transport: Any) -> None:
    """As kafka-python does it, which waits for ever: whoever takes connections and says nothing would hold its thread,
    and whoever waits for that."""
    until = time.monotonic() + HANDSHAKE_SECONDS
    try:
        while True:
            try:
                transport._sock.do_handshake()
            except ssl.SSLWantReadError:
                await transport._net.wait_read(transport._sock, until)
            except ssl.SSLWantWriteError:
                await transport._net.wait_write(transport._sock, until)
            else:
                return
    except BaseException:
        transport.close()
        raise


KafkaSSLTransport.handshake = _shake_hands


def _hear_failures(net: Any, failures: list[Exception]) -> None:
    """Has why connections fail appended. The client says no more of it than that time is up."""
    manager = net._manager
    connection = manager.get_connection

    def heard(*said: Any, **more: Any) -> Any:
        made = connection(*said, **more)
        for future in (made.init_future, made.close_future):
            future.add_errback(failures.append)
        return made

    manager.get_connection = heard


def _why_not(settings: Mapping[str, Any], failures: Sequence[Exception]) -> str | None:
    """Why nobody was reached, in our own words."""
    if any(isinstance(one, _REFUSALS) for one in failures):
        return "it refuses the user, the password or the mechanism; look at the settings of kafka_sasl"
    if why := why_not_reached(settings["bootstrap_servers"], settings.get("ssl_context")):
        return why
    if any(isinstance(one, kafka.errors.KafkaConnectionError) for one in failures):
        whom = "" if settings.get("sasl_mechanism") else " on who does not say who he is"
        return f"it hangs up{whom}; look at the settings of kafka_sasl"
    return None


_REFUSALS = kafka.errors.SaslAuthenticationFailedError, kafka.errors.UnsupportedSaslMechanismError


@contextmanager
def reaching() -> Iterator[None]:
    """Whatever fails inside with a client's error fails with ours."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise BrokerUnavailable(told(error)) from error


def told(error: BaseException) -> str:
    """What kind of error it is. A client's own words are left out: they may repeat what it was given."""
    if isinstance(error, BrokerUnavailable):
        return error.why
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()


def _brokers(url: str) -> tuple[str, ...]:
    """The brokers of kafka://HOST:PORT[,HOST:PORT…]. What is wrong with it is told without repeating it."""
    brokers = tuple(url.removeprefix(SCHEME).rstrip("/").split(","))
    if "@" in url:
        raise SettingUnfit(
            "journal", "names no user; give kafka_sasl, kafka_username and kafka_password_file"
        )
    matches = [_BROKER.fullmatch(broker) for broker in brokers]
    if not url.startswith(SCHEME) or not all(match and 0 < int(match["port"]) < 65_536 for match in matches):
        raise SettingUnfit("journal", "expected kafka://HOST:PORT, more brokers after commas")
    return brokers


def _is_here(broker: str) -> bool:
    host = broker.rsplit(":", 1)[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kind(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
