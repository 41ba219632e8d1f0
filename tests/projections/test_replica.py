"""A replica tells what the one-machine shape tells, however its topics reach it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.books import NOON, TODAY, a_book, event, folded, publish
from tests.projections.cluster import BUILD, OnClickHouse, Record, Replica, Store, Topics, Workers
from tests.projections.histories import histories
from tests.thorough import examples
from touchbook.errors import CustomerUnknown
from touchbook.identity import SHARED_BEYOND
from touchbook.positions import position_in
from touchbook.projections.changes import EntryRow, entry_row
from touchbook.projections.context import RECENT_ENTRIES
from touchbook.projections.customers import Customers
from touchbook.projections.overview import Overview
from touchbook.projections.rows import Rows, Stretch
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_ddl import drop_build, make_build, migrate
from touchbook.projections.stores.port import Projections
from touchbook.projections.stores.replica import NOTHING, Place, ReplicaFile, ReplicaProjections
from touchbook.projections.stores.sqlite import SqliteProjections, connect
from touchbook.projections.watch import Watch
from touchbook.schemas.touchpoint import Record as Recorded
from touchbook.sealing import erased_in
from touchbook.timeline import Entry, TimelineFilters
from touchbook.wiring import Book

pytestmark = pytest.mark.timeout(600)
few = settings(max_examples=examples(12), deadline=None)
seeds = st.integers(0, 2**32)
PARTS = 3


class Cluster:
    """Follows a book's journal as workers do, each part of it for itself, and tells it on topics."""

    def __init__(self, book: Book, store: Store, batch: int = 5) -> None:
        self._book = book
        self._store = store
        self._batch = batch
        self._read = 0
        self._places = [0] * PARTS
        self._parts: dict[str, int] = {}
        self.topics = Topics()

    def part_for(self, subject: str) -> int:
        """By who he is and not by his id, which is another in every book: so a failure can be repeated."""
        if subject not in self._parts:
            identifier = self._book.customers.identifier_of(subject)
            self._parts[subject] = zlib.crc32(":".join(identifier or ()).encode()) % PARTS
        return self._parts[subject]

    def follow(self) -> None:
        """What was recorded since, in small stretches."""
        run: list[Recorded] = []
        for record in self._book.journal.read(self._read, 10_000):
            self._read = record.position
            members = erased_in(record.key_id, record.body)
            if members is None:
                run.append(record)
                continue
            self._fold(run)
            run = []
            for member in members:
                self._erase(member)
        self._fold(run)

    def _fold(self, run: Sequence[Recorded]) -> None:
        for part in range(PARTS):
            mine = [record for record in run if self.part_for(record.subject) == part]
            for start in range(0, len(mine), self._batch):
                placed = [self._placed(record) for record in mine[start : start + self._batch]]
                changes = self._book.folder.fold(placed)
                last = placed[-1]
                for rows in self._store.write(
                    [Stretch(changes, placed[0].position - 1, last.position, last.recorded_at)]
                ):
                    self.topics.tell(rows)

    def _erase(self, member: str) -> None:
        """What the journal still says of him is folded again, at the position of the erasure."""
        keys = self._store.timelines.keys_of([member])
        position = self._next(self.part_for(member))
        left = self._book.folder.fold([self._placed_again(one) for one in self._book.journal.find(keys)])
        self.topics.tell(self._store.erase([member], position, NOON, left))

    def _next(self, part: int) -> int:
        self._places[part] += 1
        return position_in(part, self._places[part] - 1)

    def _placed(self, record: Recorded) -> Recorded:
        return record._replace(position=self._next(self.part_for(record.subject)))

    def _placed_again(self, record: Recorded) -> Recorded:
        return record._replace(position=self.part_for(record.subject) + 1024)


def customers_of(book: Book, projections: Projections) -> Customers:
    return Customers(
        projections, book.scorecards, book.journal.rules, book.journal.id_of, book.catalogue.gives
    )


