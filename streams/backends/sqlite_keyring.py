"""The keyring in an SQLite file of its own, apart from the journal it opens."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from touchbook.errors import BodyUnreadable, KeyDestroyed, NotATouchbook, WrongMasterKey
from touchbook.recent import Recent
from touchbook.sealing import KEY_BYTES, IdentityKey, new_key, new_key_id, unwrap, wrap
from touchbook.streams.backends.sqlite import (
    BUSY_SECONDS,
    connect,
    create_tables,
    insert,
    statement,
    transaction,
)
from touchbook.streams.keyring import DataKey

FILE = "keyring.sqlite"
MASTER_KEY_FILE = "master.key"
CACHED_KEYS = 100_000
"""Unwrapped keys kept in memory, about 30 MB when full."""


class SqliteKeyring:
    """See `Keyring`. Several processes may have it open; each destroys its own cached keys only, so customers
    are erased by the one process that writes the journal."""

    @classmethod
    def at(
        cls,
        directory: Path,
        master_key: Path | None = None,
        *,
        create: bool = True,
        cached_keys: int = CACHED_KEYS,
    ) -> Self:
        """Opens DIR/keyring.sqlite; on the first start makes it, its identity key and the master key file.

        `master_key` is the file of the master key, by default DIR/master.key; an existing one is used. Raises
        WrongMasterKey if it is not the file this keyring was made with, NotATouchbook if there is no keyring
        and `create` is not set.
        """
        file = master_key or directory / MASTER_KEY_FILE
        if not create and not (directory / FILE).exists():
            raise NotATouchbook(str(directory))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = connect(directory / FILE)
        try:
            db.execute("PRAGMA secure_delete = ON")
            create_tables(db, "keyring_schema")
            return cls(db, *_opened(db, file), cached_keys)
        except BaseException:
            db.close()
            raise

    def __init__(
        self, db: sqlite3.Connection, master: bytes, identity_key: IdentityKey, cached_keys: int
    ) -> None:
        self._db = db
        self._master = master
        self._identity_key = identity_key
        # Held over every use of the file and over what it changes in the caches, so that a key that is being
        # destroyed cannot be cached again by a thread that had just read it.
        self._lock = threading.Lock()
        self._by_owner: Recent[str, DataKey] = Recent(cached_keys)
        self._by_id: Recent[str, bytes] = Recent(cached_keys)

    @property
    def identity_key(self) -> IdentityKey:
        return self._identity_key

    def data_keys(self, owners: Sequence[str]) -> list[DataKey]:
        keys = self._by_owner.get_all(owners)
        if missing := [owner for owner in dict.fromkeys(owners) if owner not in keys]:
            with self._lock:
                found = self._read(missing)
                found |= self._made([owner for owner in missing if owner not in found])
                self._remember(found)
            keys |= found
        return [keys[owner] for owner in owners]

    def key(self, key_id: str) -> bytes:
        if (cached := self._by_id.get(key_id)) is not None:
            return cached
        with self._lock:
            row = self._db.execute(statement("keyring_key"), (key_id,)).fetchone()
            if row is None:
                raise KeyDestroyed
            key = unwrap(row[0], self._master, key_id)
            self._by_id.put(key_id, key)
        return key

    def destroy(self, owners: Sequence[str]) -> list[str]:
        with self._lock:
            with transaction(self._db):
                deleted = self._db.execute(statement("keyring_destroy"), (json.dumps(owners),)).fetchall()
                self._db.executemany(statement("keyring_note_destroyed"), deleted)
            destroyed = [key_id for (key_id,) in deleted]
            self._by_owner.drop(owners)
            self._by_id.drop(destroyed)
            self._empty_log()
        return destroyed

    def destroyed(self) -> list[str]:
        with self._lock:
            return [key_id for (key_id,) in self._db.execute(statement("keyring_destroyed"))]

    def close(self) -> None:
        with self._lock:
            self._db.close()
        self._by_owner.clear()
        self._by_id.clear()

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


def _opened(db: sqlite3.Connection, file: Path) -> tuple[bytes, IdentityKey]:
    """The master key and the identity key it opens; both made if this keyring is new."""
    if db.execute(statement("keyring_identity_read")).fetchone() is None:
        key_id = new_key_id()
        wrapped = wrap(new_key(), _master_key(file, create=True), key_id)
        with transaction(db):
            db.execute(statement("keyring_identity_write"), (key_id, wrapped))
    master = _master_key(file, create=False)
    key_id, wrapped = db.execute(statement("keyring_identity_read")).fetchone()
    try:
        return master, IdentityKey(unwrap(wrapped, master, key_id))
    except BodyUnreadable:
        raise WrongMasterKey(str(file)) from None


def _master_key(file: Path, *, create: bool) -> bytes:
    """The key in the file: 64 hexadecimal digits, easy to copy to a safe place."""
    if create and not file.exists():
        _write_once(file, new_key().hex() + "\n")
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        raise WrongMasterKey(str(file)) from None
    if len(key) != KEY_BYTES:
        raise WrongMasterKey(str(file))
    return key


def _write_once(file: Path, text: str) -> None:
    """Durable, readable by its owner only, and whole from the first moment: if two processes start at once,
    the file of the one that linked it first stands."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{new_key_id()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        os.unlink(draft)
        _sync_directory(file.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
