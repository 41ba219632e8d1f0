"""The promises of the store of access keys and of what was set aside, kept by every adapter."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.streams.items import item
from tests.streams.sharing import Shared
from tests.streams.touchpoints import Clock
from touchbook.errors import AccessKeyUnknown, Refused, SetAsideUnknown
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.control import ROLES, AccessKey, AsideGroup, Control

PATIENCE = 30.0
Open = Callable[[], Control]


class SqliteShelf:
    """Where what a test keeps lies. Opened again, it is another process' look at the same."""

    rounds = 30
    """How often a test repeats what takes this adapter long."""

    def __init__(self, directory: Path, keyring: SqliteKeyring, request: pytest.FixtureRequest) -> None:
        self._directory = directory
        self._keyring = keyring
        self._opened: list[SqliteControl] = []

    def open(self, clock: Clock) -> Control:
        self._opened.append(SqliteControl.at(self._directory, self._keyring, clock))
        return self._opened[-1]

    def close(self) -> None:
        for control in self._opened:
            control.close()


class KafkaShelf:
    """The same through a real broker: each process with a directory of its own."""

    rounds = 5

    def __init__(self, directory: Path, keyring: SqliteKeyring, request: pytest.FixtureRequest) -> None:
        self._keyring = keyring
        self._shared = Shared(request.getfixturevalue("kafka"), directory)

    def open(self, clock: Clock) -> Control:
        return self._shared.control(self._keyring, clock)

    def close(self) -> None:
        self._shared.close()


Shelf = SqliteShelf | KafkaShelf


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000)


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[SqliteKeyring]:
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        yield keyring


@pytest.fixture(params=[SqliteShelf, pytest.param(KafkaShelf, marks=pytest.mark.server)])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, keyring: SqliteKeyring) -> Iterator[Shelf]:
    with closing(request.param(tmp_path, keyring, request)) as shelf:
        yield shelf


@pytest.fixture
def open_control(shelf: Shelf, clock: Clock) -> Open:
    return lambda: shelf.open(clock)


@pytest.fixture
def control(open_control: Open) -> Control:
    return open_control()


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def files_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


def test_a_key_is_found_by_its_secret(control: Control) -> None:
    key, secret = control.create_key("publish", "web-shop", "web_chat", ["https://shop.example.test"])

    assert control.find_key(secret) == key
    assert key == AccessKey(key.id, "publish", "web-shop", "web_chat", ("https://shop.example.test",), 1_000)


def test_a_key_bears_the_name_of_the_person_who_has_it_revoked_too(control: Control) -> None:
    key, secret = control.create_key("agent", "desk", name="Ines Costa")
    unnamed, _ = control.create_key("agent", "desk")

    assert (key.name, unnamed.name) == ("Ines Costa", None)
    assert control.find_key(secret) == key
    assert control.revoke_key(key.id).name == "Ines Costa"
    assert {one.name for one in control.list_keys()} == {"Ines Costa", None}


@pytest.mark.parametrize("name", ["", " ", " Ines", "two\nlines", "x" * 101, "\x00"])
def test_a_name_that_is_none_is_refused_and_no_key_is_made(control: Control, name: str) -> None:
    with pytest.raises(Refused, match="name: expected that of a person") as refused:
        control.create_key("agent", "desk", name=name)
    assert (refused.value.status, refused.value.code) == (400, "name_invalid")
    assert control.list_keys() == []


def test_a_secret_is_kept_nowhere(control: Control, tmp_path: Path) -> None:
    key, secret = control.create_key("admin", "ops")

    assert secret.encode() not in files_of(tmp_path)
    assert secret[-43:].encode() not in files_of(tmp_path)
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in files_of(tmp_path)
    assert secret not in repr(key)


def test_a_key_with_origins_is_public(control: Control) -> None:
    assert control.create_key("publish", "page", origins=["http://localhost:8080"])[0].public
    assert not control.create_key("publish", "shop")[0].public


def test_a_revoked_key_opens_nothing_from_then_on(control: Control, clock: Clock) -> None:
    key, secret = control.create_key("agent", "desk")
    other, other_secret = control.create_key("agent", "desk")
    clock.now = 2_000

    assert control.revoke_key(key.id) == replace(key, revoked_at=2_000)

    assert control.find_key(secret) is None
    assert control.find_key(other_secret) == other


