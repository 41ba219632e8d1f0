"""What is true of control.sqlite alone; what every adapter promises is in tests/contracts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.items import item
from tests.streams.touchpoints import Clock
from tests.thorough import examples
from touchbook.errors import Refused
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.control import ROLES, Control

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
        opened.append(SqliteControl.at(tmp_path, keyring, clock))
        return opened[-1]

    yield open_control
    for control in opened:
        control.close()


@pytest.fixture
def control(open_control: Open) -> Control:
    return open_control()


# Access keys


@pytest.mark.parametrize("role", ROLES)
def test_a_secret_names_its_role_and_holds_256_random_bits(control: Control, role: str) -> None:
    secrets = {control.create_key(role, "shop")[1] for _ in range(3)}

    assert len(secrets) == 3
    assert {(secret.startswith(f"tb_{role}_"), len(secret)) for secret in secrets} == {
        (True, len(f"tb_{role}_") + 43)
    }


@pytest.mark.parametrize("guess", ["", "tb_publish_", "tb_admin_" + "A" * 43, "\ud800", "ключ"])
def test_what_is_no_secret_opens_nothing(control: Control, guess: str) -> None:
    control.create_key("publish", "shop")

    assert control.find_key(guess) is None


def test_a_key_can_be_made_before_anything_else_was_started(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
directory = Path({str(tmp_path / "new")!r})
print(SqliteControl.at(directory, SqliteKeyring.at(directory), lambda: 0).create_key("publish", "shop")[1])
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    secrets = [process.communicate(timeout=60)[0].strip() for process in processes]

    with (
        closing(SqliteKeyring.at(tmp_path / "new")) as keyring,
        closing(SqliteControl.at(tmp_path / "new", keyring, Clock())) as control,
    ):
        assert [key.source for secret in secrets if (key := control.find_key(secret))] == ["shop"] * 3


def test_a_file_from_before_keys_had_names_is_opened_with_its_keys(
    open_control: Open, tmp_path: Path
) -> None:
    old, secret = open_control().create_key("publish", "shop")
    with closing(sqlite3.connect(tmp_path / "control.sqlite")) as before:
        before.execute("ALTER TABLE access_keys DROP COLUMN name")

    control = open_control()

    assert control.find_key(secret) == old
    assert control.create_key("agent", "desk", name="Ines Costa")[0] in control.list_keys()


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


@settings(max_examples=examples(25), deadline=None)
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
        closing(SqliteControl.at(directory, keyring, Clock())) as control,
    ):
        [key] = control.set_aside([item(raw=raw, inherited=inherited)])

        kept = control.get_set_aside(key)
        assert (kept.raw, kept.inherited) == (raw, inherited)


def test_a_write_that_failed_half_way_leaves_nothing_and_the_next_one_works(control: Control) -> None:
    with pytest.raises(UnicodeEncodeError):
        control.set_aside([item(), item(code="\ud800")])
    assert control.list_set_aside() == ([], None)

    assert len(control.set_aside([item()])) == 1


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


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 19, "１"])
def test_a_cursor_from_elsewhere_is_refused(control: Control, cursor: str) -> None:
    with pytest.raises(Refused, match="cursor"):
        control.list_set_aside(cursor=cursor)
