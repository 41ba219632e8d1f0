"""The keyring in an SQLite file of its own, apart from the journal it opens."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from touchbook.errors import BodyUnreadable, KeyDestroyed, NotATouchbook, RestoreUnfinished, WrongMasterKey
from touchbook.recent import Recent
from touchbook.sealing import KEY_BYTES, IdentityKey, forget_keys, new_key, new_key_id, unwrap, wrap
from touchbook.streams.backends.sqlite import (
    BUSY_SECONDS,
    connect,
    connect_still,
    create_tables,
    insert,
    probe,
    statement,
    transaction,
)
from touchbook.streams.destroyed import FILE as LIST_FILE
from touchbook.streams.destroyed import DestroyedKeys
from touchbook.streams.files import make_directory, sync, unfinished, write_once
from touchbook.streams.keyring import DataKey

FILE = "keyring.sqlite"
MASTER_KEY_FILE = "master.key"
CACHED_KEYS = 100_000
"""Unwrapped keys kept in memory, about 30 MB when full."""


class SqliteKeyring:
    """See `Keyring`. Several processes may have it open. Each forgets at once what it destroyed itself, and what
    another did when it is told to `heed` that; so customers are erased by the one process that writes the journal, and
    the others heed where they meet the erasure in it.

    The names of destroyed keys stand in a file of their own (`streams.destroyed`). They are on the disk there before
    the keys go, and whoever opens the keyring destroys what the list names: an erasure that was cut short is completed,
    and a keyring that comes from a backup brings nothing back.
    """

    @classmethod
    def at(
        cls,
        directory: Path,
        master_key: Path | None = None,
        *,
        create: bool = True,
        cached_keys: int = CACHED_KEYS,
        destroyed_keys: Path | None = None,
    ) -> Self:
        """Opens DIR/keyring.sqlite; on the first start makes it, its identity key and the master key file.

        `master_key` is the file of the master key, by default DIR/master.key; an existing one is used.
        `destroyed_keys` is the list of destroyed keys, by default in DIR too. Raises WrongMasterKey if it is not the
        file this keyring was made with, NotATouchbook if there is no keyring and `create` is not set,
        RestoreUnfinished if DIR is one that a restore has only begun to fill.
        """
        file = master_key or directory / MASTER_KEY_FILE
        if unfinished(directory):
            raise RestoreUnfinished(str(directory))
        if not create and not (directory / FILE).exists():
            raise NotATouchbook(str(directory))
        db = opened(directory)
        try:
            destroyed = DestroyedKeys(destroyed_keys or directory / LIST_FILE)
            return cls(db, *_opened(db, file), cached_keys, destroyed)
        except BaseException:
            db.close()
            raise

    def __init__(
        self,
        db: sqlite3.Connection,
        master: bytes,
        identity_key: IdentityKey,
        cached_keys: int,
        destroyed: DestroyedKeys,
    ) -> None:
        self._db = db
        self._master = master
        self._identity_key = identity_key
        self.list = destroyed
        # Held over every use of the file and over what it changes in the caches, so that a key that is being
        # destroyed cannot be cached again by a thread that had just read it.
        self._lock = threading.Lock()
        self._by_owner: Recent[str, DataKey] = Recent(cached_keys)
        self._by_id: Recent[str, bytes] = Recent(cached_keys)
        self._behind = True
        """Whether the list may name keys that are still here."""
        self._heeded = 0
        """SQLite's number for what other connections had committed when the caches were last emptied for their sake."""
        with self._lock:
            self._keep_up()

    @property
    def identity_key(self) -> IdentityKey:
        return self._identity_key

    def data_keys(self, owners: Sequence[str]) -> list[DataKey]:
        keys = self._by_owner.get_all(owners)
        if missing := [owner for owner in dict.fromkeys(owners) if owner not in keys]:
            with self._lock:
                self._keep_up()
                found = self._read(missing)
                found |= self._made([owner for owner in missing if owner not in found])
                self._remember(found)
            keys |= found
        return [keys[owner] for owner in owners]

    def confirm(self, key_ids: Sequence[str]) -> None:
        """Nothing to ask: keys are destroyed in the turn of the one writer, who seals."""

    def key(self, key_id: str) -> bytes:
        if (cached := self._by_id.get(key_id)) is not None:
            return cached
        with self._lock:
            self._keep_up()
            row = self._db.execute(statement("keyring_key"), (key_id,)).fetchone()
            if row is None:
                raise KeyDestroyed
            key = unwrap(row[0], self._master, key_id)
            self._by_id.put(key_id, key)
        return key

    def key_ids(self, owners: Sequence[str]) -> list[str]:
        with self._lock:
            return self._names(owners)

    def destroy(self, owners: Sequence[str]) -> list[str]:
        with self._lock:
            key_ids = self._names(owners)
            self._destroy(key_ids)
        return key_ids

    def destroy_keys(self, key_ids: Sequence[str]) -> None:
        with self._lock:
            self._destroy(key_ids)

    def destroyed(self) -> list[str]:
        return sorted(set(self.list.read()))

    def heed(self) -> None:
        with self._lock:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version != self._heeded:
                self._heeded = version
                self._by_owner.clear()
                self._by_id.clear()
                forget_keys()

    def wrapped_identity(self) -> tuple[str, bytes]:
        """The name of the identity key, and that key wrapped by the master key."""
        with self._lock:
            key_id, wrapped = self._db.execute(statement("keyring_identity_read")).fetchone()
        return key_id, wrapped

    def wrapped_keys(self, after: int = 0, limit: int = 5_000) -> tuple[int, list[tuple[str, str, bytes]]]:
        """The next keys, in the order they were made: (name, owner, key wrapped by the master key); before them the
        number to go on after."""
        with self._lock:
            rows = self._db.execute(statement("keyring_read"), (after, limit)).fetchall()
        return (rows[-1][0] if rows else after), [row[1:] for row in rows]

    def probe(self) -> None:
        with self._lock:
            probe(self._db)

    def close(self) -> None:
        with self._lock:
            self._db.close()
        self._by_owner.clear()
        self._by_id.clear()

    def _names(self, owners: Sequence[str]) -> list[str]:
        return [key_id for key_id, _ in self._db.execute(statement("keyring_names"), (json.dumps(owners),))]

    def _destroy(self, key_ids: Sequence[str]) -> None:
        """If it fails after the list took a name, the key must seal nothing any more: it will be gone after the next
        start. So nothing is used again before the two agree."""
        names = json.dumps(key_ids)
        try:
            with transaction(self._db):
                here = self._db.execute(statement("keyring_here"), (names,)).fetchall()
                if here:
                    place = self.list.append(key_id for key_id, _ in here)
                    self._db.execute(statement("keyring_destroy"), (names,))
                    self._db.execute(statement("keyring_list_write"), (self.list.id, place))
        except BaseException:
            self._behind = True
            self._by_owner.clear()
            self._by_id.clear()
            raise
        self._by_owner.drop([owner for _, owner in here])
        self._by_id.drop(key_ids)
        forget_keys()
        self._empty_log()

    def _keep_up(self) -> None:
        """Destroys what the list names beyond the place reached. A list that is another one, or shorter than it was,
        is read from its beginning, and learns what was destroyed here."""
        if not self._behind:
            return
        known, place = self._db.execute(statement("keyring_list_read")).fetchone() or ("", 0)
        if (known, place) != (self.list.id, self.list.size()):
            with transaction(self._db):
                known, place = self._db.execute(statement("keyring_list_read")).fetchone() or ("", 0)
                anew = known != self.list.id or place > self.list.size()
                named = self.list.read(0 if anew else place)
                self._db.execute(statement("keyring_destroy"), (json.dumps(named),))
                here = (
                    {key_id for (key_id,) in self._db.execute(statement("keyring_destroyed"))}
                    if anew
                    else set()
                )
                place = self.list.append(sorted(here.difference(named)))
                self._db.execute(statement("keyring_list_write"), (self.list.id, place))
            self._empty_log()
        self._behind = False

    def _read(self, owners: list[str]) -> dict[str, DataKey]:
        rows = self._db.execute(statement("keyring_of_owners"), (json.dumps(owners),))
        return {
            owner: DataKey(key_id, unwrap(wrapped, self._master, key_id)) for owner, key_id, wrapped in rows
        }

    def _made(self, owners: list[str]) -> dict[str, DataKey]:
        if not owners:
            return {}
        made = {owner: DataKey(new_key_id(), new_key()) for owner in owners}
        rows = [(key_id, owner, wrap(key, self._master, key_id)) for owner, (key_id, key) in made.items()]
        with transaction(self._db):
            insert(self._db, "keyring_add", rows)
        return made

    def _remember(self, keys: dict[str, DataKey]) -> None:
        self._by_owner.put_all(keys.items())
        self._by_id.put_all(keys.values())

    def _empty_log(self) -> None:
        """`secure_delete` overwrites the rows, but the write-ahead log holds them until it is truncated.

        A reader in another process can hold it open for a moment; if it stays, this raises, and erasing again
        starts from here.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError(
                    "the keyring's write-ahead log is in use and cannot be truncated"
                )
            time.sleep(0.01)


def opened(directory: Path) -> sqlite3.Connection:
    """The file of the keyring, made if it is not there."""
    make_directory(directory)
    db = connect(directory / FILE)
    try:
        db.execute("PRAGMA secure_delete = ON")
        _upgrade(db)
        create_tables(db, "keyring_schema")
    except BaseException:
        db.close()
        raise
    return db


def destroyed_in(file: Path) -> set[str]:
    """The names of the keys that were destroyed in a keyring which nobody has open. Leaves it as it is."""
    with closing(connect_still(file)) as db:
        return {key_id for (key_id,) in db.execute(statement("keyring_destroyed"))}


def _upgrade(db: sqlite3.Connection) -> None:
    """A keyring of version 0.1 kept its keys where SQLite moves rows about, which leaves copies behind."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'destroyed_keys'").fetchone() is None:
        return
    create_tables(db, "keyring_upgrade")
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _opened(db: sqlite3.Connection, file: Path) -> tuple[bytes, IdentityKey]:
    """The master key and the identity key it opens; both made if this keyring is new."""
    if db.execute(statement("keyring_identity_read")).fetchone() is None:
        identity = new_identity(file)
        with transaction(db):
            db.execute(statement("keyring_identity_write"), identity)
    return unlocked(file, *db.execute(statement("keyring_identity_read")).fetchone())


def new_identity(file: Path) -> tuple[str, bytes]:
    """The name of a fresh identity key, and that key wrapped by the master key in the file, made if it is not there."""
    key_id = new_key_id()
    return key_id, wrap(new_key(), _master_key(file, create=True), key_id)


def unlocked(file: Path, key_id: str, wrapped: bytes) -> tuple[bytes, IdentityKey]:
    """The master key in the file and the identity key that it opens. Raises WrongMasterKey."""
    master = _master_key(file, create=False)
    try:
        return master, IdentityKey(unwrap(wrapped, master, key_id))
    except BodyUnreadable:
        raise WrongMasterKey(str(file)) from None


def _master_key(file: Path, *, create: bool) -> bytes:
    """The key in the file: 64 hexadecimal digits, easy to copy to a safe place."""
    if create:
        if not file.exists():
            write_once(file, new_key().hex() + "\n")
        sync(file.parent)  # whoever made it may have been killed before he did this
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise WrongMasterKey(str(file), "there is no such file") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise WrongMasterKey(
            str(file), f"it holds no master key, which is {2 * KEY_BYTES} hexadecimal digits"
        )
    return key