def test_a_key_revoked_again_keeps_its_first_time(control: Control, clock: Clock) -> None:
    key, _ = control.create_key("agent", "desk")
    control.revoke_key(key.id)
    clock.now = 9_000

    assert control.revoke_key(key.id).revoked_at == 1_000


def test_a_key_that_never_was_cannot_be_revoked(control: Control) -> None:
    with pytest.raises(AccessKeyUnknown, match="nothing-like-it"):
        control.revoke_key("nothing-like-it")


def test_keys_are_listed_oldest_first_with_those_revoked(control: Control, clock: Clock) -> None:
    sources = ["c", "a", "b"]
    for source in sources:
        clock.now += 1
        control.create_key("publish", source)
    revoked = control.revoke_key(control.list_keys()[1].id)

    assert [key.source for key in control.list_keys()] == sources
    assert [key for key in control.list_keys() if key.revoked_at] == [revoked]


def test_a_key_made_or_revoked_by_another_process_counts_while_this_one_runs(
    control: Control, open_control: Open
) -> None:
    assert control.find_key("tb_publish_x") is None
    other = open_control()

    key, secret = other.create_key("publish", "shop")
    assert eventually(lambda: control.find_key(secret) == key)

    other.revoke_key(key.id)
    assert eventually(lambda: control.find_key(secret) is None)


def test_what_was_set_aside_is_read_back_as_it_was(control: Control) -> None:
    given = item("a" * 32, raw="Сырые байты \0\xff".encode("latin-1", "replace"), sent_at=7, channel=None)

    assert control.set_aside([given]) == ["a" * 32]
    assert control.get_set_aside("a" * 32) == given
    assert control.list_set_aside() == ([given], None)


def test_odd_text_and_numbers_do_not_keep_an_item_from_being_set_aside(control: Control) -> None:
    [key] = control.set_aside([item(reason="\ud800: expected", inherited={"x": float("inf"), "\ud800": 1})])

    kept = control.get_set_aside(key)
    assert kept.reason == "\\ud800: expected"
    assert kept.inherited == {"x": float("inf"), "\ud800": 1}


def test_items_without_a_key_get_one_each(control: Control) -> None:
    keys = control.set_aside([item(raw=b"1"), item(raw=b"2")])

    assert len(set(keys)) == 2
    assert [control.get_set_aside(key).raw for key in keys] == [b"1", b"2"]


def test_an_item_set_aside_again_under_its_key_stays_as_it_was(control: Control) -> None:
    control.set_aside([item("a" * 32, raw=b"first")])
    control.set_aside([item("a" * 32, raw=b"second")])

    assert [kept.raw for kept in control.list_set_aside()[0]] == [b"first"]


def test_nothing_is_set_aside_when_nothing_is_given(control: Control) -> None:
    assert control.set_aside([]) == []
    assert control.list_set_aside() == ([], None)


def test_no_file_holds_clear_text_of_what_was_set_aside(control: Control, tmp_path: Path) -> None:
    control.set_aside([item(raw=b'{"email": "ann@example.test"}', inherited={"ip": "198.51.100.7"})])

    assert [secret for secret in (b"ann@example.test", b"198.51.100.7") if secret in files_of(tmp_path)] == []


def test_pages_go_from_newest_to_oldest_and_stay_true_while_items_come_and_go(control: Control) -> None:
    keys = control.set_aside([item(raw=str(n).encode()) for n in range(10)])

    first, cursor = control.list_set_aside(limit=4)
    control.set_aside([item(raw=b"later")])
    control.mark_redriven(keys[9])
    control.mark_redriven(keys[3])
    second, cursor = control.list_set_aside(limit=4, cursor=cursor)
    third, end = control.list_set_aside(limit=4, cursor=cursor)

    assert [[kept.raw for kept in page] for page in (first, second, third)] == [
        [b"9", b"8", b"7", b"6"],
        [b"5", b"4", b"2", b"1"],
        [b"0"],
    ]
    assert end is None


def test_a_full_last_page_has_no_next(control: Control) -> None:
    control.set_aside([item() for _ in range(4)])

    assert control.list_set_aside(limit=4)[1] is None


def test_a_source_sees_its_own(control: Control) -> None:
    control.set_aside([item(source="shop" if n % 3 else "bot", raw=str(n).encode()) for n in range(9)])

    page, cursor = control.list_set_aside("bot", limit=2)
    rest, end = control.list_set_aside("bot", limit=2, cursor=cursor)

    assert [kept.raw for kept in page + rest] == [b"6", b"3", b"0"]
    assert end is None


