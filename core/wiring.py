"""The one place where the parts are joined and where it is known which backends were chosen."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from touchbook.errors import RebuildRunning
from touchbook.identity import IdentityRules
from touchbook.projections.customers import Customers
from touchbook.projections.fold import Folder, projection_version
from touchbook.projections.stores.sqlite import SqliteProjections
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.mapping import Mapping
from touchbook.scorecard import ScorecardSet
from touchbook.scorecard_files import load_scorecards
from touchbook.settings import Settings
from touchbook.streams.admission import Admission
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE, SqliteKeyring
from touchbook.streams.control import Control
from touchbook.streams.erasure import Erasures
from touchbook.streams.files import clear_drafts
from touchbook.streams.follow import Follower, catch_up
from touchbook.streams.metrics import Metrics
from touchbook.streams.rebuild import clear_left_over, rebuild

log = logging.getLogger(__name__)

REBUILD_AGAIN_SECONDS = 5.0
REBUILD_SELDOM_SECONDS = 600.0
"""A build that failed is tried again after the first, in the end after the second."""


def now() -> int:
    """Milliseconds UTC."""
    return time.time_ns() // 1_000_000


class _Closing(Exception):
    """The book closes while its projections are being built."""


@dataclass(slots=True)
class Book:
    """Every part of one running Touchbook. Open it with `open_book`, close it once."""

    settings: Settings
    catalogue: Catalogue
    scorecards: ScorecardSet
    keyring: SqliteKeyring
    control: Control
    journal: SqliteJournal
    projections: SqliteProjections
    folder: Folder
    admission: Admission
    follower: Follower
    customers: Customers
    metrics: Metrics
    version: str
    erasures: Erasures
    rebuild_failed: str | None = None
    """Why this version's projections could not be built when it was last tried."""
    _rebuilding: threading.Thread | None = None
    _closing: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begins to follow. If an older version of the projections serves, builds this one beside it."""
        self.follower.start()
        self.erasures.start()
        if self.projections.version() != self.version:
            self._rebuilding = threading.Thread(target=self._rebuild, name="rebuild", daemon=True)
            self._rebuilding.start()

    def _rebuild(self) -> None:
        """Until this version serves: a disk may be full for a while, and whoever builds already may be killed."""
        pause = REBUILD_AGAIN_SECONDS
        while self.projections.version() != self.version:
            self._build()
            if self.projections.version() == self.version or self._closing.wait(pause):
                return
            pause = min(2 * pause, REBUILD_SELDOM_SECONDS)

    def _build(self) -> None:
        log.info("building projections %s beside those that serve", self.version)
        folder = Folder(self.catalogue, self.journal.open, self.journal.id_of)
        try:
            rebuild(self.settings.data, self.journal, folder, self.version, self._go_on)
        except RebuildRunning:
            log.info("somebody else builds them already")
        except _Closing:
            log.info("stopped before the projections %s were built; the next start begins anew", self.version)
        except Exception as error:  # what served goes on serving, and the server says that it is not ready
            self.rebuild_failed = str(error) or type(error).__name__
            log.critical(
                "the projections %s could not be built: %s: %s", self.version, type(error).__name__, error
            )
        else:
            self.rebuild_failed = None
            log.info("projections %s serve from now on", self.version)

    def _go_on(self, done: int, head: int) -> None:
        if self._closing.is_set():
            raise _Closing

    @property
    def rebuilding(self) -> bool:
        return self._rebuilding is not None and self._rebuilding.is_alive()

    def close(self) -> None:
        self._closing.set()
        if self._rebuilding is not None:
            self._rebuilding.join()
        self.erasures.close()
        self.follower.stop()
        self.journal.close()
        self.admission.close()  # after the journal, whose last answers may still bring items to set aside
        self.projections.close()
        self.control.close()
        self.keyring.close()


def catalogue_of(settings: Settings) -> Catalogue:
    return Catalogue(Mapping.load(*settings.mappings))


def scorecards_of(settings: Settings, catalogue: Catalogue) -> ScorecardSet:
    return load_scorecards(settings.scorecards, catalogue.signals)


def open_book(settings: Settings, *, read_only: bool = False) -> Book:
    """Opens a data directory, making it on first use. `read_only` opens an existing one beside a running server: it
    can be read and rebuilt, not appended to.

    Raises `JournalLocked`, `WrongMasterKey`, `NotATouchbook`, `ScorecardInvalid` or `MappingInvalid`.
    """
    catalogue = catalogue_of(settings)
    scorecards = scorecards_of(settings, catalogue)
    data, metrics = settings.data, Metrics()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyring = SqliteKeyring.at(
        data, settings.master_key, create=not read_only, destroyed_keys=settings.destroyed_keys
    )
    journal = SqliteJournal.at(
        data,
        keyring,
        now,
        read_only=read_only,
        rules=IdentityRules(default_region=settings.phone_region),
        max_queue=settings.max_queue,
        observe_append=lambda seconds, touchpoints: metrics.observe_append(seconds),
    )
    control = Control.at(data, keyring, now)
    version = projection_version(catalogue)
    projections = SqliteProjections.open(data, version)
    if not read_only:
        clear_drafts(settings.master_key or data / MASTER_KEY_FILE)
        clear_left_over(data)
        _not_ahead(projections, journal, version)
    folder = Folder(catalogue, journal.open, journal.id_of)
    customers = Customers(
        projections,
        scorecards,
        journal.rules,
        journal.id_of,
        catalogue.gives,
        settings.late_after * 1000,
    )
    follower = Follower(journal, projections, folder, settings.fold_batch, metrics.observe_visible)
    visible = partial(_visible, follower, partial(catch_up, journal, projections, folder))
    erasures = Erasures(data, journal, keyring, control, projections, folder, customers, visible, now)
    if not read_only:
        erasures.strike_again()
    return Book(
        settings=settings,
        catalogue=catalogue,
        scorecards=scorecards,
        keyring=keyring,
        control=control,
        journal=journal,
        projections=projections,
        folder=folder,
        admission=Admission(journal, control, catalogue, customers.identifier_of, settings.max_item),
        follower=follower,
        customers=customers,
        metrics=metrics,
        version=version,
        erasures=erasures,
    )


def _not_ahead(projections: SqliteProjections, journal: SqliteJournal, version: str) -> None:
    """A journal that is shorter than what was folded, as one put back from a copy, is folded anew: else what it records
    next would lie at positions that count as folded already, and never be seen."""
    with projections.reading() as reader:
        position = reader.position()
    if position > journal.head():
        log.warning("folding anew: the projections stand at %d, beyond the end of the journal", position)
        projections.restart(version)


def _visible(follower: Follower, fold: Callable[[], int], position: int, seconds: float) -> bool:
    """Whether the position is folded within so many seconds: by the follower, or here where none runs."""
    return follower.wait(position, seconds) if follower.alive else fold() >= position
