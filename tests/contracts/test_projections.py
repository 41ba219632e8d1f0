"""What every store of projections promises, whichever engine it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.projections.cluster import BUILD, ClusterProjections, OnClickHouse, Store, Workers
from touchbook.contacts import ContactRow
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
        (TimelineFilters(channels=("store",)), ["k2"]),
        (TimelineFilters(families=("commerce",)), ["k2"]),
        (TimelineFilters(types=("order_placed",)), ["k2"]),
        (TimelineFilters(thread="t"), ["k3"]),
        (TimelineFilters(direction="out"), ["k3"]),
        (TimelineFilters(from_at=20), ["k3", "k2"]),
        (TimelineFilters(to_at=20), ["k1"]),
        (TimelineFilters(audience="customer"), ["k2", "k1"]),
        (TimelineFilters(channels=("store",), direction="out"), []),
        (TimelineFilters(channels=("store", "web")), ["k3", "k2", "k1"]),
        (TimelineFilters(types=("order_placed", "page_viewed"), from_at=15), ["k3", "k2"]),
        (TimelineFilters(noise=False), ["k2"]),
    ],
)
def test_filters_let_through_what_they_name(
    store: Projections, filters: TimelineFilters, found: list[str]
) -> None:
    shop = entry("k2", 20, channel="store", family="commerce", type="order_placed")
    note = entry("k3", 30, thread="t", direction="out", for_customer=False)
    store.write(changes(entry("k1", 10), shop, note, entry("bo", 15, subject=BO)), 0, nth(3))
    assert keys(store, filters) == found
    with store.reading() as reader:
        above = reader.entries_above([ANN], filters, (-1, ""), 10)
        assert [one.key for one in reversed(above)] == found
        assert reader.count_entries([ANN], filters) == len(found)


def test_entries_above_a_stamp_come_oldest_first_and_page_upwards(store: Projections) -> None:
    rows = [entry("k1", 10), entry("k3", 30, subject=BO), entry("k2", 20), entry("k2b", 20, subject=BO)]
    store.write(changes(*rows), 0, nth(4))
    with store.reading() as reader:
        page = reader.entries_above([ANN, BO], ALL, (10, "k1"), 2)
        assert [one.key for one in page] == ["k2", "k2b"]
        rest = reader.entries_above([ANN, BO], ALL, (20, "k2b"), 2)
        assert [one.key for one in rest] == ["k3"]
        assert reader.entries_above([ANN, BO], ALL, (30, "k3"), 2) == []
        assert reader.count_entries([ANN, BO], ALL) == 4
        assert reader.count_entries([], ALL) == 0


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


def test_registers_of_kinds_that_nobody_asked_for_are_left_out(store: Projections) -> None:
    made = Changes()
    for kind in ("trait", "verdict", "stage"):
        made.register(ANN, kind, "k", kind, (1, "k1"))
    store.write(made, 0, nth(1))
    with store.reading() as reader:
        assert [one.kind for one in reader.registers([ANN])] == ["stage", "trait", "verdict"]
        assert [one.kind for one in reader.registers([ANN], ("verdict", "stage"))] == ["trait"]


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
        assert [one.thread for one in reader.messages([ANN], ["b", "none"])] == ["b"]
        assert not reader.messages([ANN], [])


def test_a_message_tells_who_wrote_it_and_whether_it_closes_its_thread(store: Projections) -> None:
    ours = ThreadMessage(ANN, "a", 2, "k2", "agent", True, "web", "Vera", "Support", "service", closes=True)
    theirs = ThreadMessage(ANN, "a", 1, "k1", "customer", True, "web")
    store.write(Changes(messages=[ours, theirs]), 0, nth(1))
    with store.reading() as reader:
        assert reader.messages([ANN]) == [theirs, ours]
        assert reader.latest_messages([ANN]) == [ours]


RESERVED = ContactRow(
    ANN, 10, "k1", "reserved", "r-1", "email", "offer", ("lamps", "лампы"), "autumn", counts=True, until=900
)
SENT = ContactRow(ANN, 20, "k2", "sent", None, "sms", tags=())


def contacted(*contacts: ContactRow) -> Changes:
    made = Changes(contacts=list(contacts))
    for subject, identifier in ((ANN, ANN_ID), (BO, BO_ID)):
        made.see(subject, subject, identifier, 1, 1, 1)
    return made


def contacts(store: Projections, since: int = 0) -> list[ContactRow]:
    with store.reading() as reader:
        return reader.contacts([ANN, BO], since)


def test_contacts_come_in_order_of_time_over_several_subjects_from_a_time_on(store: Projections) -> None:
    his = ContactRow(BO, 10, "k3", "released", "r-1", "email", counts=False)
    store.write(contacted(SENT), 0, nth(1))
    store.write(contacted(his, RESERVED), nth(1), nth(2))
    assert contacts(store) == [RESERVED, his, SENT]
    assert contacts(store, since=11) == contacts(store, since=20) == [SENT]
    assert contacts(store, since=21) == []


def test_contacts_come_as_they_were_whatever_stands_in_them(store: Projections) -> None:
    odd = 'x"\\/\n\x1f\u2028\U0001f600'
    his = ContactRow(BO, 10, "k3", "reserved", odd, odd, odd, (odd, "", "null"), odd, None, -(2**53) - 1)
    store.write(contacted(his), 0, nth(1))
    assert contacts(store) == [his]


def test_a_contact_told_again_is_one(store: Projections) -> None:
    store.write(contacted(RESERVED), 0, nth(1))
    before = store.digest()
    store.write(Changes(contacts=[RESERVED]), nth(1), nth(2))
    assert contacts(store) == [RESERVED]
    assert store.digest() == before
    store.write(contacted(SENT), nth(2), nth(3))
    assert store.digest()["registers"] != before["registers"]


def test_of_who_was_erased_no_contact_is_left_but_what_came_afterwards(store: Projections) -> None:
    his = ContactRow(BO, 10, "k3", "sent", None, "email")
    store.write(contacted(RESERVED, his), 0, nth(1))
    store.erase([ANN], nothing, nth(1), nth(2))
    assert contacts(store) == [his]
    with store.reading() as reader:
        assert reader.rows_of([ANN])["contacts"] == 0
    store.write(contacted(SENT), nth(2), nth(3))
    assert contacts(store) == [his, SENT]


def position_of(store: Projections) -> int:
    with store.reading() as reader:
        return reader.position()


def touched_after(store: Projections, position: int, limit: int = 10) -> set[str] | None:
    with store.reading() as reader:
        return reader.touched_after(position, limit)


def test_who_was_touched_is_told_from_memory_and_from_the_store_alike(store: Projections) -> None:
    store.write(changes(entry("k1")), 0, nth(1))
    first = position_of(store)
    store.write(changes(entry("k2", position=nth(2), subject=BO)), nth(1), nth(2))
    second = position_of(store)
    assert store.touched_since(first) == ({BO}, second)
    assert store.touched_since(second) == (set(), second)
    assert touched_after(store, first) == {BO}
    assert touched_after(store, second) == set()
    assert touched_after(store, 0) == {ANN, BO}
    assert touched_after(store, 0, limit=1) is None


def test_after_an_erasure_who_was_touched_before_is_not_told_and_the_version_is_another(
    store: Projections,
) -> None:
    store.write(changes(entry("k1"), entry("k2", position=nth(2), subject=BO)), 0, nth(2))
    before, version = position_of(store), version_of(store)
    store.erase([ANN], nothing, nth(2), nth(3))
    after = position_of(store)
    assert store.touched_since(before) == (None, after)
    assert version_of(store) != version
    store.write(changes(entry("k3", position=nth(4), subject=BO)), nth(3), nth(4))
    assert store.touched_since(after) == ({BO}, position_of(store))


def version_of(store: Projections) -> str:
    with store.reading() as reader:
        return reader.version()


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


def named(subject: str, at: int, position: int = 1, **traits: Any) -> Changes:
    made = Changes()
    made.see(subject, subject, ANN_ID if subject == ANN else BO_ID, at, 1, position)
    for key, value in traits.items():
        made.register(subject, "trait", key, value, (at, f"k{at}"))
    return made


def found(store: Projections, words: str = "", *beginnings: str, limit: int = 10) -> list[tuple[Any, ...]]:
    """(subject, kind, what is shown, whether it is exact)."""
    with store.reading() as reader:
        matches = reader.found(words.split(), beginnings, limit)
    return [(one.subject, one.kind, one.shown, one.exact) for one in matches]


def test_a_name_is_found_by_how_each_of_its_words_begins(store: Projections) -> None:
    store.write(named(ANN, 5, name="Ann Müller-Ros"), 0, nth(1))
    store.write(named(BO, 6, firstName="Боря", lastName="Annenkov"), nth(1), nth(2))
    assert found(store, "ann") == [(ANN, "name", "Ann Müller-Ros", False), (BO, "name", "Annenkov", False)]
    assert found(store, "muller") == found(store, "ro an mu") == [(ANN, "name", "Ann Müller-Ros", False)]
    assert found(store, "ann ros muller") == [(ANN, "name", "Ann Müller-Ros", True)]
    assert found(store, "боря") == [(BO, "name", "Боря", True)], "other alphabets are folded too"
    assert [one[0] for one in found(store, "бор annen")] == [BO], "several names of one person count together"
    assert found(store, "бор muller") == []
    assert found(store, "nn") == found(store, "mu uller nn") == [], "two letters only begin a word"
    assert len(found(store, "ann", limit=1)) == 1


def test_a_name_is_found_by_three_letters_anywhere_in_a_word_of_it_after_those_that_begin_so(
    store: Projections,
) -> None:
    store.write(named(ANN, 5, name="Жанна Müller-Ros"), 0, nth(1))
    his = named(BO, 6, name="Bo Ulle")
    his.see(BO, "c" * 32, Identifier("user_id", "ulle-7"), 1, 0, 1)
    store.write(his, nth(1), nth(2))
    assert [one[:2] for one in found(store, "ull", "ull")] == [
        (BO, "name"), ("c" * 32, "identifier"), (ANN, "name")
    ]  # fmt: skip
    assert found(store, "анн") == found(store, "ller ann".replace("ann", "анна")) == found(store, "ж uller")
    assert found(store, "анн") == [(ANN, "name", "Жанна Müller-Ros", False)]
    assert found(store, "ro ж ulle") == found(store, "анн"), (
        "shorter words begin one, longer ones may be within"
    )
    assert [one[0] for one in found(store, "ull", limit=1)] == [BO]
    assert found(store, "ull bo анн") == found(store, "ulm") == []
    store.write(named(ANN, 9, name="Жанна Berg"), nth(2), nth(3))
    assert [one[0] for one in found(store, "uller")] == []
    assert [one[0] for one in found(store, "нна")] == [ANN]
    store.erase([ANN], nothing, nth(3), nth(4))
    assert found(store, "нна") == found(store, "erg") == []


def test_a_name_of_one_part_repeated_keeps_nobody_else_from_being_found(store: Projections) -> None:
    store.write(named(ANN, 5, name=" ".join("an" * n for n in range(3, 23))), 0, nth(1))
    store.write(named(BO, 6, name="Susanan"), nth(1), nth(2))
    assert {one[0] for one in found(store, "nan", limit=2)} == {ANN, BO}


def test_only_the_latest_name_of_an_identifier_is_found_in_any_order_of_arrival(store: Projections) -> None:
    store.write(named(ANN, 20, name="Ann Lind"), 0, nth(1))
    store.write(named(ANN, 10, name="Ann Older"), nth(1), nth(2))
    assert (found(store, "older"), len(found(store, "lind"))) == ([], 1)
    store.write(named(ANN, 30, name="Ann Berg"), nth(2), nth(3))
    assert (found(store, "lind"), len(found(store, "berg"))) == ([], 1)
    store.write(named(ANN, 40, name=None, lastName=7, firstName=["Ann"]), nth(3), nth(4))
    assert found(store, "ann") == []


def test_identifiers_are_found_by_how_they_begin(store: Projections) -> None:
    made = Changes()
    for id, type, value in (
        ("c", "email", "ann@example.test"),
        ("d", "user_id", "ANN-7"),
        ("e", "phone", "+49301"),
    ):
        made.see(ANN, id * 32, Identifier(type, value), 1, 0, 1)
    store.write(made, 0, nth(1))
    assert found(store, "", "ann") == [
        ("d" * 32, "identifier", "ANN-7", False),
        ("c" * 32, "identifier", "ann@example.test", False),
    ]
    assert found(store, "", "ann@example.test") == [("c" * 32, "identifier", "ann@example.test", True)]
    assert found(store, "", "+4930", "x") == [("e" * 32, "identifier", "+49301", False)]
    assert found(store, "", "nn") == found(store, "", "%") == found(store, "", "ann_") == []


def test_cases_and_orders_are_found_by_how_their_numbers_begin(store: Projections) -> None:
    made = Changes()
    made.register(ANN, "case", "case:C-22", {"kind": "case", "id": "C-22", "state": "closed"}, (1, "k1"))
    made.register(ANN, "case_stage", "case:C-22", {"stage": "new"}, (1, "k1"))
    made.register(BO, "case_stage", "order:c-221", {"stage": "sent"}, (2, "k2"))
    made.register(BO, "preference", "case:C-229", "no case", (2, "k2"))
    store.write(made, 0, nth(1))
    assert found(store, "", "c-22") == [(ANN, "case", "C-22", True), (BO, "order", "c-221", False)]
    assert found(store, "", "22") == []


def test_whom_nobody_may_know_any_more_is_not_found(store: Projections) -> None:
    store.write(named(ANN, 5, name="Ann Lind"), 0, nth(1))
    his = named(BO, 6, 2, name="Ann Berg")
    his.register(BO, "case", "order:7", {"state": "open"}, (6, "k6"))
    store.write(his, nth(1), nth(2))
    store.erase([ANN], nothing, nth(2), nth(3))
    assert [one[0] for one in found(store, "ann", "a", "7")] == [BO, BO]
    assert found(store, "lind") == []


def test_touchpoints_are_counted_by_the_minute_they_were_recorded_in_and_by_channel(
    store: Projections,
) -> None:
    minute = 60_000
    rows = [
        entry("k1", 7, recorded_at=DAY * 9),
        entry("k2", 8, position=nth(2), recorded_at=DAY * 9 + 59_999),
        entry("k3", 9, position=nth(3), recorded_at=DAY * 9 + minute, channel="store"),
    ]
    store.write(changes(*rows[:2]), 0, nth(2))
    store.write(changes(rows[2]), nth(2), nth(3))
    ours = entry("k4", 9, position=nth(4), recorded_at=DAY * 9, source="touchbook")
    store.write(changes(ours), nth(3), nth(4))  # what the server says itself is nothing that came in
    with store.reading() as reader:
        assert reader.minutes(0) == [(DAY * 9 // minute, "web", 2), (DAY * 9 // minute + 1, "store", 1)]
        assert reader.minutes(DAY * 9 // minute + 1) == [(DAY * 9 // minute + 1, "store", 1)]

    def again(keys: Sequence[str]) -> Iterator[Changes]:
        yield changes(rows[0]._replace(type="erased"), rows[1]._replace(type="erased"))

    before = minutes_of(store)
    store.erase([ANN], again, nth(4), nth(5))
    assert minutes_of(store)[:1] == before[:1], "what was recorded was recorded"


def minutes_of(store: Projections) -> list[tuple[int, str, int]]:
    with store.reading() as reader:
        return reader.minutes(0)


def test_minutes_older_than_two_days_are_forgotten_as_newer_come(sqlite: SqliteProjections) -> None:
    sqlite.write(changes(entry("k1", 1, recorded_at=0), entry("k2", 1, recorded_at=DAY)), 0, nth(1))
    assert minutes_of(sqlite) == [(0, "web", 1), (1440, "web", 1)]
    sqlite.write(changes(entry("k3", 1, recorded_at=2 * DAY + 60_000)), nth(1), nth(2))
    assert minutes_of(sqlite) == [(1440, "web", 1), (2881, "web", 1)]
    sqlite.write(changes(entry("k4", 1, recorded_at=0)), nth(2), nth(3))
    assert minutes_of(sqlite) == [(1440, "web", 1), (2881, "web", 1)], "nor do they come back"


def complaint(key: str, at: int, subject: str = ANN, position: int = nth(1), **body: Any) -> Entry:
    return entry(key, at, position, subject, type="complaint_raised", body={"id": key, **body})


def test_complaints_are_counted_by_their_cause(store: Projections) -> None:
    late, lost = {"data": {"reason": "late"}}, {"data": {"reason": "lost", "text": 'says "reason": "late"'}}
    mapped = {"data": {"reason": ["x"], "why": "LATE"}, "shown": {"reason": "late"}}
    rows = [
        complaint("k1", 10, **late),
        complaint("k2", 11, **lost, position=nth(2)),
        complaint("k3", 12, BO, **mapped, position=nth(3)),
        complaint("k4", 13, data={"text": "bad"}, position=nth(4)),
        complaint("k5", 20, **late, position=nth(5)),
        entry("k6", 14, nth(6), body={"id": "k6", "data": {"reason": "late"}}),
    ]
    store.write(changes(*rows), 0, nth(6))
    with store.reading() as reader:
        assert reader.causes(10, 20) == [("late", 2), (None, 1), ("lost", 1)]
        assert reader.causes(11, 12) == [("lost", 1)]
        assert reader.causes(30, 40) == []
    store.erase([ANN], nothing, nth(6), nth(7))
    with store.reading() as reader:
        assert reader.causes(10, 40) == [("late", 1)]


def decided(
    key: str, at: int, type: str, *codes: object, subject: str = ANN, position: int = nth(1)
) -> Entry:
    said = [{"code": code, "rule": f"rule {place}"} for place, code in enumerate(codes)]
    return entry(key, at, position, subject, type=type, body={"id": key, "data": {"reasons": said}})


def test_messages_held_back_are_counted_once_for_each_reason(store: Projections) -> None:
    rows = [
        decided("k1", 10, "contact_suppressed", "cap", "cap", "quiet_hours"),
        decided("k2", 11, "contact_suppressed", "cap", position=nth(2)),
        decided("k3", 12, "contact_deferred", "quiet_hours", 7, subject=BO, position=nth(3)),
        decided("k4", 20, "contact_deferred", "quiet_hours", position=nth(4)),
        decided("k5", 13, "contact_reserved", "no_objection", position=nth(5)),
        entry("k6", 14, nth(6), type="contact_deferred", body={"id": "k6", "data": {"reasons": None}}),
    ]
    store.write(changes(*rows), 0, nth(6))
    with store.reading() as reader:
        assert reader.held_back(10, 20) == [
            ("contact_suppressed", "cap", 2),
            ("contact_deferred", "quiet_hours", 1),
            ("contact_suppressed", "quiet_hours", 1),
        ]
        assert reader.held_back(12, 21) == [("contact_deferred", "quiet_hours", 2)]
        assert reader.held_back(30, 40) == []
    store.erase([ANN], nothing, nth(6), nth(7))
    with store.reading() as reader:
        assert reader.held_back(10, 40) == [("contact_deferred", "quiet_hours", 1)]


def message(
    thread: str,
    at: int,
    role: str,
    subject: str = ANN,
    public: bool = True,
    key: str = "",
    closes: bool = False,
) -> ThreadMessage:
    return ThreadMessage(subject, thread, at, key or f"k{at}", role, public, "web", closes=closes)


def unanswered(
    store: Projections, after: tuple[int, str] = (-1, ""), limit: int = 10
) -> list[tuple[Any, ...]]:
    with store.reading() as reader:
        return [
            (one.subject, one.thread, one.occurred_at, one.key) for one in reader.unanswered(after, limit)
        ]


def said(store: Projections, after: int, *messages: ThreadMessage) -> None:
    made = Changes(messages=list(messages))
    made.see(ANN, ANN, ANN_ID, 1, 1, 1)
    made.see(BO, BO, BO_ID, 1, 1, 1)
    store.write(made, nth(after) if after else 0, nth(after + 1))


def test_a_thread_waits_from_the_first_message_since_our_last_public_word(store: Projections) -> None:
    said(
        store, 0, message("a", 10, "customer"), message("a", 12, "customer"), message("b", 11, "customer", BO)
    )
    assert unanswered(store) == [(ANN, "a", 10, "k10"), (BO, "b", 11, "k11")]
    assert unanswered(store, limit=1) == [(ANN, "a", 10, "k10")]
    assert unanswered(store, (10, "k10")) == [(BO, "b", 11, "k11")]

    said(store, 1, message("a", 13, "agent", public=False), message("a", 14, "agent", BO))
    assert len(unanswered(store)) == 2, "neither a note nor a word to somebody else answers him"

    said(store, 2, message("a", 12, "customer", key="z"), message("a", 11, "agent"))
    assert unanswered(store) == [(BO, "b", 11, "k11"), (ANN, "a", 12, "k12")], "an answer that arrives late"

    said(store, 3, message("a", 13, "bot", key="z"), message("b", 15, "agent", BO))
    assert unanswered(store) == []

    said(store, 4, message("b", 15, "customer", BO, key="z"), message("c", 15, "customer", key="k15"))
    assert unanswered(store) == [(ANN, "c", 15, "k15"), (BO, "b", 15, "z")]


def test_what_is_said_before_the_end_of_a_chat_that_a_person_answered_does_not_wait(
    store: Projections,
) -> None:
    said(store, 0, message("a", 10, "agent"), message("a", 11, "customer"), message("b", 12, "bot", BO))
    said(store, 1, message("a", 13, "bot", public=False, closes=True), message("b", 14, "customer", BO))
    said(store, 2, message("b", 15, "bot", BO, public=False, closes=True))
    assert unanswered(store) == [(BO, "b", 14, "k14")]
    said(store, 3, message("a", 16, "customer"))
    assert unanswered(store) == [(BO, "b", 14, "k14"), (ANN, "a", 16, "k16")]


def test_nobody_who_was_erased_waits_and_whom_he_left_behind_still_does(store: Projections) -> None:
    said(store, 0, message("a", 10, "customer"), message("a", 10, "customer", BO))
    store.erase([ANN], nothing, nth(1), nth(2))
    assert unanswered(store) == [(BO, "a", 10, "k10")]
    said(store, 2, message("a", 20, "customer"))
    assert unanswered(store) == [(BO, "a", 10, "k10"), (ANN, "a", 20, "k20")]
