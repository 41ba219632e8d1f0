"""How an API replica keeps up: with a real broker, and for what depends on the clock without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.projections.cluster import Record, Topics, Workers
from touchbook.errors import BrokerUnavailable, StoreUnavailable
from touchbook.identity import IdentityRules
from touchbook.positions import position_in
from touchbook.projections.changes import Changes
from touchbook.projections.compacted import encode, marker
from touchbook.projections.rows import Rows, Stretch
from touchbook.projections.stores.replica import ReplicaProjections
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import Followed
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import Identity, ensure, ensure_build
from touchbook.streams.follow import Following
from touchbook.streams.replica_follower import LOOK_SECONDS, ReplicaFollower

PARTS = 2
PATIENCE = 30.0
ANN, BO = "a" * 32, "b" * 32
ONE, OTHER = "1-test-0001", "1-test-0002"


def eventually(reached: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (done := reached()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done


def seen(subject: str, position: int) -> Changes:
    """What one touchpoint of this subject changes."""
    made = Changes()
    made.see(subject, subject, Identifier("user_id", subject[:3]), position, 1, position)
    made.count(subject, "page_viewed", 0, 0)
    return made


def views_of(projections: ReplicaProjections, subject: str) -> int:
    with projections.reading() as reader:
        return reader.ledgers([subject]).get(subject, {}).get(("page_viewed", 0), (0, 0))[0]


class Worker:
    """Folds what it says was recorded, and publishes it: each subject in a part of its own."""

    def __init__(self, place: KafkaPlace, producer: Producer, build: str) -> None:
        self._place = place
        self._producer = producer
        self._build = build
        self._store = Workers()
        self._next = dict.fromkeys(range(PARTS), 0)

    def record(self, subject: str) -> int:
        """A touchpoint in the journal that no worker has come to yet."""
        row = Row(self._place.topic("journal"), _part_of(subject), subject.encode(), b"sealed")
        [offset] = self._producer.send([row]).result(PATIENCE)
        return position_in(_part_of(subject), offset)

    def fold(self, subject: str, position: int) -> None:
        [rows] = self._store.write(
            [Stretch(seen(subject, position), 0, position, time.time_ns() // 1_000_000)]
        )
        self.publish(rows)

    def publish(self, rows: Rows) -> None:
        end = marker(rows.position, rows.recorded_at)
        self._producer.send(
            [
                Row(self._place.topic(f"{kind}.{self._build}"), rows.position & 1023, key, value)
                for kind, told in encode(rows).items()
                for key, value in (*told, end)
            ]
        ).result(PATIENCE)

    def touch(self, subject: str) -> int:
        position = self.record(subject)
        self.fold(subject, position)
        return position


def _part_of(subject: str) -> int:
    return 0 if subject == ANN else 1


@pytest.fixture
def place(kafka: KafkaPlace) -> KafkaPlace:
    ensure(kafka, rules=IdentityRules(), identity=lambda: Identity("key", b"wrapped"), parts=PARTS)
    ensure_build(kafka, ONE)
    return kafka


@pytest.fixture
def producer(place: KafkaPlace) -> Iterator[Producer]:
    with closing(Producer(place)) as made:
        yield made


@dataclass
class Api:
    """A replica, and what `serving` says to it."""

    directory: Path
    place: KafkaPlace
    serving: str | None = ONE
    visible: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.projections = ReplicaProjections(self.directory, lambda build: Workers())
        self.follower: Following = ReplicaFollower(
            self.directory, self.place, lambda: self.serving, self.projections, self.visible.append
        )
        self.follower.start()

    def stop(self) -> None:
        self.follower.stop()
        self.projections.close()


@pytest.fixture
def api(place: KafkaPlace, tmp_path: Path) -> Iterator[Callable[[], Api]]:
    opened: list[Api] = []

    def start() -> Api:
        (directory := tmp_path / str(len(opened))).mkdir()
        opened.append(Api(directory, place))
        return opened[-1]

    yield start
    for one in opened:
        one.stop()


@pytest.mark.server
def test_a_new_replica_reads_all_there_is_and_then_goes_on(
    place: KafkaPlace, producer: Producer, api: Callable[[], Api]
) -> None:
    worker = Worker(place, producer, ONE)
    before = [worker.touch(subject) for subject in (ANN, BO, ANN)]
    replica = api()

    assert all(replica.follower.wait(position, PATIENCE) for position in before)
    assert (views_of(replica.projections, ANN), views_of(replica.projections, BO)) == (2, 1)
    assert replica.follower.alive

    told: list[int] = []
    forget = replica.follower.listen(told.append)
    folded = replica.follower.folded
    position = worker.record(BO)
    assert not replica.follower.wait(position, 0.1)
    assert eventually(lambda: replica.follower.lag == 1)
    worker.fold(BO, position)
    assert replica.follower.wait(position, PATIENCE)
    assert views_of(replica.projections, BO) == 2
    assert told
    assert replica.follower.folded == told[-1] > folded
    assert replica.visible
    assert eventually(lambda: replica.follower.lag == 0)
    forget()


@pytest.mark.server
def test_a_replica_that_starts_again_goes_on_where_it_was(
    place: KafkaPlace, producer: Producer, api: Callable[[], Api]
) -> None:
    worker = Worker(place, producer, ONE)
    replica = api()
    assert replica.follower.wait(worker.touch(ANN), PATIENCE)
    file = replica.projections.file
    replica.stop()
    position = worker.touch(ANN)

    replica.start()

    assert replica.projections.file == file
    assert replica.follower.wait(position, PATIENCE)
    assert views_of(replica.projections, ANN) == 2


@pytest.mark.server
def test_another_build_takes_the_place_of_the_one_that_is_read_once_it_tells_as_much(
    place: KafkaPlace, producer: Producer, api: Callable[[], Api]
) -> None:
    worker, other = Worker(place, producer, ONE), Worker(place, producer, OTHER)
    first, position = worker.touch(ANN), worker.touch(ANN)
    replica = api()
    assert replica.follower.wait(position, PATIENCE)
    old = replica.projections.file

    ensure_build(place, OTHER)
    other.fold(ANN, first)
    replica.serving = OTHER
    time.sleep(2 * LOOK_SECONDS)
    assert replica.projections.file == old, "the other does not tell yet what this one told"
    assert replica.follower.shows(position)
    later = worker.touch(ANN)
    assert replica.follower.wait(later, PATIENCE), "what is read is kept up meanwhile"
    other.fold(ANN, position)
    other.fold(ANN, later)

    assert eventually(lambda: replica.projections.file != old)
    assert replica.follower.shows(later)
    assert eventually(lambda: not old.exists())
    assert views_of(replica.projections, ANN) == 3
    newest = other.touch(ANN)
    assert replica.follower.wait(newest, PATIENCE)
    assert len(list(replica.directory.glob("*.sqlite"))) == 1


# Without a broker


@dataclass
class Given:
    """A source that gives what it is told to."""

    topics: Topics = field(default_factory=lambda: Topics(ONE))
    ends: dict[int, int] | None = field(default_factory=dict)

    def heads(self) -> dict[int, int]:
        if self.ends is None:
            raise BrokerUnavailable("no broker is there")
        return {part: position_in(part, end - 1) for part, end in self.ends.items()}

    def follow(self, topics: Sequence[str], store: Followed) -> GivenFollower:
        return GivenFollower(self.topics, topics, store)

    def close(self) -> None: ...


@dataclass
class GivenFollower:
    """Gives the store everything, whenever it is asked whether it caught up."""

    source: Topics
    topics: Sequence[str]
    store: Followed
    stopped_because: str | None = None
    failing_because: str | None = None

    def start(self) -> None:
        self.caught_up(0)

    def stop(self) -> None: ...

    def caught_up(self, timeout: float) -> bool:
        offsets = self.store.offsets()
        new: list[Any] = [
            one
            for at, told in self.source.records.items()
            if at[0] in self.topics
            for one in told[offsets.get(at, 0) :]
        ]
        try:
            self.store.apply(new, self.source.ends())
        except StoreUnavailable as error:
            self.failing_because = str(error)
            return False
        return True


def test_staleness_is_the_age_of_the_last_moment_that_everything_of_is_here(tmp_path: Path) -> None:
    """Part 1 falls behind: its newest marker is 8 s old, and 5 s ago everything was here."""
    now = 1_000.0
    source = Given()
    projections = ReplicaProjections(tmp_path, lambda build: Workers())
    follower = ReplicaFollower(
        tmp_path,
        None,
        lambda: None,
        projections,
        source=lambda place: source,
        clock=lambda: now,  # type: ignore[arg-type]
    )

    build = follower._build
    for kind in ("ledgers", "registers", "claims"):
        for part in (0, 1):
            told = Record(f"{kind}.{ONE}", part, 0, *marker(position_in(part, 0), 992_000))
            build.apply([told], {})
    follower._took(build)
    source.ends = {0: 1, 1: 1}
    follower._look()
    assert (follower.staleness(), follower.lag) == (0.0, 0)

    source.ends = {0: 1, 1: 4}
    now = 1_005.0
    follower._look()
    assert (follower.staleness(), follower.lag) == (5.0, 3)
    assert follower.shows(position_in(1, 0))
    assert not follower.shows(position_in(1, 1))

    for kind in ("ledgers", "registers", "claims"):
        build.apply([Record(f"{kind}.{ONE}", 1, 1, *marker(position_in(1, 2), 1_004_000))], {})
    assert follower.staleness() == pytest.approx(1.0), "its newest marker is younger than that"

    for kind in ("ledgers", "registers", "claims"):
        build.apply([Record(f"{kind}.{ONE}", 1, 2, *marker(position_in(1, 3), 1_004_500))], {})
    assert (follower.staleness(), follower.lag) == (0.0, 0)

    source.ends, now = None, 1_030.0
    follower._look()
    assert follower.failing_because
    assert follower.staleness() == 25.0, "nobody knows what was recorded since"
    follower.stop()
    projections.close()


def test_a_build_that_could_not_be_filled_is_filled_again_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from touchbook.streams import replica_follower

    monkeypatch.setattr(replica_follower, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(replica_follower, "LOOK_SECONDS", 0.05)
    source, store = Given(), Workers()
    position = position_in(0, 0)
    [rows] = store.write([Stretch(seen(ANN, position), 0, position, 1)])
    source.topics.tell(rows)
    projections = ReplicaProjections(tmp_path, lambda build: store)
    make_serving, failed = replica_follower.make_serving, list[Path]()

    def once(directory: Path, path: Path) -> None:
        if not failed:
            failed.append(path)
            raise OSError("no space left on the device")
        make_serving(directory, path)

    monkeypatch.setattr(replica_follower, "make_serving", once)
    follower = ReplicaFollower(tmp_path, None, lambda: ONE, projections, source=lambda place: source)  # type: ignore[arg-type]
    follower.start()
    assert follower.wait(position, PATIENCE)
    assert failed
    assert not failed[0].exists()
    assert views_of(projections, ANN) == 1
    follower.stop()
    projections.close()