def everything(customers: Customers, ref: str) -> dict[str, Any]:
    """All that can be told of a customer, but for what is the business of one store: versions and positions."""
    try:
        customer = customers.find(ref)
    except CustomerUnknown:
        return {}
    page = customers.timeline(customer, TimelineFilters(), None, 1_000, "en")
    told = {
        "card": customers.card(customer),
        "members": [(one.id, one.touchpoints, one.barred) for one in customer.members],
        "refused": customer.refused,
        "erased": [name for name, _ in customer.erased],
        "timeline": [
            {name: said for name, said in item.items() if name != "position"} for item in page["items"]
        ],
        "scores": customers.scores(customer, TODAY),
        "context": customers.context(customer, "service", NOON),
        "interests": customers.interests(customer, TODAY),
        "explained": [
            customers.explain(customer, card["name"], TODAY) for card in customers.scorecards.describe()
        ],
    }
    return _without_versions(told)


def _without_versions(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _without_versions(said) for name, said in told.items() if name != "version"}
    return [_without_versions(one) for one in told] if isinstance(told, list) else told


def all_ids(projections: Projections) -> set[str]:
    with projections.reading() as reader:
        return {one.id for one in reader.groups_after("", 10_000)}


def same(book: Book, replica: Replica) -> None:
    ids = all_ids(book.projections)
    assert all_ids(replica.projections) == ids
    one, many = customers_of(book, book.projections), customers_of(book, replica.projections)
    for id in by_name(book):
        assert everything(many, id) == everything(one, id)
    here, there = book.projections.digest(), replica.projections.digest()
    assert {name: there[name] for name in ("ledger", "registers", "claims")} == {
        name: here[name] for name in ("ledger", "registers", "claims")
    }
    assert derived(replica.projections) == derived(book.projections)
    same_overview(book, one, book.projections, many, replica.projections)


def same_overview(book: Book, one: Customers, here: Projections, many: Customers, there: Projections) -> None:
    overviews = []
    for projections, customers in ((here, one), (there, many)):
        path = book.settings.data / f"watch-{len(overviews)}.sqlite"
        watch = Watch(projections, customers, book.scorecards, book.policies, lambda: NOON, path, 1.0)
        watch.look()
        watch.close()
        overviews.append(Overview(projections, customers, watch, lambda: NOON))
    alone, replicated = overviews
    assert replicated.tiers() == alone.tiers()
    assert replicated.waiting(100) == alone.waiting(100)
    assert replicated.causes(NOON) == alone.causes(NOON)
    assert dict(minutes(there)) == dict(minutes(here))
    for text in ("bo@", "u", "ann", "case", "1"):
        assert who_is_found(many, text) == who_is_found(one, text)


def minutes(projections: Projections) -> list[tuple[tuple[int, str], int]]:
    with projections.reading() as reader:
        return [((minute, channel), number) for minute, channel, number in reader.minutes(0)]


def who_is_found(customers: Customers, text: str) -> list[Any]:
    return [(one.customer.id, one.name, one.matched) for one in customers.found(text, 100)]


def derived(projections: Any) -> dict[str, Any]:
    """What is looked for, and which threads wait: tables of both shapes."""
    with projections.reading() as reader:
        return {
            table: sorted(reader._rows(f"SELECT * FROM {table}"))
            for table in ("search", "search_ends", "unanswered")
        }


def by_name(book: Book) -> list[str]:
    """All ids, in the order of the identifiers behind them, which are the same in every book."""
    return sorted(all_ids(book.projections), key=lambda id: str(book.customers.identifier_of(id)))


def erase(book: Book, ref: str) -> None:
    """As an erasure does: his keys are destroyed, and the journal says so."""
    members = customers_of(book, book.projections).find(ref).ids
    book.journal.erase(members).result(20)
    key = f"{random.getrandbits(128):032x}"
    book.journal.alone(lambda: book.journal.mark_erased(key, members[0], members)).result(20)


def as_it_may_arrive(topics: Topics, rnd: random.Random) -> Iterator[list[Record]]:
    """Runs of each part of each topic in its order, but one topic before or after another, and some again."""
    next_of = dict.fromkeys(topics.records, 0)
    while left := [at for at, told in topics.records.items() if next_of[at] < len(told)]:
        at = rnd.choice(left)
        start = next_of[at]
        next_of[at] = min(start + rnd.randint(1, 8), len(topics.records[at]))
        yield topics.records[at][max(start - rnd.choice([0, 0, 3]), 0) : next_of[at]]


def late(topics: Topics, rnd: random.Random) -> Iterator[list[Record]]:
    """What a worker writes that was held still for long: stretches of before, once more behind all the rest."""
    for told in topics.records.values():
        start = rnd.randrange(len(told))
        yield told[start : start + rnd.randint(1, 20)]


