"""Where ClickHouse is, what its errors say, its tables, and how it is read."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytest

from tests.projections.clickhouses import build, drop_build, engine, fresh_build
from tests.servers.clickhouse import ClickHouse as Server
from touchbook.errors import FormatUnknown, SettingUnfit, StoreUnavailable
from touchbook.positions import position_in
from touchbook.projections.changes import Changes, entry_row
from touchbook.projections.rows import Stretch
from touchbook.projections.stores.clickhouse import NOTHING, Asked, ClickHouse, Engine, Place
from touchbook.projections.stores.clickhouse_ddl import TABLES, Build, builds, make_build, migrate
from touchbook.projections.stores.clickhouse_reader import FIRST_PAGE, ClickHouseReader
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.settings import settings_from
from touchbook.timeline import Entry, TimelineFilters
from touchbook.wiring_many import clickhouse_of

__all__ = ["build", "engine"]

ANN, BO = "a" * 32, "b" * 32
ANN_ID, BO_ID = Identifier("user_id", "ann"), Identifier("anonymous_id", "bo")
ALL = TimelineFilters()
SECRET = "p@ss/w:rd"


# Where it is


def test_user_password_and_options_are_taken_from_the_url() -> None:
    place = Place.of("clickhouse://u%40x:p%40ss%2Fw%3Ard@db.example.test:9440/book?secure=true&verify=false")
    told = {name: place.options[name] for name in ("user", "password", "port", "database", "secure")}
    assert told == {"user": "u@x", "password": SECRET, "port": 9440, "database": "book", "secure": True}
    assert (place.host, place.options["verify"]) == ("db.example.test", False)


@pytest.mark.parametrize("watchdog_seconds", [120, 4])
def test_a_worker_hears_that_it_does_not_answer_before_its_watchdog_ends_it(watchdog_seconds: float) -> None:
    url = "clickhouse://db.example.test/book"
    settings = settings_from(projections=url, watchdog_seconds=watchdog_seconds)
    assert clickhouse_of(settings).place.options["send_receive_timeout"] < watchdog_seconds


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@127.0.0.1:9000/book",
        "clickhouse://u:s3cret@/book",
        "clickhouse://u:s3cret@127.0.0.1:many/book",
        "clickhouse://u:s3cret@127.0.0.1:9000/book?max_memory_usage=1",
        "clickhouse://u:s3cret@127.0.0.1:9000/book?secure=perhaps",
        "clickhouse://u:s3cret@[::1/book",
    ],
)
def test_a_url_that_cannot_be_followed_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingUnfit, match="projections: expected") as raised:
        ClickHouse.of(url)
    assert "s3cret" not in str(raised.value)


def test_the_password_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    place = ClickHouse.of(f"clickhouse://u:p%40ss%2Fw%3Ard@127.0.0.1:{port}/book")
    with pytest.raises(StoreUnavailable, match="cannot be reached") as raised:
        place.execute("SELECT 1")
    told = [repr(place), str(place), repr(place.place), str(raised.value), caplog.text]
    assert not [text for text in told if SECRET in text or "p%40ss" in text]


# Its errors


@pytest.fixture
def server(clickhouse: str) -> Iterator[ClickHouse]:
    opened = ClickHouse.of(clickhouse, connections=2, answer_seconds=5)
    yield opened
    opened.close()


@pytest.mark.server
def test_errors_say_what_to_do_and_never_quote_what_was_asked(server: ClickHouse) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        server.execute("SELECT nobody FROM nowhere WHERE name = %(name)s", {"name": "ann@example.test"})
    assert "a table is missing" in str(raised.value)
    assert "`touchbook rebuild`" in str(raised.value)
    assert "ann@example.test" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert server.execute("SELECT 1") == [(1,)]


@pytest.mark.server
def test_a_wrong_password_and_a_missing_database_are_told_apart(clickhouse_server: Server) -> None:
    port = clickhouse_server.start().port
    wrong = ClickHouse.of(f"clickhouse://touchbook:wrong@127.0.0.1:{port}/default")
    with pytest.raises(StoreUnavailable, match="refuses the user or the password"):
        wrong.execute("SELECT 1")
    missing = ClickHouse.of(f"clickhouse://default@127.0.0.1:{port}/nowhere")
    with pytest.raises(StoreUnavailable, match="CREATE DATABASE"):
        missing.execute("SELECT 1")


@pytest.mark.server
def test_it_goes_on_by_itself_when_the_server_is_back(server: ClickHouse, clickhouse_server: Server) -> None:
    assert server.execute("SELECT 1") == [(1,)]
    clickhouse_server.kill()
    with pytest.raises(StoreUnavailable):
        server.execute("SELECT 1")
    clickhouse_server.start()
    assert server.execute("SELECT 1") == [(1,)]


@pytest.mark.server
def test_a_server_that_hangs_is_given_up_and_asked_again_once_it_goes_on(clickhouse_server: Server) -> None:
    hasty = ClickHouse.of(clickhouse_server.start().url(), answer_seconds=0.3)
    assert hasty.execute("SELECT 1") == [(1,)]
    clickhouse_server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            hasty.execute("SELECT 2")
    finally:
        clickhouse_server.resume()
    assert hasty.execute("SELECT 3") == [(3,)]
    hasty.close()


@pytest.mark.server
def test_an_answer_that_was_read_in_part_does_not_spoil_the_next(server: ClickHouse) -> None:
    numbers = server.stream("SELECT number FROM system.numbers LIMIT 1000000")
    assert list(islice(numbers, 3)) == [(0,), (1,), (2,)]
    numbers.close()  # type: ignore[attr-defined]
    assert server.execute("SELECT 1") == [(1,)]


@pytest.mark.server
def test_more_threads_than_connections_each_get_their_own_answer(server: ClickHouse) -> None:
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = server.execute("SELECT %(number)s", {"number": number})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [(number,)] for number in range(20)}


# Its tables


def test_migrations_are_applied_once_and_a_later_database_is_refused(engine: Engine) -> None:
    assert migrate(engine) == []
    engine.insert("migrations", {"number": [999], "applied_at": [0]})
    with pytest.raises(FormatUnknown, match="has format 999"):
        migrate(engine)


def test_builds_are_made_listed_and_dropped(engine: Engine) -> None:
    one, other = fresh_build(), fresh_build()
    make_build(engine, one)
    make_build(engine, other)
    make_build(engine, one)  # again, as two workers may
    assert list(builds(engine)) == sorted([one, other])
    drop_build(engine, one)
    assert list(builds(engine)) == [other]
    tables = {name for (name,) in engine.execute("SHOW TABLES")}
    assert {Build(other).tables[table] for table in TABLES} <= tables
    assert not {Build(one).tables[table] for table in TABLES} & tables
    drop_build(engine, other)


@pytest.mark.parametrize("name", ["", "1-a;DROP TABLE builds", "1 a", "x" * 65])
def test_the_name_of_a_build_is_no_sql(name: str) -> None:
    with pytest.raises(ValueError, match="name of a build"):
        Build(name)


def test_newer_servers_keep_words_and_bodies_in_less_space(engine: Engine, build: str) -> None:
    shown = engine.execute(f"SHOW CREATE TABLE {Build(build).tables['entries']}")[0][0]
    assert ("LowCardinality(String)" in shown and "ZSTD" in shown) is (engine.version >= (20, 3))


# How it is read


def entry(key: str, at: int, offset: int, subject: str = ANN, **fields: object) -> Entry:
    header = (key, subject, at, at, position_in(0, offset), "page_viewed", "account", "web", "shop", "in")
    made = Entry(*header, thread=None, for_customer=True, body={"id": key, "signals": [["page_viewed", 0]]})
    return made._replace(**fields)  # type: ignore[arg-type]


def written(store: ClickHouseStore, entries: Sequence[Entry]) -> None:
    changes = Changes()
    for one in entries:
        changes.entries.append(entry_row(one))
        changes.see(one.subject, one.subject, ANN_ID, one.occurred_at, 1, one.position)
    positions = [one.position for one in entries]
    store.write([Stretch(changes, 0, max(positions), 0)])


class Counting:
    """An engine that counts the rows it gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        rows = self._engine.execute(statement, asked)
        self.rows += len(rows)
        return rows


