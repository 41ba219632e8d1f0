"""What every store of projections promises, whichever engine it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.projections.cluster import BUILD, ClusterProjections, OnClickHouse, Store, Workers
from touchbook.errors import PositionMoved
from touchbook.positions import position_in
from touchbook.projections.changes import Changes, entry_row
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_ddl import make_build, migrate
from touchbook.projections.stores.port import Projections
from touchbook.projections.stores.sqlite import SqliteProjections
from touchbook.registers import ThreadMessage
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.timeline import Entry, TimelineFilters

ANN, BO = "a" * 32, "b" * 32
ANN_ID, BO_ID = Identifier("user_id", "ann"), Identifier("anonymous_id", "bo")
DAY = 86_400_000
ALL = TimelineFilters()


def nth(place: int) -> int:
    """The position of the first, second, third … record of a journal of one part, in any shape."""
    return position_in(0, place - 1)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteProjections]:
    """Who writes it counts batches: each is added once, the next follows the one before."""
    opened = SqliteProjections.open(tmp_path, "1-test")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "replica", pytest.param("clickhouse", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Projections]:
    """`replica`: of the plainest store of many machines; `clickhouse`: of the real one."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    with ExitStack() as ended:
        workers: Store = Workers()
        if request.param == "clickhouse":
            server = ended.enter_context(closing(ClickHouse.of(request.getfixturevalue("clickhouse"))))
            migrate(server)
            make_build(server, BUILD)
            workers = OnClickHouse(server)
        yield ended.enter_context(closing(ClusterProjections(tmp_path, workers)))


def entry(key: str, at: int = 0, position: int = nth(1), subject: str = ANN, **fields: object) -> Entry:
    header = (key, subject, at, at, position, "page_viewed", "account", "web", "shop", "in")
    made = Entry(*header, thread=None, for_customer=True, body={"id": key})
    return made._replace(**fields)  # type: ignore[arg-type]


def changes(*entries: Entry) -> Changes:
    made = Changes()
    for one in entries:
        made.entries.append(entry_row(one))
        identifier = ANN_ID if one.subject == ANN else BO_ID
        made.see(one.subject, one.subject, identifier, one.occurred_at, 1, one.position)
        made.count(one.subject, one.type, one.occurred_at, 5)
    return made


def keys(store: Projections, filters: TimelineFilters = ALL, subjects: tuple[str, ...] = (ANN,)) -> list[str]:
    with store.reading() as reader:
        return [one.key for one in reader.entries(subjects, filters, None)]


def test_a_new_store_stands_at_position_zero_and_knows_nobody(store: Projections) -> None:
    with store.reading() as reader:
        assert reader.position() == 0
        assert reader.group_of(ANN) == []


def test_a_batch_and_its_position_become_visible_together(store: Projections) -> None:
    store.write(changes(entry("k1")), 0, nth(1))
    with store.reading() as reader:
        assert reader.position() > 0
        assert reader.folded([ANN]) == {0: nth(1)}
        assert [one.key for one in reader.entries([ANN], ALL, None)] == ["k1"]


def test_a_batch_written_again_is_refused_and_counts_nothing(sqlite: SqliteProjections) -> None:
    sqlite.write(changes(entry("k1")), 0, nth(1))
    with pytest.raises(PositionMoved):
        sqlite.write(changes(entry("k1")), 0, nth(1))
    with sqlite.reading() as reader:
        assert reader.ledgers([ANN]) == {ANN: {("page_viewed", 0): (1, 5)}}


def test_a_look_does_not_change_while_it_is_open(store: Projections) -> None:
    store.write(changes(entry("k1")), 0, nth(1))
    with store.reading() as reader:
        before = reader.position()
        import threading

        writer = threading.Thread(
            target=lambda: store.write(changes(entry("k2", position=nth(2))), nth(1), nth(2))
        )
        writer.start()
        writer.join()
        assert reader.position() == before
        assert [one.key for one in reader.entries([ANN], ALL, None)] == ["k1"]
    assert keys(store) == ["k2", "k1"]


def test_ledgers_add_up_over_batches(store: Projections) -> None:
    store.write(changes(entry("k1"), entry("k2")), 0, nth(2))
    store.write(changes(entry("k3", position=nth(3)), entry("k4", at=DAY, position=nth(4))), nth(2), nth(4))
    with store.reading() as reader:
        assert reader.ledgers([ANN, BO]) == {ANN: {("page_viewed", 0): (3, 15), ("page_viewed", 1): (1, 5)}}