def same_while_its_version_is(book: Book, replica: Replica, known: dict[str, Any]) -> None:
    """A client that has an answer of this version is told that nothing has changed."""
    customers = customers_of(book, replica.projections)
    for id in sorted(all_ids(replica.projections)):
        if told := everything(customers, id):
            assert known.setdefault(customers.find(id).version, told) == told
    Overview(replica.projections, customers, book.scorecards, lambda: NOON).waiting(5)


@contextmanager
def a_replica(store: Store) -> Iterator[Replica]:
    with TemporaryDirectory() as directory:
        replica = Replica(Path(directory), store.timelines)
        yield replica
        replica.close()


@contextmanager
def clickhouse_of(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The real store, with nothing in it."""
    with closing(ClickHouse.of(request.getfixturevalue("clickhouse"))) as server:
        migrate(server)
        make_build(server, BUILD)
        try:
            yield OnClickHouse(server)
        finally:
            drop_build(server, BUILD)


def tells_the_same(store: Store, events: list[dict[str, Any]], batch: int, seed: int) -> None:
    rnd = random.Random(seed)
    with a_book() as book, a_replica(store) as replica:
        cluster = Cluster(book, store, batch)
        publish(book, events)
        folded(book)
        cluster.follow()
        known: dict[str, Any] = {}
        for run in as_it_may_arrive(cluster.topics, rnd):
            replica.take(run)
            if rnd.random() < 0.1:
                replica.restart()
            if rnd.random() < 0.1:
                same_while_its_version_is(book, replica, known)
        for run in late(cluster.topics, rnd):
            replica.take(run, {})
        same(book, replica)
        same_while_its_version_is(book, replica, known)


def tells_the_same_after_erasures(
    store: Store, before: list[dict[str, Any]], after: list[dict[str, Any]], batch: int, seed: int
) -> None:
    """One replica follows all along, another one starts at the end and reads what compaction left."""
    rnd = random.Random(seed)
    after = [{**one, "id": f"later-{one['id']}"} for one in after]
    with a_book() as book, a_replica(store) as replica, a_replica(store) as new:
        cluster = Cluster(book, store, batch)
        publish(book, before)
        folded(book)
        cluster.follow()
        for run in as_it_may_arrive(cluster.topics, rnd):
            replica.take(run)
        erase(book, rnd.choice(by_name(book)))
        publish(book, after)
        folded(book)
        cluster.follow()
        replica.follow(cluster.topics)
        for run in late(cluster.topics, rnd):
            replica.take(run, {})
        kept = cluster.topics.compacted()
        for start in range(0, len(kept), batch):
            new.take(kept[start : start + batch])
        same(book, new)
        same(book, replica)


@few
@given(histories(), st.integers(1, 9), seeds)
def test_a_replica_tells_what_one_machine_tells_in_whatever_order_topics_reach_it(
    events: list[dict[str, Any]], batch: int, seed: int
) -> None:
    tells_the_same(Workers(), events, batch, seed)


@few
@given(histories(), histories(), st.integers(1, 9), seeds)
def test_after_erasures_and_returns_too_and_from_what_brokers_keep(
    before: list[dict[str, Any]], after: list[dict[str, Any]], batch: int, seed: int
) -> None:
    tells_the_same_after_erasures(Workers(), before, after, batch, seed)


@pytest.mark.server
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), histories(), st.integers(1, 9), seeds)
def test_over_clickhouse_it_is_the_same(
    request: pytest.FixtureRequest,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    batch: int,
    seed: int,
) -> None:
    with clickhouse_of(request) as store:
        tells_the_same(store, before, batch, seed)
    with clickhouse_of(request) as store:
        tells_the_same_after_erasures(store, before, after, batch, seed)


MEMBERS = ({"user_id": "u1"}, {"device": "d1"})
"""In different parts of the journal."""


@few
@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=30),
    st.booleans(),
    st.integers(1, 4),
    st.integers(1, 5),
    seeds,
)
def test_a_live_stream_that_goes_on_at_another_replica_has_neither_gaps_nor_doubles(
    who: list[int], silent: bool, batch: int, limit: int, seed: int
) -> None:
    """Two replicas, one behind the other; what was written may be further on than both. A member who was `silent`
    until the page was read, and only named beside the other, opens a part of the journal that its token has not."""
    rnd = random.Random(seed)
    both = {**MEMBERS[0], **MEMBERS[1]}
    first = event("page_viewed", {"url": "https://shop.example.test/"}, who=both, id="first")
    with a_book() as book, a_replica(store := Workers()) as one, a_replica(store) as other:
        cluster = Cluster(book, store, batch)
        second = event("page_viewed", {"url": "https://shop.example.test/"}, who=MEMBERS[1], id="2nd")
        publish(book, [first] if silent else [first, second])
        folded(book)
        cluster.follow()
        replicas = [
            (one, customers_of(book, one.projections)),
            (other, customers_of(book, other.projections)),
        ]
        for replica, _ in replicas:
            replica.follow(cluster.topics)
        for place, member in enumerate(who):
            said = {"url": f"https://shop.example.test/{place}"}
            publish(
                book, [event("page_viewed", said, who=MEMBERS[member], id=f"e{place}", days_ago=place % 3)]
            )
            if rnd.random() < 0.3:
                folded(book)
                cluster.follow()
        replica, customers = rnd.choice(replicas)
        somewhat(replica, cluster.topics, rnd)
        page = customers.timeline(customers.find("user_id:u1"), TimelineFilters(), None, 1_000, "en")
        told, token = [item["key"] for item in page["items"]], page["stream_from"]
        folded(book)
        cluster.follow()
        left = 200
        while len(told) < len(who) + 2 - silent and (left := left - 1):
            replica, customers = rnd.choice(replicas)
            somewhat(replica, cluster.topics, rnd)
            reload, end, items = customers.stream(
                customers.find("user_id:u1"), token, TimelineFilters(), "en", limit
            )
            assert not reload
            if (
                items and rnd.random() < 0.5
            ):  # cut off in the middle: the client goes on from what it last saw
                items = items[: rnd.randint(1, len(items))]
                end = items[-1][0]
            told += [item["key"] for _, item in items]
            token = end
        expected = customers_of(book, book.projections)
        page = expected.timeline(expected.find("user_id:u1"), TimelineFilters(), None, 1_000, "en")
        assert sorted(told) == sorted(item["key"] for item in page["items"])


def somewhat(replica: Replica, topics: Topics, rnd: random.Random) -> None:
    """The replica takes a little of what it has not taken yet, more of one topic than of another."""
    offsets = replica.file.offsets()
    for at, told in topics.records.items():
        start = offsets.get(at, 0)
        replica.take(told[start : start + rnd.randint(0, 6)])


def test_what_was_forgotten_is_read_from_the_beginning_again() -> None:
    with a_book() as book, a_replica(store := Workers()) as replica:
        cluster = Cluster(book, store)
        publish(
            book, [event("order_placed", {"order": "o1", "total": "10.00", "currency": "EUR"}, who="ann")]
        )
        folded(book)
        cluster.follow()
        replica.follow(cluster.topics)
        replica.file.forget()
        assert (all_ids(replica.projections), replica.file.offsets(), replica.file.folded()) == (
            set(),
            {},
            {},
        )
        replica.follow(cluster.topics)
        same(book, replica)


def test_two_replicas_never_give_the_same_version_to_what_they_tell() -> None:
    """A client that asks another replica is not told that nothing has changed."""
    with a_book() as book, a_replica(store := Workers()) as one, a_replica(store) as other:
        cluster = Cluster(book, store)
        publish(book, [event("page_viewed", {"url": "https://shop.example.test/"}, who="ann")])
        folded(book)
        cluster.follow()
        for replica in (one, other):
            replica.follow(cluster.topics)
        versions = {
            customers_of(book, replica.projections).find("user_id:ann").version for replica in (one, other)
        }
        assert len(versions) == 2


def test_nothing_of_who_was_erased_stays_in_the_file() -> None:
    with a_book() as book, a_replica(store := Workers()) as replica:
        cluster = Cluster(book, store)
        who = {"user_id": "canary-7731", "email": "canary-7731@example.test"}
        publish(book, [event("identify", {"traits": {"name": "Canary 7731"}}, who=who) for _ in range(3)])
        publish(book, [event("page_viewed", {"url": "https://shop.example.test/"}, who="ann")])
        folded(book)
        cluster.follow()
        replica.follow(cluster.topics)
        path = replica.projections.file
        files = [path, path.with_name(f"{path.name}-wal")]
        assert any(b"canary-7731" in file.read_bytes() for file in files)

        erase(book, book.customers.id_of("user_id:canary-7731"))
        folded(book)
        cluster.follow()
        replica.follow(cluster.topics)

        assert not any(b"canary" in file.read_bytes().lower() for file in files)
        same(book, replica)


def test_a_position_is_shown_once_every_topic_has_told_it() -> None:
    with a_replica(Workers()) as replica:
        topics = Topics()
        topics.tell(Rows(position_in(1, 7), NOON))
        told = [one for records in topics.records.values() for one in records]
        for one in told[:-1]:
            replica.take([one])
            assert replica.file.folded() == {}
        replica.take(told[-1:])
        assert replica.file.folded() == {1: Place(position_in(1, 7), NOON)}


def test_a_kiosk_that_fewer_people_share_since_some_were_erased_ties_again() -> None:
    people = [{"user_id": f"u{number}", "device": "kiosk"} for number in range(SHARED_BEYOND + 2)]
    with a_book() as book, a_replica(store := Workers()) as replica:
        cluster = Cluster(book, store)
        publish(
            book, [event("page_viewed", {"url": "https://shop.example.test/"}, who=who) for who in people]
        )
        folded(book)
        cluster.follow()
        replica.follow(cluster.topics)
        kiosk = book.customers.id_named("device", "kiosk")
        with replica.projections.reading() as reader:
            assert [one.barred for one in reader.known([kiosk])] == [True]
        for number in (3, 7):
            erase(book, book.customers.id_of(f"user_id:u{number}"))
            folded(book)
            cluster.follow()
            replica.follow(cluster.topics)
        with replica.projections.reading() as reader:
            assert [one.barred for one in reader.known([kiosk])] == [False]
            assert len(reader.group_of(kiosk)) == SHARED_BEYOND + 1
        same(book, replica)


def test_both_sides_of_a_claim_have_changed_when_it_is_told_after_them() -> None:
    """Who remembers a customer looks only at what was touched since."""
    with a_book() as book, a_replica(store := Workers()) as replica:
        cluster = Cluster(book, store)
        publish(book, [event("page_viewed", {}, who={"user_id": "ann", "anonymous_id": "a1"})])
        folded(book)
        cluster.follow()
        told = [
            one for (topic, _), some in cluster.topics.records.items() for one in some if "claims" in topic
        ]
        [claim] = [one for one in told if b'"c"' in one.key]
        ids = all_ids(book.projections)
        replica.take([one for one in told if one != claim], {})
        with replica.projections.reading() as reader:
            before = reader.changed(ids)
        replica.take([claim])
        with replica.projections.reading() as reader:
            after = reader.changed(ids)
            touched = {
                id for id in ids if reader.touched(reader.known([id])[0].group, max(before.values()), 9)
            }
        assert touched == ids
        assert all(after[id] > before[id] for id in ids)


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_a_file_of_another_make_is_filled_anew(tmp_path: Path, damage: bytes | None) -> None:
    """`None`: one machine used the directory before."""
    if damage is None:
        SqliteProjections.open(tmp_path, "1-test").close()
    else:
        (tmp_path / "projections-1-test-00.sqlite").write_bytes(damage)
        (tmp_path / "projections.current").write_text("projections-1-test-00.sqlite")
    with closing(ReplicaProjections(tmp_path, lambda build: Workers())) as projections:
        with projections.reading() as reader:
            assert reader.position() == 0
        with closing(ReplicaFile(projections.file)) as file:
            assert file.build == NOTHING
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


class NoTimelines:
    """The store of all machines, of a replica that must not ask it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked the store of all machines for {name}")


def at_hand(customers: Customers, ref: str) -> dict[str, Any]:
    """Who he is, how he stands, and what to know before speaking to him: all that calls and models wait for."""
    customer = customers.find(ref)
    told = {
        "card": customers.card(customer),
        "scores": customers.scores(customer, TODAY),
        "batch": list(customers.batch([(ref, TODAY), ("nobody", TODAY)])),
        "buying": customers.buying(customer, TODAY),
        "interests": customers.interests(customer, TODAY),
        "contexts": [
            [customers.context(customer, purpose, NOON, traits), customers.boundary(customer, purpose, NOON)]
            for purpose in ("service", "offer")
            for traits in (True, False)
        ],
    }
    return cast(dict[str, Any], _without_versions(told))


PEOPLE = ({"user_id": "u1"}, {"device": "d1"}, {"user_id": "u2"})
talks = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(PEOPLE), st.integers(0, 9), st.booleans()),
    min_size=60,
    max_size=160,
)


