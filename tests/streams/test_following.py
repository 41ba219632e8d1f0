"""Following and rebuilding: what is folded is folded once, whatever fails, and anew it is the same."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.books import NOON, a_book, event, folded, publish
from touchbook.errors import PositionMoved
from touchbook.projections.fold import Folder
from touchbook.projections.stores.sqlite import SqliteProjections, build, make_serving, serving, still
from touchbook.schemas.touchpoint import Record, Touchpoint
from touchbook.streams import rebuild as rebuilding
from touchbook.streams.follow import (
    BUSY_SHARE,
    ENOUGH_UNREADABLE,
    GATHER_SECONDS,
    MOST_SECONDS,
    Follower,
    catch_up,
    rest_after,
)
from touchbook.streams.rebuild import rebuild
from touchbook.timeline import UNREADABLE, TimelineFilters
from touchbook.wiring import Book


def publish_some(book: Book, count: int = 20, start: int = 0) -> int:
    events = [
        event(
            "page_viewed",
            {"name": f"p{n}"},
            who={"user_id": f"u{n % 3}", "anonymous_id": f"a{n % 5}"},
            id=str(n),
        )
        for n in range(start, start + count)
    ]
    return publish(book, events)[-1].position or 0


def types(book: Book, who: str) -> list[str]:
    page = book.customers.timeline(book.customers.find(who), TimelineFilters(), None, 100, "en")
    return [item["type"] for item in page["items"]]


def standing(book: Book) -> tuple[int, str]:
    """How much Ann recommends us, and the version of that answer."""
    told = book.customers.scores(book.customers.find("user_id:ann"), NOON // 86_400_000)
    return told["scores"]["loyalty"]["parts"]["recommends"], told["version"]


def test_what_is_appended_becomes_visible_and_waiters_are_woken(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        book.start()
        told: list[int] = []
        stop_listening = book.follower.listen(told.append)
        position = publish_some(book)
        assert book.follower.wait(position, 20)
        assert book.follower.folded == position
        assert book.follower.lag == 0
        assert told[-1] == position
        stop_listening()
        assert book.follower.wait(position + 1, 0.05) is False


@pytest.mark.parametrize(
    ("some", "more", "waits"), [(20, 20, True), (20, 0, False), (5, 20, False), (30, 20, False)]
)
def test_touchpoints_gather_only_while_many_come_and_the_follower_keeps_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, some: int, more: int, waits: bool
) -> None:
    with a_book(tmp_path, fold_batch=30) as book:
        waited: list[float] = []
        follower = book.follower
        monkeypatch.setattr(follower._stop, "wait", waited.append)
        publish_some(book, some)
        follower.listen(lambda position: more and publish_some(book, more, start=some))

        follower._step()

        assert follower.folded == some
        assert len(waited) == waits
        assert all(GATHER_SECONDS <= rest <= MOST_SECONDS for rest in waited)


@given(st.floats(0, 10), st.floats(0, 10))
def test_the_more_there_is_to_fold_the_longer_touchpoints_gather_within_bounds(
    one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert GATHER_SECONDS <= rest_after(less) <= rest_after(more) <= MOST_SECONDS
    if rest_after(more) < MOST_SECONDS:
        assert more <= (more + rest_after(more)) * BUSY_SHARE * (1 + 1e-9), (
            "it folds for a quarter of its time"
        )


def test_what_readers_see_is_as_old_as_the_last_look_that_found_all_of_the_journal(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        clock = [100.0]
        follower = Follower(book.journal, book.projections, book.folder, clock=lambda: clock[0])
        publish_some(book, 5)
        follower._step()
        clock[0] = 107.0
        assert follower.staleness() == 0, "nothing came since"
        publish_some(book, 1, start=5)
        assert follower.staleness() == 7
        follower._step()
        assert follower.staleness() == 0


def test_far_behind_it_is_as_old_as_the_last_touchpoint_that_was_folded(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, 30)
        clock = [book.journal.read()[9].recorded_at / 1000]
        follower = Follower(book.journal, book.projections, book.folder, batch=10, clock=lambda: clock[0])
        follower._step()
        clock[0] += 3
        assert round(follower.staleness(), 3) == 3


def test_a_store_that_fails_is_retried_until_it_takes_the_batch(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        position = publish_some(book)
        failures = iter(
            [sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("disk I/O error")]
        )

        class Failing:
            """The real store, but for its first two writes."""

            reading = book.projections.reading

            def write(self, *args: Any) -> None:
                if error := next(failures, None):
                    raise error
                book.projections.write(*args)

        follower = Follower(book.journal, Failing(), book.folder)  # type: ignore[arg-type]
        follower.start()
        assert follower.wait(position, 20)
        follower.stop()
        before = book.projections.digest()
        rebuild(tmp_path, book.journal, book.folder, book.version)
        assert book.projections.digest() == before


def broken(book: Book, keys: set[str]) -> Folder:
    """A folder that meets a bug of ours at these touchpoints."""

    def open(record: Record) -> Touchpoint:
        if record.key in keys:
            raise AssertionError("a bug")
        return book.journal.open(record)

    return Folder(book.catalogue, open, book.journal.id_of)


def test_a_record_that_cannot_be_folded_is_shown_and_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        keys = [one.key for one in publish(book, [event("page_viewed", id=str(n)) for n in range(3)])]
        folder = broken(book, {keys[1]})
        catch_up(book.journal, book.projections, folder)
        assert sorted(types(book, "user_id:ann")) == ["page_viewed", "page_viewed", UNREADABLE]
        assert folder.unreadable == 1


def test_ten_unreadable_records_in_a_row_stop_the_follower_with_a_reason(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, ENOUGH_UNREADABLE + 5)
        keys = {record.key for record in book.journal.read()}
        follower = Follower(book.journal, book.projections, broken(book, keys), batch=5)
        follower.start()
        deadline = time.monotonic() + 20
        while follower.alive and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not follower.alive
        assert "could not be folded" in str(follower.stopped_because)
        assert follower.folded == ENOUGH_UNREADABLE


def test_an_erased_record_leaves_a_placeholder_and_adds_nothing(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", id="1"), event("page_viewed", who="bo", id="2")])
        book.journal.erase([book.journal.read()[0].subject]).result(10)
        folded(book)
        with book.projections.reading() as reader:
            subjects = [record.subject for record in book.journal.read()]
            assert list(reader.ledgers(subjects)) == [subjects[1]]
            assert [one.type for one in reader.entries(subjects[:1], TimelineFilters(), None)] == ["erased"]


def test_two_rebuilds_give_the_digests_of_what_served(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, 50)
        digests = [folded(book, batch=7).projections.digest()]
        for _ in range(2):
            served = serving(tmp_path)
            rebuild(tmp_path, book.journal, book.folder, book.version)
            assert serving(tmp_path) != served
            digests.append(book.projections.digest())
        assert digests[0] == digests[1] == digests[2]
        assert len(list(tmp_path.glob("projections-*.sqlite"))) == 1


def test_a_rebuild_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    def full(done: int, head: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with a_book(tmp_path) as book:
        publish_some(book, 50)
        digest = folded(book).projections.digest()
        before = {file.name for file in tmp_path.iterdir()}
        with pytest.raises(sqlite3.OperationalError):
            rebuild(tmp_path, book.journal, book.folder, book.version, full)
        assert {file.name for file in tmp_path.iterdir()} == before
        assert book.projections.digest() == digest


def test_a_rebuild_beside_a_live_follower_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        book.start()
        publish_some(book, 200)
        builder = threading.Thread(target=rebuild, args=(tmp_path, book.journal, book.folder, book.version))
        builder.start()
        for start in range(200, 1000, 100):
            position = publish_some(book, 100, start)
        builder.join()
        assert book.follower.wait(position, 20)
        live = book.projections.digest()
        with book.projections.reading() as reader:
            assert reader.position() == position
        rebuild(tmp_path, book.journal, book.folder, book.version)
        assert book.projections.digest() == live


def test_what_was_told_to_be_visible_stays_so_when_another_build_begins_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_book(tmp_path) as book:
        book.start()
        publish_some(book, 20)

        def later_news(directory: Path) -> Any:
            position = publish_some(book, 20, 20)
            assert book.follower.wait(position, 20)
            return still(directory)

        def swapped(directory: Path, path: Path) -> None:
            make_serving(directory, path)
            with book.projections.reading() as reader:
                seen.append((reader.position(), book.follower.folded))

        seen: list[tuple[int, int]] = []
        monkeypatch.setattr(rebuilding, "still", later_news)
        monkeypatch.setattr(rebuilding, "make_serving", swapped)
        assert rebuild(tmp_path, book.journal, book.folder, book.version) == 40
        assert seen == [(40, 40)]


def test_a_batch_that_waited_while_another_build_began_to_serve_is_not_told_to_be_visible(
    tmp_path: Path,
) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, 20)
        folded(book)
        position = publish_some(book, 1, 20)
        refused: list[bool] = []

        def follow() -> None:
            with suppress(PositionMoved):
                folded(book)
                refused.append(False)
                return
            refused.append(True)

        following = threading.Thread(target=follow)
        with still(tmp_path) as standing:
            assert standing == 20
            following.start()
            time.sleep(0.3)  # it is at the lock by now; were it not, it would only meet the new build
            make_serving(tmp_path, build(tmp_path, book.version))
        following.join(30)

        assert refused == [True]
        assert folded(book).projections.version() == book.version
        with book.projections.reading() as reader:
            assert reader.position() == position


def test_a_damaged_file_that_serves_can_still_be_replaced(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book)
        digest = folded(book).projections.digest()
        damaged = serving(tmp_path)
        assert damaged is not None
        book.projections.close()
        damaged.write_bytes(b"no database" * 1_000)

        assert rebuild(tmp_path, book.journal, book.folder, book.version) == 20

        with closing(SqliteProjections(tmp_path)) as projections:
            assert projections.digest() == digest


def test_an_older_version_serves_until_its_successor_is_built(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book)
        folded(book)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("Wheel spun:\n  signals: [content_useful]\n")
    with a_book(tmp_path, mappings=(mapping,)) as book:
        assert book.projections.version() != book.version
        assert book.customers.find("user_id:u1")
        book.start()
        deadline = time.monotonic() + 20
        while book.projections.version() != book.version and time.monotonic() < deadline:
            time.sleep(0.01)
        assert book.projections.version() == book.version
        assert book.customers.find("user_id:u1")


def test_a_mapping_written_later_gives_old_touchpoints_their_meaning(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("Rated us", {"score": 10}, id="1", days_ago=1)])
        assert types(folded(book), "user_id:ann") == ["Rated us"]
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("Rated us:\n  type: survey_answered\n  fields: {nps: score}\n")
    with a_book(tmp_path, mappings=(mapping,)) as book:
        recommends, version = standing(book)
        assert recommends == 0
        rebuild(tmp_path, book.journal, book.folder, book.version)
        assert types(book, "user_id:ann") == ["survey_answered"]
        assert standing(book)[0] > 0
        assert standing(book)[1] != version


def test_a_server_killed_between_batches_goes_on_where_it_stood(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, 30)
        records = book.journal.read(0, 10)
        book.projections.write(book.folder.fold(records), 0, 10)
    with a_book(tmp_path) as book:
        resumed = folded(book, batch=4).projections.digest()
        rebuild(tmp_path, book.journal, book.folder, book.version)
        assert book.projections.digest() == resumed


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_the_batch_makes_no_difference(tmp_path: Path, batch: int) -> None:
    with a_book(tmp_path) as book:
        publish_some(book, 40)
        whole = folded(book).projections.digest()
        path = tmp_path / "other"
        path.mkdir()
        other = SqliteProjections.open(path, book.version)
        catch_up(book.journal, other, book.folder, batch)
        assert other.digest() == whole
        other.close()
