"""The one place where the parts are joined and where it is known which backends were chosen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from touchbook.errors import RebuildRunning
from touchbook.identity import IdentityRules
from touchbook.policy import Policies
from touchbook.policy_files import load_policies
from touchbook.projections.contact_facts import FATIGUE
from touchbook.projections.customers import Customers
from touchbook.projections.fold import Folder, projection_version
from touchbook.projections.overview import Overview
from touchbook.projections.stores.port import ReadProjections
from touchbook.projections.stores.sqlite import SqliteProjections
from touchbook.projections.stores.watch_file import WatchFile
from touchbook.projections.watch import FILE as WATCH_FILE
from touchbook.projections.watch import Watch
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.mapping import Mapping
from touchbook.scorecard import ScorecardSet
from touchbook.scorecard_files import load_scorecards
from touchbook.settings import Settings
from touchbook.streams.admission import Admission
from touchbook.streams.audit import Audit
from touchbook.streams.backends.sqlite_audit import SqliteAudit
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_erasures import SqliteReceipts
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE, SqliteKeyring
from touchbook.streams.clock import Clock
from touchbook.streams.contacting import Contacting, Contacts, found_in, unseen_of
from touchbook.streams.control import Control
from touchbook.streams.duty import AloneTerms
from touchbook.streams.erasure import Erases, Erasures
from touchbook.streams.files import clear_drafts, make_directory
from touchbook.streams.follow import Follower, Following, catch_up
from touchbook.streams.journal import Journal
from touchbook.streams.keyring import Keyring
from touchbook.streams.metrics import Metrics
from touchbook.streams.now import now as now
from touchbook.streams.rebuild import clear_left_over, rebuild

if TYPE_CHECKING:
    from touchbook.ledger import Day
    from touchbook.projections.backtest import Scoring
    from touchbook.projections.stores.port import Reader
    from touchbook.scorecard import Scorecard

log = logging.getLogger(__name__)

REBUILD_AGAIN_SECONDS = 5.0
REBUILD_SELDOM_SECONDS = 600.0
"""A build that failed is tried again after the first, in the end after the second."""


class _Closing(Exception):
    """The book closes while its projections are being built."""


class Building(Protocol):
    """Sees to it that projections of this version come to serve."""

    failed: str | None
    """Why they could not be built when it was last tried."""

    @property
    def under_way(self) -> bool: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class Beside(Protocol):
    """What runs beside the rest, and can be missed for a while."""

    def start(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Book:
    """Every part of one running Touchbook. Open it with `open_book`, close it once."""

    settings: Settings
    catalogue: Catalogue
    scorecards: ScorecardSet
    policies: Policies
    keyring: Keyring
    control: Control
    journal: Journal
    projections: ReadProjections
    folder: Folder
    admission: Admission
    follower: Following
    customers: Customers
    metrics: Metrics
    version: str
    erasures: Erases
    watch: Watch
    clock: Clock
    contacting: Contacts
    overview: Overview
    audit: Audit
    building: Building
    now: Callable[[], int]
    """Milliseconds UTC: the clock that every part goes by."""
    staleness: Callable[[], float] | None = None
    """Of a replica: at most how many seconds what it reads is behind the journal."""
    scoring: Callable[[Reader, Scorecard, Scorecard | None, Day], Scoring] | None = None
    """How to score everybody for a back-test, where there is a better way than out of the ledgers of the look:
    (look, candidate, live, day)."""
    contact_elsewhere: Callable[[], str | None] | None = None
    """Of a replica: where it is decided whom to contact; None where it is here. Raises NoDecider if nobody does."""
    beside: Sequence[Beside] = ()
    """Started last and closed first."""
    closed_last: Sequence[Callable[[], None]] = ()
    """What the parts stand on, in the order in which it is closed."""

    def start(self) -> None:
        """Begins to follow. If an older version of the projections serves, builds this one beside it."""
        self.follower.start()
        self.erasures.start()
        self.building.start()
        self.watch.start()
        if self.settings.clock:
            self.clock.start()
        for one in self.beside:
            one.start()

    @property
    def rebuilding(self) -> bool:
        return self.building.under_way

    @property
    def rebuild_failed(self) -> str | None:
        return self.building.failed

    def close(self) -> None:
        for one in self.beside:
            one.close()
        self.clock.close()
        self.watch.close()
        self.building.close()
        self.erasures.close()
        self.follower.stop()
        self.journal.close()
        self.admission.close()  # after the journal, whose last answers may still bring items to set aside
        self.projections.close()
        self.control.close()
        self.audit.close()
        self.keyring.close()
        for close in self.closed_last:
            close()


class _Builder:
    """See `Building`. Builds in a thread, beside what serves."""

    def __init__(
        self, data: Path, journal: Journal, projections: SqliteProjections, folder: Folder, version: str
    ) -> None:
        self._data, self._journal, self._projections = data, journal, projections
        self._folder, self._version = folder, version
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self.failed: str | None = None

    @property
    def under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        if self._projections.version() != self._version:
            self._thread = threading.Thread(target=self._run, name="rebuild", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        """Until this version serves: a disk may be full for a while, and whoever builds already may be killed."""
        pause = REBUILD_AGAIN_SECONDS
        while self._projections.version() != self._version:
            self._build()
            if self._projections.version() == self._version or self._closing.wait(pause):
                return
            pause = min(2 * pause, REBUILD_SELDOM_SECONDS)

    def _build(self) -> None:
        log.info("building projections %s beside those that serve", self._version)
        try:
            rebuild(self._data, self._journal, self._folder.anew(), self._version, self._go_on)
        except RebuildRunning:
            log.info("somebody else builds them already")
        except _Closing:
            log.info(
                "stopped before the projections %s were built; the next start begins anew", self._version
            )
        except Exception as error:  # what served goes on serving, and the server says that it is not ready
            self.failed = str(error) or type(error).__name__
            log.critical(
                "the projections %s could not be built: %s: %s", self._version, type(error).__name__, error
            )
        else:
            self.failed = None
            log.info("projections %s serve from now on", self._version)

    def _go_on(self, done: int, head: int) -> None:
        if self._closing.is_set():
            raise _Closing


def catalogue_of(settings: Settings) -> Catalogue:
    return Catalogue(Mapping.load(*settings.mappings))


def scorecards_of(settings: Settings, catalogue: Catalogue) -> ScorecardSet:
    return load_scorecards(settings.scorecards, catalogue.signals)


def policies_of(settings: Settings, scorecards: ScorecardSet) -> Policies:
    return load_policies(settings.policy, tiers_of_fatigue(scorecards))


def tiers_of_fatigue(scorecards: ScorecardSet) -> list[str] | None:
    """Those that a policy may name; None where nothing says how tired anybody is."""
    return [tier for tier, _ in scorecards[FATIGUE].tiers] if FATIGUE in scorecards else None


def open_book(settings: Settings, *, read_only: bool = False, clock: Callable[[], int] = now) -> Book:
    """Opens a data directory, making it on first use. `read_only` opens an existing one beside a running server: it
    can be read and rebuilt, not appended to. With a journal on Kafka it is a replica, and the directory its own store.
    Every part goes by `clock`, which gives milliseconds UTC.

    Raises `JournalLocked`, `WrongMasterKey`, `NotATouchbook`, `ScorecardInvalid`, `MappingInvalid` or `SettingUnfit`.
    """
    if settings.journal is not None or settings.projections is not None:
        from touchbook.wiring_many import (
            open_replica,  # what it needs is not imported where nobody asks for it
        )

        return open_replica(settings, clock)
    catalogue = catalogue_of(settings)
    scorecards = scorecards_of(settings, catalogue)
    policies = policies_of(settings, scorecards)
    data, metrics = settings.data, Metrics()
    make_directory(data)
    keyring = SqliteKeyring.at(
        data, settings.master_key, create=not read_only, destroyed_keys=settings.destroyed_keys
    )
    journal = SqliteJournal.at(
        data,
        keyring,
        clock,
        read_only=read_only,
        rules=IdentityRules(default_region=settings.phone_region),
        max_queue=settings.max_queue,
        observe_append=lambda seconds, touchpoints: metrics.observe_append(seconds),
    )
    control = SqliteControl.at(data, keyring, clock)
    version = projection_version(catalogue)
    projections = SqliteProjections.open(data, version)
    if not read_only:
        clear_drafts(settings.master_key or data / MASTER_KEY_FILE)
        clear_left_over(data)
        _not_ahead(data, projections, journal, version)
    folder = Folder(catalogue, journal.open, journal.id_of)
    customers = Customers(
        projections,
        scorecards,
        journal.rules,
        journal.id_of,
        catalogue.gives,
        settings.late_after * 1000,
        policies=policies,
    )
    watch = Watch(
        projections, customers, scorecards, policies, clock, data / WATCH_FILE, settings.sweep_share
    )
    follower = Follower(
        journal, projections, folder, settings.fold_batch, metrics.observe_visible, lambda: clock() / 1000
    )
    visible = partial(_visible, follower, partial(catch_up, journal, projections, folder))
    admission = Admission(journal, control, catalogue, customers.identifier_of, settings.max_item)
    receipts = SqliteReceipts.at(data)
    erasures = Erasures(
        data, journal, keyring, control, projections, folder, customers, receipts, visible, clock
    )
    contacting = Contacting(
        journal, customers, policies, clock, follower.shows, find_all=partial(found_in, journal)
    )
    if not read_only:
        erasures.strike_again()
        contacting.restore(unseen_of(journal, projections))
    return Book(
        settings=settings,
        catalogue=catalogue,
        scorecards=scorecards,
        policies=policies,
        keyring=keyring,
        control=control,
        journal=journal,
        projections=projections,
        folder=folder,
        admission=admission,
        follower=follower,
        customers=customers,
        metrics=metrics,
        version=version,
        erasures=erasures,
        watch=watch,
        clock=Clock(
            admission,
            customers,
            watch,
            policies,
            AloneTerms(journal, lambda position: visible(position, 0)),
            metrics,
            clock,
            partial(_horizon, clock, journal, projections, follower),
        ),
        contacting=contacting,
        overview=Overview(projections, customers, watch, clock),
        audit=SqliteAudit.at(data),
        building=_Builder(data, journal, projections, folder, version),
        now=clock,
    )


def _not_ahead(data: Path, projections: SqliteProjections, journal: SqliteJournal, version: str) -> None:
    """A journal that is shorter than what was folded, as one put back from a copy, is folded anew: else what it records
    next would lie at positions that count as folded already, and never be seen."""
    with projections.reading() as reader:
        position = reader.position()
    if position > journal.head():
        log.warning("folding anew: the projections stand at %d, beyond the end of the journal", position)
        projections.restart(version)
        WatchFile(data / WATCH_FILE).discard()  # it goes by their positions


def _horizon(
    clock: Callable[[], int], journal: Journal, projections: ReadProjections, follower: Follower
) -> int:
    """Up to when readers see all that was recorded; 0 where nobody folds and that is not known."""
    at = clock()
    if follower.alive:
        return at - int(1000 * follower.staleness())
    with projections.reading() as reader:
        return at if reader.position() >= journal.head() else 0


def _visible(follower: Follower, fold: Callable[[], int], position: int, seconds: float) -> bool:
    """Whether the position is folded within so many seconds: by the follower, or here where none runs."""
    return follower.wait(position, seconds) if follower.alive else fold() >= position
