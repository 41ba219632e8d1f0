from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.touchpoints import Clock
from touchbook.errors import AccessKeyUnknown, Refused, SetAsideUnknown
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.control import FRESH_SECONDS, ROLES, AccessKey, Control, SetAside

Open = Callable[[], Control]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000)


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[SqliteKeyring]:
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        yield keyring


@pytest.fixture
def open_control(tmp_path: Path, keyring: SqliteKeyring, clock: Clock) -> Iterator[Open]:
    """Opened again, it is another process' look at the same file."""
    opened: list[Control] = []

    def open_control() -> Control:
        opened.append(Control.at(tmp_path, keyring, clock))
        return opened[-1]

    yield open_control
    for control in opened:
        control.close()


@pytest.fixture
def control(open_control: Open) -> Control:
    return open_control()


def item(key: str = "", **fields: Any) -> SetAside:
    made: dict[str, Any] = {
        "reason": "properties.total: expected a number",
        "code": "field_invalid",
        "source": "shop",
        "channel": "web_chat",
        "route": "segment",
        "inherited": {"context": {"locale": "ru-RU"}},
        "received_at": 500,
        "raw": b'{"type": "track"}',
        "sent_at": None,
    }
    return SetAside(key, **(made | fields))


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60 * FRESH_SECONDS
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def files_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


# Access keys


def test_a_key_is_found_by_its_secret(control: Control) -> None:
    key, secret = control.create_key("publish", "web-shop", "web_chat", ["https://shop.example.test"])

    assert control.find_key(secret) == key
    assert key == AccessKey(key.id, "publish", "web-shop", "web_chat", ("https://shop.example.test",), 1_000)


@pytest.mark.parametrize("role", ROLES)
def test_a_secret_names_its_role_and_holds_256_random_bits(control: Control, role: str) -> None:
    secrets = {control.create_key(role, "shop")[1] for _ in range(3)}

    assert len(secrets) == 3
    assert {(secret.startswith(f"tb_{role}_"), len(secret)) for secret in secrets} == {
        (True, len(f"tb_{role}_") + 43)
    }


def test_a_secret_is_kept_nowhere(control: Control, tmp_path: Path) -> None:
    key, secret = control.create_key("admin", "ops")

    assert secret.encode() not in files_of(tmp_path)
    assert secret[-43:].encode() not in files_of(tmp_path)
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in files_of(tmp_path)
    assert secret not in repr(key)


@pytest.mark.parametrize("guess", ["", "tb_publish_", "tb_admin_" + "A" * 43, "\ud800", "ключ"])
def test_what_is_no_secret_opens_nothing(control: Control, guess: str) -> None:
    control.create_key("publish", "shop")

    assert control.find_key(guess) is None


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


def test_a_key_can_be_made_before_anything_else_was_started(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.control import Control
directory = Path({str(tmp_path / "new")!r})
print(Control.at(directory, SqliteKeyring.at(directory), lambda: 0).create_key("publish", "shop")[1])
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    secrets = [process.communicate(timeout=60)[0].strip() for process in processes]

    with (
        closing(SqliteKeyring.at(tmp_path / "new")) as keyring,
        closing(Control.at(tmp_path / "new", keyring, Clock())) as control,
    ):
        assert [key.source for secret in secrets if (key := control.find_key(secret))] == ["shop"] * 3


def test_a_change_waits_for_another_process_that_is_writing(control: Control, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "control.sqlite", isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            creating = threads.submit(control.create_key, "publish", "shop")
            assert control.find_key("tb_publish_x") is None  # looking up does not wait
            other.execute("ROLLBACK")
            key, secret = creating.result(60)

    assert control.find_key(secret) == key


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("role", {"role": "root"}),
        ("source", {"source": ""}),
        ("source", {"source": "Shop"}),
        ("source", {"source": "-shop"}),
        ("source", {"source": "shop\n"}),
        ("source", {"source": "магазин"}),
        ("source", {"source": "s" * 65}),
        ("channel", {"channel": "web chat"}),
        ("origins", {"origins": ["https://shop.example.test/path"]}),
        ("origins", {"origins": ["*"]}),
        ("origins", {"origins": ["null"]}),
        ("origins", {"role": "agent", "origins": ["https://shop.example.test"]}),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_by_name(
    control: Control, named: str, given: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=rf"^{named}: expected|^{named}: only") as refused:
        control.create_key(**({"role": "publish", "source": "shop"} | given))

    assert refused.value.status == 400
    assert control.list_keys() == []


@pytest.mark.parametrize("source", ["a", "web-shop", "shop.example_2", "7", "s" * 64])
def test_a_source_is_a_plain_name(control: Control, source: str) -> None:
    assert control.create_key("publish", source)[0].source == source


# Set aside


def test_what_was_set_aside_is_read_back_as_it_was(control: Control) -> None:
    given = item("a" * 32, raw="Сырые байты \0\xff".encode("latin-1", "replace"), sent_at=7, channel=None)

    assert control.set_aside([given]) == ["a" * 32]
    assert control.get_set_aside("a" * 32) == given
    assert control.list_set_aside() == ([given], None)


@settings(max_examples=25, deadline=None)
@given(
    raw=st.binary(max_size=200),
    inherited=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.floats(allow_nan=False)),
)
def test_whatever_was_sent_can_be_set_aside(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, inherited: dict[str, Any]
) -> None:
    directory = tmp_path_factory.mktemp("control")
    with (
        closing(SqliteKeyring.at(directory)) as keyring,
        closing(Control.at(directory, keyring, Clock())) as control,
    ):
        [key] = control.set_aside([item(raw=raw, inherited=inherited)])

        kept = control.get_set_aside(key)
        assert (kept.raw, kept.inherited) == (raw, inherited)


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


def test_a_write_that_failed_half_way_leaves_nothing_and_the_next_one_works(control: Control) -> None:
    with pytest.raises(UnicodeEncodeError):
        control.set_aside([item(), item(code="\ud800")])
    assert control.list_set_aside() == ([], None)

    assert len(control.set_aside([item()])) == 1


def test_nothing_is_set_aside_when_nothing_is_given(control: Control) -> None:
    assert control.set_aside([]) == []
    assert control.list_set_aside() == ([], None)


def test_no_file_holds_clear_text_of_what_was_set_aside(control: Control, tmp_path: Path) -> None:
    control.set_aside([item(raw=b'{"email": "ann@example.test"}', inherited={"ip": "198.51.100.7"})])

    assert [secret for secret in (b"ann@example.test", b"198.51.100.7") if secret in files_of(tmp_path)] == []


def test_a_part_cannot_pass_for_another_item_s(control: Control, tmp_path: Path) -> None:
    one, two = control.set_aside([item(raw=b"1"), item(raw=b"2")])
    with closing(sqlite3.connect(tmp_path / "control.sqlite")) as db, db:
        db.execute(
            "UPDATE set_aside SET raw = other.raw, key_id = other.key_id "
            "FROM set_aside AS other WHERE other.key = ? AND set_aside.key = ?",
            (two, one),
        )

    with pytest.raises(Exception, match="cannot be read"):
        control.get_set_aside(one)


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


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 19, "１"])
def test_a_cursor_from_elsewhere_is_refused(control: Control, cursor: str) -> None:
    with pytest.raises(Refused, match="cursor"):
        control.list_set_aside(cursor=cursor)


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


def test_many_threads_set_aside_at_once(control: Control) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: control.set_aside([item(), item()]), range(30))
        keys = [key for answer in answers for key in answer]

    assert {kept.key for kept in control.list_set_aside(limit=100)[0]} == set(keys)
    assert len(set(keys)) == 60


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
