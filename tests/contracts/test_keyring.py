"""The promises of the keyring, kept by every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.streams.sharing import Shared
from touchbook.errors import KeyDestroyed
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.keyring import Keyring


class SqliteShelf:
    """Where the keyring of a test lies. `open` again is another process' look at the same keyring."""

    rounds = 50
    """How often a test repeats what takes this adapter long."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._directory = directory
        self._opened: list[SqliteKeyring] = []

    def open(self) -> SqliteKeyring:
        self._opened.append(SqliteKeyring.at(self._directory))
        return self._opened[-1]

    def close(self) -> None:
        for keyring in self._opened:
            keyring.close()


class KafkaShelf:
    """The same through a real broker: `open` is a process with a directory of its own."""

    rounds = 3

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._shared = Shared(request.getfixturevalue("kafka"), directory)

    def open(self) -> KafkaKeyring:
        return self._shared.keyring()

    def close(self) -> None:
        self._shared.close()


Shelf = SqliteShelf | KafkaShelf


@pytest.fixture(params=[SqliteShelf, pytest.param(KafkaShelf, marks=pytest.mark.server)])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    shelf = request.param(tmp_path, request)
    yield shelf
    shelf.close()


@pytest.fixture
def keyring(shelf: Shelf) -> Keyring:
    return shelf.open()


def test_an_owner_keeps_his_key_and_shares_it_with_nobody(keyring: Keyring) -> None:
    ann, bob, ann_again = keyring.data_keys(["ann", "bob", "ann"])

    assert ann == ann_again
    assert ann.key_id != bob.key_id
    assert ann.key != bob.key
    assert keyring.data_keys(["bob", "ann"]) == [bob, ann]


def test_keys_are_256_bits_and_their_names_128_random_ones(keyring: Keyring) -> None:
    keys = keyring.data_keys([str(n) for n in range(100)])

    assert {(len(key), len(bytes.fromhex(key_id))) for key_id, key in keys} == {(32, 16)}
    assert len({key_id for key_id, _ in keys}) == len({key for _, key in keys}) == 100


def test_a_key_is_found_by_its_name(keyring: Keyring) -> None:
    [ann] = keyring.data_keys(["ann"])

    assert keyring.key(ann.key_id) == ann.key


def test_a_key_that_was_handed_out_is_there_for_everyone(keyring: Keyring, shelf: Shelf) -> None:
    [ann] = keyring.data_keys(["ann"])

    assert shelf.open().key(ann.key_id) == ann.key
    assert shelf.open().data_keys(["ann"]) == [ann]


def test_nobody_asked_for_nothing(keyring: Keyring) -> None:
    assert keyring.data_keys([]) == []
    assert keyring.destroy([]) == []


def test_a_name_that_names_no_key_opens_nothing(keyring: Keyring) -> None:
    with pytest.raises(KeyDestroyed):
        keyring.key("0" * 32)


def test_a_destroyed_key_is_gone_for_everyone(keyring: Keyring, shelf: Shelf) -> None:
    ann, bob = keyring.data_keys(["ann", "bob"])

    assert keyring.destroy(["ann", "nobody"]) == [ann.key_id]

    for anyone in (keyring, shelf.open()):
        with pytest.raises(KeyDestroyed):
            anyone.key(ann.key_id)
        assert anyone.key(bob.key_id) == bob.key


def test_an_owner_who_returns_gets_a_new_key(keyring: Keyring) -> None:
    [before] = keyring.data_keys(["ann"])
    keyring.destroy(["ann"])

    [after] = keyring.data_keys(["ann"])

    assert after.key_id != before.key_id
    assert after.key != before.key


def test_destroying_again_destroys_nothing(keyring: Keyring) -> None:
    keyring.data_keys(["ann"])
    keyring.destroy(["ann"])

    assert keyring.destroy(["ann"]) == []


def test_destroyed_keys_are_remembered_by_name(keyring: Keyring, shelf: Shelf) -> None:
    ann, bob = keyring.data_keys(["ann", "bob"])
    keyring.destroy(["ann"])
    keyring.destroy(["bob"])

    assert shelf.open().destroyed() == sorted([ann.key_id, bob.key_id])


def test_permanent_ids_are_the_same_for_ever(keyring: Keyring, shelf: Shelf) -> None:
    ann = Identifier("email", "ann@example.test")

    assert shelf.open().identity_key.id_of(ann) == keyring.identity_key.id_of(ann)


def test_many_threads_get_one_key_per_owner(keyring: Keyring) -> None:
    owners = [str(n) for n in range(300)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: keyring.data_keys(owners), range(16)))

    assert all(answer == answers[0] for answer in answers)


def test_a_key_destroyed_while_others_read_is_not_kept_by_any_of_them(keyring: Keyring, shelf: Shelf) -> None:
    def found(key_id: str) -> bool:
        try:
            keyring.key(key_id)
        except KeyDestroyed:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        for n in range(shelf.rounds):
            [key] = keyring.data_keys([str(n)])
            reads = [threads.submit(found, key.key_id) for _ in range(20)]
            keyring.destroy([str(n)])
            assert not found(key.key_id)
            for read in reads:
                read.result(30)
            assert not found(key.key_id)


def test_the_names_of_an_owner_s_keys_are_told_and_nobody_else_s(keyring: Keyring) -> None:
    ann, _ = keyring.data_keys(["ann", "bob"])

    assert keyring.key_ids(["ann", "nobody"]) == [ann.key_id]
    keyring.destroy(["ann"])
    assert keyring.key_ids(["ann"]) == []


def test_keys_destroyed_by_name_leave_an_owner_what_he_has_got_since(keyring: Keyring, shelf: Shelf) -> None:
    [before] = keyring.data_keys(["ann"])
    keyring.destroy_keys([before.key_id])
    [after] = keyring.data_keys(["ann"])

    keyring.destroy_keys([before.key_id, "0" * 32])

    assert keyring.data_keys(["ann"]) == shelf.open().data_keys(["ann"]) == [after]
    assert keyring.destroyed() == [before.key_id]
    with pytest.raises(KeyDestroyed):
        keyring.key(before.key_id)


def test_who_heeds_has_forgotten_what_another_process_destroyed(keyring: Keyring, shelf: Shelf) -> None:
    ann, bob = keyring.data_keys(["ann", "bob"])
    other = shelf.open()
    assert [other.key(one.key_id) for one in (ann, bob)] == [ann.key, bob.key]

    keyring.destroy(["ann"])
    other.heed()

    with pytest.raises(KeyDestroyed):
        other.key(ann.key_id)
    assert other.key(bob.key_id) == bob.key
    assert other.data_keys(["ann"]) != [ann]


def test_what_was_sealed_with_keys_that_are_still_there_may_be_acknowledged(keyring: Keyring) -> None:
    keyring.confirm([key_id for key_id, _ in keyring.data_keys(["ann", "bob"])])
    keyring.confirm([])