def test_a_page_of_a_long_timeline_reads_no_more_than_a_page(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build)
    written(store, [entry(f"{place:032x}", place // 3, place) for place in range(1_000)])
    counting = Counting(engine)
    reader = ClickHouseReader(counting, build)
    page = list(islice(reader.entries([ANN], ALL, None), 50))
    assert counting.rows == FIRST_PAGE
    assert [one.key for one in page] == [f"{place:032x}" for place in range(999, 949, -1)]
    everything = list(reader.entries([ANN], ALL, None))
    assert [one.key for one in everything] == [f"{place:032x}" for place in range(999, -1, -1)]
    below = list(reader.entries([ANN], ALL, (everything[500].occurred_at, everything[500].key)))
    assert below == everything[501:]


def test_entries_beyond_what_is_asked_for_are_left_out(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    written(store, [entry(f"{place:032x}", place, place) for place in range(5)])
    up_to = {0: position_in(0, 2)}
    assert [one.occurred_at for one in reader.entries([ANN], ALL, None, up_to=up_to)] == [2, 1, 0]
    assert [deed.occurred_at for deed in reader.deeds([ANN], 5, up_to=up_to)] == [2, 1, 0]
    since = reader.entries_since([ANN], ALL, {0: position_in(0, 0)}, 10, up_to=up_to)
    assert [one.occurred_at for one in since] == [1, 2]
    assert list(reader.entries([ANN], ALL, None, up_to={})) == []
    assert reader.entries_since([ANN], ALL, {1: 0}, 10) == []


def test_entries_above_a_place_are_read_run_by_run_and_counted(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    written(store, [entry(f"{place:032x}", place // 3, place) for place in range(30)])
    written(store, [entry(f"{place:032x}", place // 3, place) for place in range(30)])  # as after a crash
    after, above = (-1, ""), list[Entry]()
    while run := reader.entries_above([ANN], ALL, after, 7):
        above += run
        after = run[-1].occurred_at, run[-1].key
    assert above == list(reader.entries([ANN], ALL, None))[::-1]
    some = TimelineFilters(channels=("web", "store"), noise=False, from_at=1)
    up_to = {0: position_in(0, 20)}
    assert reader.count_entries([ANN], ALL) == 30
    assert reader.count_entries([ANN], ALL, up_to=up_to) == 21
    assert (reader.count_entries([ANN], some), reader.entries_above([ANN], some, (0, ""), 9)) == (0, [])
    assert reader.minutes(0) == [(0, "web", 30)], "each once, however often it was written"


def test_complaints_of_whom_nobody_sees_any_more_are_not_counted(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    said: dict[str, Any] = {"type": "complaint_raised", "body": {"data": {"reason": "late"}, "signals": []}}
    both = [entry("1" * 32, 5, 0, **said), entry("2" * 32, 6, 1, BO, **said)]
    written(store, both)
    written(store, both)
    assert reader.causes(0, 10) == [("late", 2)]
    assert reader.causes(6, 10) == [("late", 1)]
    store.erase([BO], position_in(0, 2), 8, Changes())
    assert reader.causes(0, 10) == [("late", 1)]


def test_what_a_touchpoint_counted_is_told_from_a_body_that_speaks_of_signals_itself(
    engine: Engine, build: str
) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    body = {
        "data": {"signals": [["trap", 9]], "x": '"signals":[]}'},
        "id": "k",
        "signals": [['a"signals":b', 7]],
    }
    written(store, [entry("1" * 32, 1, 0, body=body), entry("2" * 32, 2, 1, body={})])
    assert [dict(deed.signals) for deed in reader.deeds([ANN], 5)] == [{}, {'a"signals":b': 7}]


def test_identifiers_are_told_over_all_subjects_that_carry_them(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    changes = Changes()
    changes.see(ANN, ANN, ANN_ID, 10, 1, position_in(0, 0))
    changes.see(ANN, BO, BO_ID, 10, 0, position_in(0, 0))
    changes.see(BO, BO, BO_ID, 30, 1, position_in(0, 1))
    changes.claim(ANN, BO, ANN, Claim(BO_ID, ANN_ID, 1, False, 10, "k1", "shop"))
    store.write([Stretch(changes, 0, position_in(0, 1), 7)])
    row = reader.identifiers([BO, ANN])[BO]
    assert (row.identifier, row.first_seen, row.last_seen, row.touchpoints) == (BO_ID, 10, 30, 1)
    assert reader.positions() == {0: (position_in(0, 1), 7)}
    store.erase([BO], position_in(0, 2), 8, Changes())
    row = reader.identifiers([BO, ANN])[BO]
    assert (row.first_seen, row.last_seen, row.touchpoints) == (10, 10, 0)


def test_any_text_comes_back_as_it_was(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    text = "%(subjects)s % {} ' \\ \" \0 \n \t ؀ 😀 Ёж -- ; `"
    changes = Changes()
    changes.register(ANN, "trait", text, {"said": text}, (1, text))
    changes.see(ANN, ANN, Identifier("user_id", text), 1, 1, position_in(0, 0))
    changes.count(ANN, text, 0, 5)
    changes.entries.append(entry_row(entry("1" * 32, 1, 0, thread=text, body={"id": text, "signals": []})))
    store.write([Stretch(changes, 0, position_in(0, 0), 0)])
    (setting,) = reader.registers([ANN])
    assert (setting.key, setting.value, setting.touchpoint) == (text, {"said": text}, text)
    assert reader.identifiers([ANN])[ANN].identifier.value == text
    assert reader.ledger_rows([ANN]) == [(ANN, [(text, 0, 1, 5)])]
    (found,) = reader.entries([ANN], TimelineFilters(thread=text), None)
    assert found.thread == found.body["id"] == text


def test_reading_nobody_asks_nothing_and_finds_nothing(engine: Engine, build: str) -> None:
    reader = ClickHouseReader(engine, build)
    assert list(reader.entries([], ALL, None)) == []
    assert not reader.ledger_rows([])
    assert not reader.registers([])
    assert not reader.messages([])
    assert not reader.keys_of([])
    assert (reader.entries_since([], ALL, {0: 0}, 5), reader.deeds([], 5)) == ([], [])
    assert (reader.entries_above([], ALL, (0, ""), 5), reader.count_entries([], ALL)) == ([], 0)
    assert (reader.minutes(0), reader.causes(0, 5)) == ([], [])
    assert reader.identifiers([]) == {}
    assert reader.rows_of([ANN])["entries"] == 0
