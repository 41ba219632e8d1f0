"""A real broker: Apache Kafka from its jars, one node that is its own controller, on free ports of the loopback."""

from __future__ import annotations

import shutil
import tempfile
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.needs import needs_or_skip
from tests.servers import machine
from tests.servers.certificates import Certificates
from tests.servers.process import Server, free_port

POM = Path(__file__).with_name("pom.xml")
JAVA = "default-jre-headless"
CLUSTER = "dG91Y2hib29rLXRlc3RzLQ"

NODE = 1
PATIENCE = {"request_timeout_ms": 2_000, "bootstrap_timeout_ms": 1_000}

QUICK = ("-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
QUIET = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dlog4j2.level=warn")

SETTINGS = """\
process.roles={roles}
node.id={node}
controller.quorum.voters={first}@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
log.dirs={data}
# One node keeps the only copy of everything.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
auto.create.topics.enable=false
controlled.shutdown.enable=false
# Groups come together at once, and a member that was killed is missed soon, if it asks for that.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
# Killed and started again it comes back as itself once its old session has run out, by which time it has started; a
# machine that is busy for a second makes nobody believe that it is gone.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
# A controller that has nothing to do writes nothing.
metadata.max.idle.interval.ms=0
# What a topic's own settings say about compaction and retention happens within two seconds.
log.cleaner.threads=1
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=8388608
log.initial.task.delay.ms=200
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=200
# Nobody looks at a broker's metrics, of which every partition has a dozen.
metrics.jmx.exclude=.*
metric.reporters=
# Two cores, many small topics.
num.network.threads=2
num.io.threads=4
log.index.size.max.bytes=1048576
"""

SECURITY = """\
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{username}="{password}";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class Kafka(Server):
    """`sasl=True` adds two listeners: `secure_bootstrap` (TLS, and SASL with PLAIN or SCRAM) and `mutual_bootstrap`
    (TLS with a certificate of the client's)."""

    name = "kafka"
    username = "touchbook"
    password = "correct-horse-battery"
    node = NODE
    nodes = frozenset({NODE})
    """Who may lead a partition once it answers."""
    roles = "broker,controller"

    def __init__(self, directory: Path | None = None, *, port: int = 0, sasl: bool = False) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.secure_bootstrap = f"127.0.0.1:{free_port()}" if sasl else ""
        self.mutual_bootstrap = f"127.0.0.1:{free_port()}" if sasl else ""
        self.certificates = Certificates(self.directory / "certificates") if sasl else None
        self._controller = free_port()

    @property
    def ca_file(self) -> Path:
        return self._certificates.ca

    @property
    def certificate(self) -> Path:
        return self._certificates.client

    @property
    def certificate_key(self) -> Path:
        return self._certificates.client_key

    @property
    def _certificates(self) -> Certificates:
        assert self.certificates is not None, "only a Kafka(sasl=True) has certificates"
        return self.certificates

    @property
    def _settings(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def prepare(self) -> None:
        self._settings.write_text(self._said())
        if not (self._data / "meta.properties").exists():
            shutil.copytree(self._formatted(), self._data, dirs_exist_ok=True)

    def command(self) -> Sequence[str]:
        return (*self.java(), "kafka.Kafka", str(self._settings))

    def java(self) -> Sequence[str]:
        """Up to the name of the class to run."""
        return _java()

    def answers(self) -> bool:
        """Whether it is registered, and leads every partition it knows of."""
        # Here: every run of the tests loads this file, few of them the client.
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        from touchbook.errors import BrokerUnavailable
        from touchbook.streams.backends.kafka import connected

        try:
            admin = connected(KafkaAdminClient, bootstrap_servers=[self.bootstrap], **PATIENCE)
        except BrokerUnavailable:
            return False
        try:
            leaders = {part["leader_id"] for topic in admin.describe_topics() for part in topic["partitions"]}
            return bool(admin.describe_cluster()["brokers"]) and leaders <= self.nodes
        except (KafkaError, OSError):
            return False
        finally:
            admin.close()

    def _formatted(self) -> Path:
        """Storage as Kafka formats it for this node, of any cluster of the tests: made once for all, since it takes a
        second of CPU."""
        users = [
            argument
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={self.username},password={self.password}]")
        ]
        format = ("kafka.tools.StorageTool", "format", "-t", CLUSTER, *users)
        java = self.java()  # may format storage itself, so it is asked before the lock is held
        kept = _jars() / f"formatted-{self.node}-{zlib.crc32(repr(format).encode()):08x}"
        with machine.one_at_a_time(kept.name):
            if not kept.exists():
                if why := machine.last_words(*java, *format, "-c", str(self._settings)):
                    raise RuntimeError(f"Kafka cannot format its storage: {why}")
                unfinished = kept.with_suffix(".unfinished")
                shutil.copytree(self._data, unfinished, dirs_exist_ok=True)
                unfinished.rename(kept)
        return kept

    def _listeners(self, advertised: str) -> str:
        return f"{advertised},CONTROLLER://127.0.0.1:{self._controller}"

    def _said(self) -> str:
        listeners = {"PLAIN": self.bootstrap}
        if self.certificates:
            listeners |= {"SECURE": self.secure_bootstrap, "MUTUAL": self.mutual_bootstrap}
        advertised = ",".join(f"{name}://{address}" for name, address in listeners.items())
        said = SETTINGS.format(
            node=self.node,
            first=NODE,
            roles=self.roles,
            controller=self._controller,
            advertised=advertised,
            listeners=self._listeners(advertised),
            data=self._data,
        )
        if self.certificates:
            said += SECURITY.format(
                keystore=self.certificates.server,
                ca=self.certificates.ca,
                username=self.username,
                password=self.password,
            )
        return said


class Another(Kafka):
    """One more broker beside a first, which is the controller of both."""

    node = NODE + 1
    nodes = frozenset({NODE, NODE + 1})
    roles = "broker"

    def __init__(self, beside: Kafka, directory: Path | None = None) -> None:
        super().__init__(directory)
        self._controller = beside._controller

    def _listeners(self, advertised: str) -> str:
        return advertised


class _Recorded(Kafka):
    """Leaves an archive of the classes it used, with which the next brokers start in half the time."""

    def __init__(self, java: Sequence[str], archive: Path) -> None:
        super().__init__()
        self._java = (*java, f"-XX:ArchiveClassesAtExit={archive}")

    def java(self) -> Sequence[str]:
        return self._java


@cache
def _java() -> tuple[str, ...]:
    folder = _jars()
    archive = folder / "classes.jsa"
    java = (machine.program("java", JAVA), *QUICK, *QUIET, "-cp", f"{folder}/*")
    with machine.one_at_a_time(folder.name):
        if not folder.exists():
            _fetch_jars(folder)
        if not archive.exists():
            _record(java, archive)
    return (*java, f"-XX:SharedArchiveFile={archive}")  # a Java that it is not of passes over it


def _jars() -> Path:
    version = ET.parse(POM).findtext(".//{*}dependency/{*}version")
    return machine.cache() / f"kafka-{version}-{zlib.crc32(POM.read_bytes()):08x}"


def _fetch_jars(folder: Path) -> None:
    """What pom.xml names, once for all checkouts of this user's; the folder appears when it is complete."""
    maven = machine.program("mvn", "maven")
    fetched = Path(tempfile.mkdtemp(dir=folder.parent))
    goal = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
    wanted = ("-DincludeScope=runtime", f"-DoutputDirectory={fetched}")
    try:
        if why := machine.last_words(maven, "-B", "-q", "-f", str(POM), goal, *wanted, cwd=folder.parent):
            needs_or_skip(f"Maven cannot fetch Kafka: {why}")
        fetched.rename(folder)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)


def _record(java: Sequence[str], archive: Path) -> None:
    unfinished = archive.with_suffix(".unfinished")
    unfinished.touch()  # and stays empty where Java makes no archives; an empty one is passed over too
    with _Recorded(java, unfinished):
        pass
    unfinished.rename(archive)
