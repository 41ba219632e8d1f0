"""Where the parts are joined that run on Kafka, Faust and ClickHouse: a replica of the API, and a worker. Nothing here
is imported in the one-machine shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from touchbook.errors import BuildOfAnother, SettingUnfit
from touchbook.ledger import Day
from touchbook.policy import Policies
from touchbook.projections.customers import Customers
from touchbook.projections.fold import Folder, projection_version
from touchbook.projections.overview import Overview
from touchbook.projections.stores.clickhouse import ANSWER_SECONDS, ClickHouse
from touchbook.projections.stores.clickhouse_ddl import drop_build, make_build, migrate
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.projections.stores.clickhouse_scores import ClickHouseScoring
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.projections.stores.port import Reader
from touchbook.projections.stores.replica import ReplicaProjections, ReplicaReader, version_of
from touchbook.projections.watch import FILE as WATCH_FILE
from touchbook.projections.watch import Watch
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.touchpoint import Identifier
from touchbook.scorecard import Scorecard
from touchbook.settings import Settings
from touchbook.streams.admission import Admission
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_audit import KafkaAudit
from touchbook.streams.backends.kafka_control import KafkaControl
from touchbook.streams.backends.kafka_decisions import KafkaDecisions, Term
from touchbook.streams.backends.kafka_duty import KafkaDuty
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.kafka_scores import KafkaScores
from touchbook.streams.backends.kafka_topics import (
    ERASED_WITHIN_MS,
    VERDICTS,
    ensure_build,
)
from touchbook.streams.backends.kafka_topics import drop_build as drop_topics
from touchbook.streams.clock import Clock
from touchbook.streams.clock_many import ManyTerms
from touchbook.streams.contacting import Contacting
from touchbook.streams.contacting_many import Decided, ManyContacting, reached_at
from touchbook.streams.erasure_many import ManyErasures
from touchbook.streams.metrics import Metrics
from touchbook.streams.replica_follower import ReplicaFollower
from touchbook.streams.scores_topic import ScoresTopic
from touchbook.streams.worker_metrics import WorkerMetrics
from touchbook.wiring import Book, catalogue_of, now, policies_of, scorecards_of

if TYPE_CHECKING:
    from touchbook.streams.faust_worker import WorkerParts

Tell = Callable[[Mapping[str, Any]], None]
FIRST = "0000"
"""Ends the name of the first build of a version: several processes that start at once make the same."""


@dataclass(frozen=True)
class Joined:
    """What every process stands on."""

    settings: Settings
    place: KafkaPlace
    producer: Producer
    keyring: KafkaKeyring
    control: KafkaControl
    clickhouse: ClickHouse
    catalogue: Catalogue

    def serving(self) -> str:
        """The build that serves; where none does yet, the first of this version."""
        self.control.catch_up()
        if (build := self.control.serving()) is not None:
            return build
        build = f"{projection_version(self.catalogue)}-{FIRST}"
        self.make(build)
        self.control.serve(build)
        return build

    def drop(self, build: str) -> None:
        """Takes away tables and topics of a build."""
        drop_build(self.clickhouse, build)
        drop_topics(self.place, build)

    def make(self, build: str) -> None:
        """Tables and topics of a build, where they are not there."""
        migrate(self.clickhouse)
        make_build(self.clickhouse, build)
        ensure_build(
            self.place,
            build,
            replicas=self.settings.kafka_replicas,
            min_insync=self.settings.kafka_min_insync,
        )


def join(settings: Settings, ended: ExitStack) -> Joined:
    """Opens what every process stands on, and leaves it to `ended` to close it. Raises SettingUnfit, TopicsMissing,
    WrongMasterKey, StoreUnavailable."""
    clickhouse = clickhouse_of(settings)
    ended.callback(clickhouse.close)
    place, producer, keyring, control = shared(settings, ended)
    return Joined(settings, place, producer, keyring, control, clickhouse, catalogue_of(settings))


def clickhouse_of(settings: Settings) -> ClickHouse:
    """What it answers is waited for half as long as a watchdog waits: then the worker can say why it stands still."""
    if settings.projections is None:
        raise SettingUnfit(
            "projections", "must be given too: a journal on Kafka goes with projections in ClickHouse"
        )
    return ClickHouse.of(
        settings.projections, answer_seconds=min(ANSWER_SECONDS, settings.watchdog_seconds / 2)
    )


def shared(settings: Settings, ended: ExitStack) -> tuple[KafkaPlace, Producer, KafkaKeyring, KafkaControl]:
    """The same without what is only in ClickHouse."""
    if settings.journal is None:
        raise SettingUnfit(
            "journal", "must be given too: projections in ClickHouse go with a journal on Kafka"
        )
    place = KafkaPlace.of(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    producer = Producer(place, settings.delivery_seconds)
    ended.callback(producer.close)
    keyring = KafkaKeyring.at(settings.data, place, producer, settings.master_key, settings.destroyed_keys)
    ended.callback(keyring.close)
    control = KafkaControl.at(settings.data, place, producer, keyring, now)
    ended.callback(control.close)
    return place, producer, keyring, control


class _BuiltElsewhere:
    """See `Building`: workers fold, and `touchbook rebuild` builds."""

    failed: str | None = None
    under_way = False

    def start(self) -> None: ...

    def close(self) -> None: ...


def open_replica(settings: Settings, clock: Callable[[], int] = now) -> Book:
    """A replica of the API: see `wiring.open_book`."""
    with ExitStack() as ended:
        joined = join(settings, ended)
        metrics = Metrics()
        catalogue = joined.catalogue
        scorecards = scorecards_of(settings, catalogue)
        policies = policies_of(settings, scorecards)
        joined.serving()
        journal = KafkaJournal.at(
            joined.place,
            joined.keyring,
            clock,
            joined.producer,
            max_queue=settings.max_queue,
            observe_append=lambda seconds, touchpoints: metrics.observe_append(seconds),
        )
        ended.callback(journal.close)
        audit = KafkaAudit.at(settings.data, joined.place, joined.producer)
        ended.callback(audit.close)
        projections = ReplicaProjections(settings.data, partial(ClickHouseReader, joined.clickhouse))
        follower = ReplicaFollower(
            settings.data, joined.place, joined.control.serving, projections, metrics.observe_visible
        )
        customers = Customers(
            projections, scorecards, journal.rules, journal.id_of, catalogue.gives, settings.late_after * 1000,
            policies=policies,
        )  # fmt: skip
        admission = Admission(journal, joined.control, catalogue, customers.identifier_of, settings.max_item)
        watch = Watch(
            projections,
            customers,
            scorecards,
            policies,
            clock,
            settings.data / WATCH_FILE,
            settings.sweep_share,
        )
        decisions = KafkaDecisions(
            joined.place, journal.parts, joined.keyring, joined.producer, clock, follower.shows
        )
        contacting = ManyContacting(
            KafkaDuty(joined.place, "contact", settings.session_seconds),
            decisions,
            partial(_contacting, customers, policies, clock),
            reached_at(settings),
            max_queue=settings.max_queue,
        )
        metrics.watch("contact_decides", "Whether this replica decides whom to contact", contacting.decides)
        metrics.watch("contact_unseen", "Decisions that readers here may not see yet", decisions.unseen)
        scores_topic = ScoresTopic(
            watch,
            KafkaScores(settings.data, joined.place, joined.producer, journal.parts),
            KafkaDuty(joined.place, "scores", settings.session_seconds),
            settings.sweep_share,
        )
        metrics.watch(
            "scores_topic_failures",
            "Attempts to keep the topic of scores up that failed",
            lambda: scores_topic.failed,
        )
        metrics.watch(
            "scores_topic_waiting",
            "Customers of whom the topic of scores does not say yet how they stand, up to 10000; 0 where another tells",
            scores_topic.waiting,
        )
        erasures = ManyErasures(
            journal, joined.keyring, joined.control, projections, customers, joined.control.receipts, follower, clock,
            ERASED_WITHIN_MS,
        )  # fmt: skip
        metrics.watch("staleness_seconds", "How old what this replica reads may be", follower.staleness)
        return Book(
            settings=settings,
            catalogue=catalogue,
            scorecards=scorecards,
            policies=policies,
            keyring=joined.keyring,
            control=joined.control,
            journal=journal,
            projections=projections,
            folder=Folder(catalogue, journal.open, journal.id_of),
            admission=admission,
            follower=follower,
            customers=customers,
            metrics=metrics,
            version=projection_version(catalogue),
            erasures=erasures,
            watch=watch,
            clock=Clock(
                admission,
                customers,
                watch,
                policies,
                ManyTerms(
                    KafkaDuty(joined.place, "clock", settings.session_seconds),
                    KafkaDecisions(
                        joined.place,
                        journal.parts,
                        joined.keyring,
                        joined.producer,
                        clock,
                        follower.shows,
                        topic=VERDICTS,
                    ),
                    max_queue=settings.max_queue,
                ),
                metrics,
                clock,
                lambda: clock() - int(1000 * follower.staleness()),
            ),
            contacting=contacting,
            overview=Overview(projections, customers, watch, clock),
            audit=audit,
            building=_BuiltElsewhere(),
            now=clock,
            staleness=follower.staleness,
            scoring=partial(_scoring, joined.clickhouse),
            contact_elsewhere=contacting.elsewhere,
            beside=[contacting, scores_topic],
            closed_last=[ended.pop_all().close],
        )


def _contacting(customers: Customers, policies: Policies, clock: Callable[[], int], term: Term) -> Contacting:
    """What decides during one term."""
    decided = Decided(term)
    return Contacting(decided, customers, policies, clock, term.shows, decided.find)


def _scoring(
    clickhouse: ClickHouse, reader: Reader, candidate: Scorecard, live: Scorecard | None, on: Day
) -> ClickHouseScoring:
    assert isinstance(reader, ReplicaReader)  # a replica's looks are no others
    return ClickHouseScoring(clickhouse, reader.build, candidate, live, on)


def work(settings: Settings, build: str | None = None, tell: Tell = lambda said: None) -> int:
    """Works as a worker until the process is asked to stop, and answers its exit code. A `build` is folded whether or
    not it serves, and nothing is taken in from ingress topics; else the one that serves, and when another begins to,
    that one. For `tell` see `WorkerParts`."""
    while True:
        code, another_serves = _work(settings, build, tell)
        if code or not another_serves:
            return code


def _work(settings: Settings, build: str | None, tell: Tell) -> tuple[int, bool]:
    """The exit code, and whether it ended because another build began to serve."""
    from touchbook.streams.faust_worker import WorkerSettings, run_worker  # Faust is for workers alone

    with ExitStack() as ended:
        joined = join(settings, ended)
        folded = build or joined.serving()
        check_version(folded, joined.catalogue)

        def another_serves() -> bool:
            return build is None and joined.control.serving() != folded

        parts = _worker_parts(joined, folded, ended, tell, takes_in=build is None)
        worker = WorkerSettings(
            port=settings.worker_port,
            watchdog_seconds=settings.watchdog_seconds,
            session_seconds=settings.session_seconds,
            heartbeat_seconds=settings.session_seconds * 0.3,
        )
        return run_worker(parts, worker, another_serves), another_serves()


def check_version(build: str, catalogue: Catalogue) -> None:
    """Raises BuildOfAnother where this version of the code, with these mappings, would fold other rows."""
    if version_of(build) != (version := projection_version(catalogue)):
        raise BuildOfAnother(build, version)


def _worker_parts(joined: Joined, build: str, ended: ExitStack, tell: Tell, takes_in: bool) -> WorkerParts:
    from touchbook.streams.faust_worker import WorkerParts

    journal = KafkaJournal.at(
        joined.place, joined.keyring, now, joined.producer, max_queue=joined.settings.max_queue
    )
    ended.callback(journal.close)
    reader = ClickHouseReader(joined.clickhouse, build)

    def identifier_of(id: str) -> Identifier | None:
        found = reader.identifiers([id]).get(id)
        return None if found is None else found.identifier

    store = ClickHouseStore(joined.clickhouse, build)
    metrics = WorkerMetrics()
    metrics.watch("cached_subjects", lambda: {"at hand": store.hits, "looked up": store.misses})
    admission = Admission(journal, joined.control, joined.catalogue, identifier_of, joined.settings.max_item)
    ended.callback(admission.close)
    return WorkerParts(
        place=joined.place,
        build=build,
        catalogue=joined.catalogue,
        journal=journal,
        control=joined.control,
        producer=joined.producer,
        clock=now,
        store=store,
        metrics=metrics,
        tell=tell,
        admission=admission if takes_in else None,
        max_item=joined.settings.max_item,
    )
