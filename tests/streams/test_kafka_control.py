"""What is true of access keys and of what was set aside where several processes share them through a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.streams.items import item
from tests.streams.sharing import Shared
from tests.streams.touchpoints import Clock
from touchbook.errors import Refused, SetAsideUnknown
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_control import KafkaControl
from touchbook.streams.backends.kafka_follower import AWAY_MS
from touchbook.streams.backends.kafka_topics import MAX_MESSAGE_BYTES
from touchbook.streams.control import AccessKey

pytestmark = pytest.mark.server

PATIENCE = 30.0


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000)


def open_both(shared: Shared, clock: Clock) -> list[KafkaControl]:
    return [shared.control(shared.keyring(name), clock, name) for name in ("one", "other")]


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_of_a_page_s_key_and_a_server_s_made_at_once_for_one_source_never_both_stand(
    shared: Shared, clock: Clock
) -> None:
    one, other = open_both(shared, clock)

    def made(
        control: KafkaControl, source: str, origins: list[str], together: threading.Barrier
    ) -> AccessKey | None:
        together.wait()
        try:
            return control.create_key("publish", source, origins=origins)[0]
        except Refused:
            return None

    refused = 0
    with ThreadPoolExecutor(2) as threads:
        for n in range(10):
            together = threading.Barrier(2)
            page = threads.submit(made, one, f"s{n}", ["https://shop.example.test"], together)
            server = threads.submit(made, other, f"s{n}", [], together)
            stand = [key for key in (page.result(PATIENCE), server.result(PATIENCE)) if key]
            refused += 2 - len(stand)
            one.catch_up()
            assert [key.id for key in one.list_keys() if key.source == f"s{n}"] == [key.id for key in stand]
            assert len(stand) <= 1
    assert refused >= 10
    assert one.create_key("publish", "later")[0].source == "later"


def test_a_key_that_another_process_revoked_keeps_the_time_and_a_new_process_knows_all(
    shared: Shared, clock: Clock
) -> None:
    one, other = open_both(shared, clock)
    key, secret = one.create_key("agent", "desk")
    assert eventually(lambda: other.find_key(secret) == key)
    clock.now = 2_000
    revoked = other.revoke_key(key.id)
    clock.now = 3_000

    assert one.revoke_key(key.id) == revoked
    assert revoked.revoked_at == 2_000
    third = shared.control(shared.keyring("third"), clock, "third")
    assert third.list_keys() == [revoked]
    assert third.find_key(secret) is None


def test_what_one_process_set_aside_another_redrives_and_then_nobody_can_open_it(
    shared: Shared, clock: Clock
) -> None:
    one, other = open_both(shared, clock)
    gone, stays = one.set_aside([item(raw=b"first"), item(raw=b"second")])
    assert eventually(lambda: other.count_set_aside() == 2)
    assert other.get_set_aside(gone) == item(gone, raw=b"first")

    other.mark_redriven(gone)

    assert eventually(lambda: [kept.key for kept in one.list_set_aside()[0]] == [stays])
    with pytest.raises(SetAsideUnknown):
        one.get_set_aside(gone)


def test_a_cursor_of_one_process_holds_in_another(shared: Shared, clock: Clock) -> None:
    one, other = open_both(shared, clock)
    for n in range(6):
        (one, other)[n % 2].set_aside([item(raw=b"%d" % n)])
    one.catch_up()
    other.catch_up()

    first, cursor = one.list_set_aside(limit=2)
    rest, _ = other.list_set_aside(limit=9, cursor=cursor)

    assert [kept.raw for kept in first + rest] == [b"5", b"4", b"3", b"2", b"1", b"0"]


def test_two_that_keep_house_at_once_expire_the_same(shared: Shared, clock: Clock) -> None:
    both = open_both(shared, clock)
    both[0].set_aside([item(received_at=at, raw=b"%d" % at) for at in (100, 199, 200, 300)])
    both[1].catch_up()

    with ThreadPoolExecutor(2) as threads:
        counts = list(threads.map(lambda control: control.expire(older_than=200), both))

    assert max(counts) == 2
    for control in both:
        assert eventually(lambda control=control: control.count_set_aside() == 2)  # type: ignore[misc]
        assert control.expire(older_than=200) == 0


def test_an_item_as_large_as_any_that_ingress_takes_can_be_set_aside(shared: Shared, clock: Clock) -> None:
    control, other = open_both(shared, clock)
    raw = b"x" * (MAX_MESSAGE_BYTES - 100)

    [key] = control.set_aside([item(raw=raw)])

    assert eventually(lambda: other.count_set_aside() == 1)
    assert other.get_set_aside(key).raw == raw


def test_which_build_serves_is_told_to_all_also_to_those_who_come_later(shared: Shared, clock: Clock) -> None:
    one, other = open_both(shared, clock)
    assert one.serving() is None

    one.serve("12-ab-0001")
    one.serve("12-ab-0002")

    assert one.serving() == "12-ab-0002"
    assert eventually(lambda: other.serving() == "12-ab-0002")
    assert shared.control(shared.keyring("third"), clock, "third").serving() == "12-ab-0002"


def test_who_was_away_for_long_begins_anew_and_keeps_nothing_that_went(shared: Shared, clock: Clock) -> None:
    keyring = shared.keyring("one")
    control = shared.control(keyring, clock, "one")
    key, secret = control.create_key("agent", "desk")
    [aside] = control.set_aside([item(raw=b"kept")])
    control._db.execute("UPDATE access_keys SET id = 'gone', secret_hash = 'gone' WHERE id = ?", (key.id,))
    control._db.execute("UPDATE followed_at SET in_step = in_step - ?", (AWAY_MS + 60_000,))
    control.close()

    again = shared.control(keyring, clock, "one")

    assert again.list_keys() == [key]
    assert again.find_key(secret) == key
    assert again.get_set_aside(aside).raw == b"kept"