def test_what_was_redriven_is_set_aside_no_longer_and_its_bytes_are_gone(
    control: Control, keyring: SqliteKeyring
) -> None:
    gone, stays = control.set_aside([item(), item()])

    control.mark_redriven(gone)
    control.mark_redriven(gone)

    assert [kept.key for kept in control.list_set_aside()[0]] == [stays]
    assert len(keyring.destroyed()) == 1
    with pytest.raises(SetAsideUnknown, match=gone):
        control.get_set_aside(gone)


def test_what_is_old_expires(control: Control, keyring: SqliteKeyring) -> None:
    control.set_aside([item(received_at=at, raw=str(at).encode()) for at in (100, 199, 200, 300)])

    assert control.expire(older_than=200) == 2
    assert control.expire(older_than=200) == 0

    assert [kept.raw for kept in control.list_set_aside()[0]] == [b"300", b"200"]
    assert len(keyring.destroyed()) == 2


def test_an_item_whose_key_is_gone_already_is_not_shown(control: Control, keyring: SqliteKeyring) -> None:
    gone, stays = control.set_aside([item(), item()])
    keyring.destroy([f"set-aside:{gone}"])  # as a removal does that was interrupted half way

    assert [kept.key for kept in control.list_set_aside()[0]] == [stays]
    control.mark_redriven(gone)
    assert [kept.key for kept in control.list_set_aside()[0]] == [stays]


def test_many_threads_set_aside_at_once(control: Control, shelf: Shelf) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: control.set_aside([item(), item()]), range(shelf.rounds))
        keys = [key for answer in answers for key in answer]

    assert {kept.key for kept in control.list_set_aside(limit=100)[0]} == set(keys)
    assert len(set(keys)) == 2 * shelf.rounds


def test_what_was_set_aside_and_keys_are_there_after_a_restart(control: Control, open_control: Open) -> None:
    key, secret = control.create_key("publish", "shop")
    [aside] = control.set_aside([item(raw=b"kept")])
    control.close()
    control.close()

    again = open_control()

    assert again.find_key(secret) == key
    assert again.get_set_aside(aside).raw == b"kept"
    assert json.dumps(again.get_set_aside(aside).inherited) == json.dumps(item().inherited)


def test_a_source_belongs_to_web_pages_or_to_services_never_to_both(control: Control) -> None:
    control.create_key("publish", "shop")
    control.create_key("read-scores", "page")
    control.create_key("publish", "page", origins=["https://shop.example.test"])
    for source, origins in (("shop", ["https://shop.example.test"]), ("page", [])):
        with pytest.raises(Refused, match="expected one of its own") as refused:
            control.create_key("publish", source, origins=origins)
        assert (refused.value.status, refused.value.code) == (400, "source_taken")


@pytest.mark.parametrize("role", ROLES)
def test_nobody_gets_a_key_for_what_the_server_itself_records(control: Control, role: str) -> None:
    with pytest.raises(Refused, match="server's own") as refused:
        control.create_key(role, "touchbook")
    assert (refused.value.status, refused.value.code) == (400, "source_reserved")
    assert control.list_keys() == []


def test_what_was_set_aside_is_counted_by_source_and_reason_and_its_keys_are_told(control: Control) -> None:
    reused = {"code": "id_reused", "reason": "this id was used before"}
    crm = control.set_aside([item(source="crm", received_at=at, raw=b"%d" % at) for at in (1, 5, 3)])
    other = control.set_aside([item(source="crm", received_at=9, raw=b"x", **reused)])
    control.set_aside([item(source="till", received_at=7, raw=b"y")])

    wrong = ("field_invalid", "properties.total: expected a number")
    assert control.groups_set_aside() == [
        AsideGroup("crm", *reused.values(), 1, 9),
        AsideGroup("till", *wrong, 1, 7),
        AsideGroup("crm", *wrong, 3, 5),
    ]
    assert control.groups_set_aside(limit=1) == [AsideGroup("crm", *reused.values(), 1, 9)]
    assert control.sources_set_aside() == {"crm": 4, "till": 1}
    assert control.keys_set_aside("crm", wrong) == crm
    assert control.keys_set_aside("crm") == crm + other
    assert control.keys_set_aside("crm", limit=2) == crm[:2]
    assert control.keys_set_aside("nobody") == []