def talk(place: int, half_days: int, who: dict[str, str], topic: int, silent: bool) -> dict[str, Any]:
    """Most say nothing of a topic: so that fewer than the topics looked for are found among the newest entries."""
    if silent or topic > 4:
        said: tuple[str, dict[str, Any]] = ("page_viewed", {"url": "https://shop.example.test/"})
    elif topic > 3:
        said = ("note", {"text": "asks for the manager", "topic": "not for the customer"})
    else:
        said = ("page_viewed", {"url": "https://shop.example.test/", "topic": f"topic {topic}"})
    type, data = said
    return event(type, data, who=who, days_ago=half_days / 2, id=f"talk {place}")


@few
@given(talks, st.integers(1, 40), st.booleans(), seeds)
def test_scores_and_context_are_told_without_asking_the_store_of_all_machines(
    drawn: list[tuple[int, dict[str, str], int, bool]], batch: int, erased: bool, seed: int
) -> None:
    """More touchpoints than are looked at, in any order of time, of customers who are one and of one who is erased and
    returns; told late and again."""
    rnd = random.Random(seed)
    events = [talk(place, *one) for place, one in enumerate(drawn)]
    both = event("page_viewed", {}, who={**PEOPLE[0], **PEOPLE[1]}, id="both")
    with a_book() as book, a_replica(store := Workers()) as replica, a_replica(store) as new:
        cluster = Cluster(book, store, batch)
        for half in (events[: len(events) // 2], [both, *events[len(events) // 2 :]]):
            publish(book, half)
            folded(book)
            cluster.follow()
            for run in as_it_may_arrive(cluster.topics, rnd):
                replica.take(run)
            if erased and half[0] is not both:
                erase(book, rnd.choice(by_name(book)))
                folded(book)
                cluster.follow()
        replica.follow(cluster.topics)
        for run in late(cluster.topics, rnd):
            replica.take(run, {})
        new.take(cluster.topics.compacted())
        expected = customers_of(book, book.projections)
        for one in (replica, new):
            one.projections._timelines = lambda build: NoTimelines()
            customers = customers_of(book, one.projections)
            for id in by_name(book):
                assert at_hand(customers, id) == at_hand(expected, id)


def test_what_was_told_after_an_erasure_shows_though_newer_touchpoints_of_before_it_came_first() -> None:
    """In whatever order: of a replica that was told of the erasure last, newer heads have gone with it by then."""
    ann = "a" * 32
    with a_replica(Workers()) as replica:
        topics = Topics()
        for place in range(2, 3 * RECENT_ENTRIES):
            topics.tell(
                Rows(position_in(0, place), NOON, entries=[shown(ann, f"{place:031}0", NOON + place)])
            )
        topics.tell(Rows(position_in(0, 500), NOON, entries=[shown(ann, "f" * 31 + "0", NOON)]))
        replica.follow(topics)
        topics.tell(Rows(position_in(0, 400), NOON, erased=[ann]))
        replica.follow(topics)
        with replica.projections.reading() as reader:
            assert [head.key for head in reader.heads([ann])] == ["f" * 31 + "0"]


def shown(subject: str, key: str, at: int) -> EntryRow:
    said = ("page_viewed", "information", "web", "shop", "in", None)
    return entry_row(Entry(key, subject, at, at, 1, *said, for_customer=True, body={}))


def test_heads_that_are_never_needed_again_do_not_stay_in_the_file() -> None:
    with a_book() as book, a_replica(store := Workers()) as replica:
        cluster = Cluster(book, store)
        said = {"url": "https://shop.example.test/"}
        publish(
            book,
            [
                event("page_viewed", said, who="ann", id=f"e{place}", days_ago=(600 - place) / 24)
                for place in range(600)
            ],
        )
        folded(book)
        cluster.follow()
        for records in cluster.topics.records.values():
            for start in range(0, len(records), 20):
                replica.take(records[start : start + 20])
        with closing(connect(replica.projections.file)) as connection:
            ((kept,),) = connection.execute("SELECT count(*) FROM heads").fetchall()
        assert RECENT_ENTRIES <= kept < 3 * RECENT_ENTRIES