def test_entries_come_newest_first_over_several_subjects_and_page_below_a_stamp(store: Projections) -> None:
    rows = [entry("k1", 10), entry("k3", 30, subject=BO), entry("k2", 20), entry("k2b", 20, subject=BO)]
    store.write(changes(*rows), 0, nth(4))
    assert keys(store, subjects=(ANN, BO)) == ["k3", "k2b", "k2", "k1"]
    with store.reading() as reader:
        assert [one.key for one in reader.entries([ANN, BO], ALL, (20, "k2b"))] == ["k2", "k1"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (TimelineFilters(channel="store"), ["k2"]),
        (TimelineFilters(family="commerce"), ["k2"]),
        (TimelineFilters(type="order_placed"), ["k2"]),
        (TimelineFilters(thread="t"), ["k3"]),
        (TimelineFilters(direction="out"), ["k3"]),
        (TimelineFilters(from_at=20), ["k3", "k2"]),
        (TimelineFilters(to_at=20), ["k1"]),
        (TimelineFilters(audience="customer"), ["k2", "k1"]),
        (TimelineFilters(channel="store", direction="out"), []),
    ],
)
def test_filters_let_through_what_they_name(
    store: Projections, filters: TimelineFilters, found: list[str]
) -> None:
    shop = entry("k2", 20, channel="store", family="commerce", type="order_placed")
    note = entry("k3", 30, thread="t", direction="out", for_customer=False)
    store.write(changes(entry("k1", 10), shop, note), 0, nth(3))
    assert keys(store, filters) == found


def test_entries_since_a_position_come_in_its_order_whatever_their_time(store: Projections) -> None:
    store.write(
        changes(
            entry("late", 5, position=nth(3)), entry("first", 50, position=nth(1)), entry("bo", 7, nth(2), BO)
        ),
        0,
        nth(3),
    )
    with store.reading() as reader:
        assert [one.key for one in reader.entries_since([ANN, BO], ALL, {0: nth(1)}, 10)] == ["bo", "late"]
        assert [one.key for one in reader.entries_since([ANN, BO], ALL, {0: 0}, 2)] == ["first", "bo"]


def test_the_latest_register_wins_in_any_order_and_over_members(store: Projections) -> None:
    newer, older, other = Changes(), Changes(), Changes()
    newer.register(ANN, "trait", "name", "Ann", (20, "k2"))
    older.register(ANN, "trait", "name", "Anna", (10, "k1"))
    other.register(BO, "trait", "name", "Annie", (15, "k3"))
    store.write(newer, 0, nth(1))
    store.write(older, nth(1), nth(2))
    store.write(other, nth(2), nth(3))
    with store.reading() as reader:
        assert [(one.value, one.touchpoint) for one in reader.registers([ANN, BO])] == [("Ann", "k2")]


def test_messages_come_by_thread_in_order_of_time(store: Projections) -> None:
    made = Changes()
    for thread, at in (("b", 1), ("a", 3), ("a", 2)):
        made.messages.append(ThreadMessage(ANN, thread, at, f"k{at}", "customer", True, "web"))
    store.write(made, 0, nth(1))
    with store.reading() as reader:
        assert [(one.thread, one.occurred_at) for one in reader.messages([ANN])] == [
            ("a", 2),
            ("a", 3),
            ("b", 1),
        ]


def claiming(at: int, touchpoint: str, strength: int = 1) -> Changes:
    made = Changes()
    made.see(ANN, ANN, ANN_ID, at, 1, at)
    made.see(ANN, BO, BO_ID, at, 0, at)
    made.claim(ANN, BO, ANN, Claim(BO_ID, ANN_ID, strength, False, at, touchpoint, "shop"))
    return made


def test_identifiers_whose_claims_touch_are_of_one_group(store: Projections) -> None:
    store.write(claiming(5, "k1"), 0, nth(5))
    with store.reading() as reader:
        assert {one.id for one in reader.group_of(ANN)} == {ANN, BO}
        assert {one.id for one in reader.groups_of([BO])} == {ANN, BO}


def test_all_groups_are_walked_in_pages_each_whole_and_once(store: Projections) -> None:
    made = Changes()
    for number in range(10):
        made.see(f"{number:032x}", f"{number:032x}", Identifier("user_id", f"u-{number}"), 0, 1, 1)
    store.write(made, 0, nth(1))
    store.write(claiming(5, "k1"), nth(1), nth(2))
    pages, group = [], ""
    with store.reading() as reader:
        while page := reader.groups_after(group, 4):
            pages.append(page)
            group = page[-1].group
    assert [len({one.group for one in page}) for page in pages] == [4, 4, 3]
    assert len({one.id for page in pages for one in page}) == sum(map(len, pages)) == 12
    assert {frozenset(one.id for page in pages for one in page if one.group == group)} == {
        frozenset({ANN, BO})
    }


def test_of_equal_claims_the_earliest_is_kept_and_the_rest_counted(store: Projections) -> None:
    store.write(claiming(5, "k1"), 0, nth(5))
    before = store.digest()["claims"]
    store.write(claiming(3, "k0"), nth(5), nth(6))
    with store.reading() as reader:
        claims, shared = reader.claims([ANN])
    assert [(claim.occurred_at, claim.touchpoint) for claim in claims] == [(3, "k0")]
    assert shared == set()
    assert store.digest()["claims"] != before


