"""The list of destroyed keys holds against every keyring, and nothing of a key stays where it lay."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.erasure.canaries import files_in
from tests.thorough import examples
from touchbook.errors import FormatUnknown, KeyDestroyed
from touchbook.sealing import new_key_id
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.destroyed import DestroyedKeys

OLD = """
DROP TABLE data_keys; DROP TABLE destroyed_list;
CREATE TABLE data_keys (key_id TEXT PRIMARY KEY, owner TEXT NOT NULL, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX data_keys_by_owner ON data_keys (owner);
CREATE TABLE destroyed_keys (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
"""The tables of a keyring of version 0.1."""


def wrapped_in(data: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(data / "keyring.sqlite")) as db:
        return dict(db.execute("SELECT owner, wrapped FROM data_keys"))


def left_of(data: Path, wrapped: list[bytes]) -> int:
    content = b"".join(file.read_bytes() for file in files_in(data))
    return sum(one in content or one[12:44] in content for one in wrapped)


def test_nothing_of_a_key_is_left_however_the_others_came_and_went(tmp_path: Path) -> None:
    draw = random.Random(11)
    owners = [draw.randbytes(16).hex() for _ in range(3_000)]
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        for start in range(0, len(owners), 150):
            keyring.data_keys(owners[start : start + 150])
            if start % 450 == 0:
                keyring.destroy(owners[start : start + 150 : 9])
        wrapped = wrapped_in(tmp_path)
        going = draw.sample([owner for owner in owners if owner in wrapped], 400)
        for start in range(0, len(going), 20):
            keyring.destroy(going[start : start + 20])

        assert left_of(tmp_path, [wrapped[owner] for owner in going]) == 0
        staying = [one for owner, one in wrapped.items() if owner not in going and not owner.startswith("-")]
        assert left_of(tmp_path, staying) == len(staying) > 2_000


def test_a_keyring_of_version_0_1_is_taken_over_with_what_it_destroyed(tmp_path: Path) -> None:
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        [ann, bob] = keyring.data_keys(["ann", "bob"])
        wrapped = wrapped_in(tmp_path)
    gone = new_key_id()
    with closing(sqlite3.connect(tmp_path / "keyring.sqlite")) as db:
        db.executescript(OLD)
        rows = [(ann.key_id, "ann", wrapped["ann"]), (bob.key_id, "bob", wrapped["bob"])]
        db.executemany("INSERT INTO data_keys VALUES (?, ?, ?)", rows)
        db.execute("INSERT INTO destroyed_keys VALUES (?)", (gone,))
        db.commit()
    (tmp_path / "destroyed-keys.txt").unlink()

    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        assert keyring.data_keys(["ann", "bob"]) == [ann, bob]
        assert keyring.destroyed() == [gone]
        keyring.destroy(["ann"])
        assert left_of(tmp_path, [wrapped["ann"]]) == 0


def test_a_list_that_was_lost_is_made_again_from_what_the_keyring_knows(tmp_path: Path) -> None:
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        keyring.data_keys(["ann", "bob"])
        destroyed = keyring.destroy(["ann"])
    (tmp_path / "destroyed-keys.txt").unlink()

    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        assert keyring.destroyed() == destroyed


def test_two_keyrings_may_share_a_list(tmp_path: Path) -> None:
    shared = tmp_path / "list.txt"
    with (
        closing(SqliteKeyring.at(tmp_path / "one", destroyed_keys=shared)) as one,
        closing(SqliteKeyring.at(tmp_path / "two", destroyed_keys=shared)) as two,
    ):
        [kept] = two.data_keys(["ann"])
        one.data_keys(["ann"])
        gone = one.destroy(["ann"])
        assert two.key(kept.key_id) == kept.key
    with closing(SqliteKeyring.at(tmp_path / "two", destroyed_keys=shared)) as two:
        assert two.key(kept.key_id) == kept.key
        assert two.destroyed() == gone


def test_a_name_on_the_list_destroys_the_key_at_the_next_start(tmp_path: Path) -> None:
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        [ann] = keyring.data_keys(["ann"])
        keyring.list.append([ann.key_id])
    with closing(SqliteKeyring.at(tmp_path)) as keyring:
        with pytest.raises(KeyDestroyed):
            keyring.key(ann.key_id)
        assert keyring.data_keys(["ann"]) != [ann]


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64), max_size=4), max_size=6), st.data())
def test_the_list_holds_what_it_was_given_whatever_a_crash_cut_off(
    numbers: list[list[int]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        destroyed = DestroyedKeys(Path(folder) / "list.txt")
        kept: list[str] = []
        for some in ([f"{number:032x}" for number in group] for group in numbers):
            before = destroyed.size()
            place = destroyed.append(some)
            assert destroyed.read(before) == some
            kept += some
            if some and data.draw(st.booleans()):  # a crash: nobody was told that the last line was kept
                os.truncate(destroyed.file, place - data.draw(st.integers(2, 32)))
                kept.pop()

        assert DestroyedKeys(destroyed.file).read() == kept


def test_another_file_is_not_taken_for_the_list(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keys: none\n")

    with pytest.raises(FormatUnknown):
        DestroyedKeys(tmp_path / "notes.txt")


def test_who_heeded_in_the_middle_of_a_destruction_heeds_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = DestroyedKeys.append
    with closing(SqliteKeyring.at(tmp_path)) as keyring, closing(SqliteKeyring.at(tmp_path)) as other:
        [ann] = keyring.data_keys(["ann"])

        def appended(destroyed: DestroyedKeys, key_ids: Iterable[str]) -> int:
            place = append(destroyed, key_ids)
            other.heed()
            assert other.key(ann.key_id) == ann.key, "it is named, and not gone yet"
            return place

        monkeypatch.setattr(DestroyedKeys, "append", appended)
        keyring.destroy(["ann"])
        other.heed()

        with pytest.raises(KeyDestroyed):
            other.key(ann.key_id)