def test_an_identifier_claimed_by_more_than_twenty_people_is_barred_and_joins_no_group(
    store: Projections,
) -> None:
    kiosk = Identifier("device", "kiosk")
    for n in range(25):
        user = Identifier("user_id", f"u{n}")
        made = Changes()
        made.see(own := f"{n:032x}", "d" * 32, kiosk, n, 0, n)
        made.see(own, own, user, n, 1, n)
        made.claim(own, "d" * 32, own, Claim(kiosk, user, 1, False, n, f"k{n}", "shop"))
        store.write(made, nth(n), nth(n + 1))
    with store.reading() as reader:
        [found] = reader.known(["d" * 32])
        assert found.barred
        assert len(reader.group_of(f"{24:032x}")) == 1
        claims, shared = reader.claims([f"{24:032x}"])
    assert shared == {kiosk}
    assert len(claims) == 1


def test_deeds_tell_what_each_touchpoint_counted(store: Projections) -> None:
    body = {"id": "k1", "signals": [["purchase", 0], ["spend:EUR", 1250]]}
    store.write(changes(entry("k1", 10, body=body), entry("k2", 20)), 0, nth(2))
    with store.reading() as reader:
        assert [(one.key, dict(one.signals)) for one in reader.deeds([ANN], 20)] == [
            ("k1", {"purchase": 0, "spend:EUR": 1250})
        ]


def test_a_digest_speaks_of_content_and_not_of_positions_or_recorded_times(store: Projections) -> None:
    store.write(changes(entry("k1", 10, position=nth(7), recorded_at=99)), 0, nth(7))
    first = store.digest()
    again = changes(entry("k1", 10, position=nth(8), recorded_at=100))
    again.ledgers.clear()
    again.identifiers.clear()
    store.write(again, nth(7), nth(8))
    assert store.digest() == first
    store.write(changes(entry("k2", 10, position=nth(9))), nth(8), nth(9))
    assert store.digest()["entries"] != first["entries"]
    assert store.digest()["ledger"] != first["ledger"]


def nothing(keys: Sequence[str]) -> Iterator[Changes]:
    """The journal opens none of them any more."""
    yield Changes()


def test_erasing_takes_every_row_of_the_members_and_leaves_everybody_else_s(store: Projections) -> None:
    store.write(changes(entry("k1"), entry("k2", position=nth(2), subject=BO)), 0, nth(2))
    with store.reading() as reader:
        version, before = reader.version(), reader.rows_of([BO])

    store.erase([ANN], nothing, nth(2), nth(3))

    with store.reading() as reader:
        assert (reader.known([ANN]), reader.ledgers([ANN])) == ([], {})
        assert reader.folded([BO]) == {0: nth(3)}
        assert set(reader.rows_of([ANN]).values()) == {0}
        assert reader.rows_of([BO]) == before
        assert [one.key for one in reader.entries([ANN, BO], ALL, None)] == ["k2"]
        assert reader.erased([ANN, BO]) == [(f"erased:{ANN}", nth(3))]
        assert reader.version() != version, "what was cached of anybody is not used again"


def test_erasing_is_refused_like_a_batch_where_another_was_there_before(sqlite: SqliteProjections) -> None:
    sqlite.write(changes(entry("k1")), 0, nth(1))

    with pytest.raises(PositionMoved):
        sqlite.erase([ANN], nothing, 0, nth(2))

    assert keys(sqlite) == ["k1"]


def test_an_erasure_that_fails_takes_nothing_away(store: Projections) -> None:
    def fail(keys: Sequence[str]) -> Iterator[Changes]:
        raise OSError("the journal cannot be read")

    store.write(changes(entry("k1")), 0, nth(1))

    with pytest.raises(OSError, match="journal"):
        store.erase([ANN], fail, nth(1), nth(2))

    with store.reading() as reader:
        assert (reader.folded([ANN]), reader.erased([ANN])) == ({0: nth(1)}, [])
    assert keys(store) == ["k1"]


def test_what_the_journal_still_says_of_the_members_and_their_group_is_made_anew(store: Projections) -> None:
    """Ann is erased; Bo, whom she named, said a thing himself that names her too."""
    his = changes(entry("k2", at=7, position=nth(2), subject=BO))
    his.see(BO, ANN, ANN_ID, 7, 0, 2)
    his.claim(BO, BO, ANN, Claim(BO_ID, ANN_ID, 1, False, 7, "k2", "shop"))
    store.write(changes(entry("k1")), 0, nth(1))
    store.write(his, nth(1), nth(2))
    asked: list[str] = []

    def again(keys: Sequence[str]) -> Iterator[Changes]:
        asked.extend(keys)
        yield his

    store.erase([ANN], again, nth(2), nth(3))

    assert {"k1"} <= set(asked) <= {"k1", "k2"}
    with store.reading() as reader:
        assert [(one.id, one.touchpoints) for one in reader.known([ANN, BO])] == [(ANN, 0), (BO, 1)]
        assert {one.id for one in reader.group_of(BO)} == {ANN, BO}
        assert reader.ledgers([ANN, BO]) == {BO: {("page_viewed", 0): (1, 5)}}
        assert [claim.touchpoint for claim in reader.claims([ANN])[0]] == ["k2"]
