"""The keyring that many processes share: a compacted topic of wrapped keys, which each follows into a file of its own.

A record's key is the name of a data key. Its value is whose it is and the key, wrapped (hex), and `retired` once it
shall seal nothing any more; no value: it is destroyed.

**No acknowledged touchpoint is sealed with a key that was gone already.** Who destroys a key first says that it is
retired, and waits two leases. Everybody else seals with a key only while all that the topic held less than a lease ago
is in his file. So a process that was held, or cannot reach the brokers, seals nothing until it has caught up; and what
it had sealed before it was held is acknowledged only after a look at what happened since (`confirm`).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import orjson

from touchbook.errors import BrokerUnavailable, FormatUnknown, KeyDestroyed, RestoreUnfinished
from touchbook.recent import Recent
from touchbook.sealing import IdentityKey, forget_keys, new_key, new_key_id, unwrap, wrap
from touchbook.streams.backends.followed import FollowedFile, Offsets
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower, seconds
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import KEYS, identity_of
from touchbook.streams.backends.sqlite import create_tables, statement, transaction
from touchbook.streams.backends.sqlite_keyring import (
    CACHED_KEYS,
    FILE,
    MASTER_KEY_FILE,
    SqliteKeyring,
    opened,
    unlocked,
)
from touchbook.streams.destroyed import FILE as LIST_FILE
from touchbook.streams.destroyed import DestroyedKeys
from touchbook.streams.files import unfinished
from touchbook.streams.keyring import SET_ASIDE, DataKey

LEASE_SECONDS = 2.0
"""How old what a process knows of the topic may be while it seals. The same for all processes of a Touchbook."""
PATIENCE_SECONDS = 10.0
"""How long whoever needs to know the present state of the topic waits for it."""
ATTEMPTS = 5
REMEMBERED = 100_000

Values = dict[str, str | bool]


class KafkaKeyring(FollowedFile, SqliteKeyring):
    """See `Keyring`. What this process makes or destroys is in the topic when the call returns, acknowledged; what
    others do is here a moment later, and where a moment matters it is waited for."""

    @classmethod
    def at(  # type: ignore[override]  # opened otherwise, and a keyring like the other from then on
        cls,
        directory: Path,
        place: KafkaPlace,
        producer: Producer,
        master_key: Path | None = None,
        destroyed_keys: Path | None = None,
        *,
        cached_keys: int = CACHED_KEYS,
        lease_seconds: float = LEASE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = seconds,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Opens DIR/keyring.sqlite and fills it from the topic, up to its end.

        `master_key` is the file of the master key, by default DIR/master.key, which must be there: the one that the
        topics were made with. `destroyed_keys` is the list of destroyed keys, by default in DIR. Raises WrongMasterKey,
        TopicsMissing if nobody has made the topics, FormatUnknown if DIR belongs to another journal.
        """
        if unfinished(directory):
            raise RestoreUnfinished(str(directory))
        identity = identity_of(place)
        master, identity_key = unlocked(master_key or directory / MASTER_KEY_FILE, *identity)
        db = opened(directory)
        try:
            _same_journal(db, directory, identity)
            create_tables(db, "keyring_shared_schema")
            destroyed = DestroyedKeys(destroyed_keys or directory / LIST_FILE)
            keyring = cls(db, master, identity_key, cached_keys, destroyed)
        except BaseException:
            db.close()
            raise
        keyring._share(place, producer, lease_seconds, patience, clock, sleep)
        return keyring

    def __init__(
        self,
        db: sqlite3.Connection,
        master: bytes,
        identity_key: IdentityKey,
        cached_keys: int,
        destroyed: DestroyedKeys,
    ) -> None:
        self._offsets = Offsets(db)
        self._absent: Recent[str, bool] = Recent(REMEMBERED)
        """Names that are neither here nor in the topic, so that they will never be again."""
        self._ended: Recent[str, bool] = Recent(REMEMBERED)
        """Keys that were retired or destroyed while this process ran."""
        self._making = threading.Lock()
        super().__init__(db, master, identity_key, cached_keys, destroyed)

    def _share(
        self,
        place: KafkaPlace,
        producer: Producer,
        lease_seconds: float,
        patience: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._producer = producer
        self._topic = place.topic(KEYS)
        self._lease = lease_seconds
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self.follower = TopicFollower(
            place, [KEYS], self, "keyring", clock=clock, ask_seconds=lease_seconds / 4
        )
        self.follower.start()
        try:
            while not self.follower.caught_up(patience):
                if why := self.follower.failing_because or self.follower.stopped_because:
                    raise BrokerUnavailable(why)
        except BaseException:
            self.close()
            raise

    def data_keys(self, owners: Sequence[str]) -> list[DataKey]:
        for _ in range(ATTEMPTS):
            as_of = self.follower.in_step  # before looking: what is found is not older than this
            keys = self._found(owners)
            if missing := [owner for owner in dict.fromkeys(owners) if owner not in keys]:
                self._make(missing)
            elif self._clock() - as_of <= self._lease:
                return [keys[owner] for owner in owners]
            else:
                self._catch_up()
        raise BrokerUnavailable("its keys change faster than they can be read")

    def confirm(self, key_ids: Sequence[str]) -> None:
        """Does not wait. Less than two leases, so that clocks need not go alike to be right."""
        if self._clock() - self.follower.in_step > 1.5 * self._lease:
            raise BrokerUnavailable(
                "it was away for too long to know whether its keys were retired meanwhile"
            )
        if self._ended.get_all(key_ids):
            raise BrokerUnavailable("a key was retired while something was sealed with it")

    def key(self, key_id: str) -> bytes:
        try:
            return super().key(key_id)
        except KeyDestroyed:
            if self._absent.get(key_id) or self._is_destroyed(key_id):
                raise
        # Its record precedes, in time, all that was ever sealed with it; so it is in the topic by now, or never again.
        self._catch_up()
        try:
            return super().key(key_id)
        except KeyDestroyed:
            self._absent.put(key_id, True)
            raise

    def key_ids(self, owners: Sequence[str]) -> list[str]:
        self._catch_up()
        return super().key_ids(owners)

    def retire(self, key_ids: Sequence[str]) -> None:
        """When this returns nobody seals anything with these keys any more; they still open what they sealed. Those of
        items that are set aside are left as they are: they seal once."""
        with self._lock:
            here = self._db.execute(statement("keyring_shared_here"), (json.dumps(key_ids),)).fetchall()
        sealing = [row for row in here if not row[1].startswith(SET_ASIDE)]
        if not sealing:
            return
        self._send({key_id: _value(owner, wrapped, retired=True) for key_id, owner, wrapped in sealing})
        with self._lock:
            with transaction(self._db):
                names = [key_id for key_id, _, _ in sealing]
                self._db.execute(statement("keyring_shared_retire"), (json.dumps(names),))
            self._end(names, [owner for _, owner, _ in sealing])
        self._sleep(2 * self._lease)

    def destroy(self, owners: Sequence[str]) -> list[str]:
        key_ids = self.key_ids(owners) if owners else []
        self._destroy_everywhere(key_ids)
        return key_ids

    def destroy_keys(self, key_ids: Sequence[str]) -> None:
        self._catch_up()
        self._destroy_everywhere(key_ids)

    def take(self, keys: Sequence[tuple[str, str, bytes]]) -> None:
        """Keys of another keyring under the same master key, (name, owner, wrapped key): from now on they are here
        too. May be called again."""
        self._send({key_id: _value(owner, wrapped) for key_id, owner, wrapped in keys})

    def heed(self) -> None:
        self._catch_up()
        super().heed()

    def probe(self) -> None:
        super().probe()
        if self._clock() - self.follower.in_step > self._lease:
            self._catch_up()

    def close(self) -> None:
        self.follower.stop()
        super().close()

    # What the follower brings

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        last = {record.key.decode(): record.value for record in records}
        said: dict[str, Values] = {
            key_id: orjson.loads(value) for key_id, value in last.items() if value is not None
        }
        retired = [key_id for key_id, one in said.items() if one.get("retired")]
        gone = [key_id for key_id, value in last.items() if value is None]
        with self._lock:
            self._keep_up()
            try:
                with transaction(self._db):
                    if self._offsets.beyond(records):
                        revived = self._add(said)
                        self._db.execute(statement("keyring_shared_retire"), (json.dumps(retired),))
                        owners = self._overwrite(gone)
                    else:  # by another process, which follows into the same file
                        revived, owners = [], []
                        self._by_owner.clear()
                    self._offsets.write(offsets)
            except BaseException:
                self._behind = True
                raise
            self._end([*retired, *gone], [*owners, *(str(said[key_id]["owner"]) for key_id in retired)])
            if gone:
                self._by_id.drop(gone)
                forget_keys()
                self._empty_log()
        if revived:
            self._producer.send([Row(self._topic, 0, key_id.encode(), None) for key_id in revived])

    def forget(self) -> None:
        with self._lock:
            with transaction(self._db):
                self._db.execute(statement("keyring_shared_overwrite"))
                self._db.execute(statement("keyring_shared_delete"))
                self._db.execute(statement("keyring_shared_unretire_all"))
                self._offsets.forget()
            for cache in (self._by_owner, self._by_id, self._absent):
                cache.clear()
            forget_keys()
            self._empty_log()

    # The parts

    def _catch_up(self) -> None:
        if not self.follower.caught_up(self._patience):
            raise BrokerUnavailable(self.follower.failing_because or "the keys are not read to their end")

    def _found(self, owners: Sequence[str]) -> dict[str, DataKey]:
        keys = self._by_owner.get_all(owners)
        if missing := [owner for owner in dict.fromkeys(owners) if owner not in keys]:
            with self._lock:
                self._keep_up()
                found = self._read(missing)
                self._remember(found)
            keys |= found
        return keys

    def _read(self, owners: list[str]) -> dict[str, DataKey]:
        rows = self._db.execute(statement("keyring_shared_of_owners"), (json.dumps(owners),))
        return {
            owner: DataKey(key_id, unwrap(wrapped, self._master, key_id)) for owner, key_id, wrapped in rows
        }

    def _make(self, owners: list[str]) -> None:
        """A key for each that has none. In the file at once, unless the follower has read on beyond it: then it is
        there, or was destroyed since."""
        with self._making:
            keys = self._found(owners)
            missing = [owner for owner in owners if owner not in keys]
            if not missing:
                return
            made = []
            for owner in missing:
                key_id = new_key_id()
                made.append((key_id, owner, wrap(new_key(), self._master, key_id)))
            offsets = self._send({key_id: _value(owner, wrapped) for key_id, owner, wrapped in made})
            with self._lock, transaction(self._db):
                read = self._offsets.read().get((KEYS, 0), 0)
                rows = [row for row, offset in zip(made, offsets, strict=True) if offset >= read]
                self._db.executemany(statement("keyring_shared_add"), rows)

    def _destroy_everywhere(self, key_ids: Sequence[str]) -> None:
        self.retire(key_ids)
        with self._lock:
            names = json.dumps(key_ids)
            here = [key_id for key_id, _ in self._db.execute(statement("keyring_here"), (names,))]
        self._send(dict.fromkeys(here))
        with self._lock:
            self._destroy(here)
            self._ended.put_all((key_id, True) for key_id in here)

    def _send(self, values: Mapping[str, bytes | None]) -> list[int]:
        rows = [Row(self._topic, 0, key_id.encode(), value) for key_id, value in values.items()]
        return self._producer.send(rows).result()

    def _add(self, said: Mapping[str, Values]) -> list[str]:
        """The names of those that were destroyed before, and that somebody brought back: from a copy of the topic."""
        names = json.dumps(list(said))
        revived = [
            key_id for key_id, gone in self._db.execute(statement("keyring_shared_state"), (names,)) if gone
        ]
        rows = [(key_id, one["owner"], bytes.fromhex(str(one["wrapped"]))) for key_id, one in said.items()]
        self._db.executemany(statement("keyring_shared_add"), rows)
        return revived

    def _overwrite(self, gone: list[str]) -> list[str]:
        """Destroys them here; whose those were that were here."""
        names = json.dumps(gone)
        here = self._db.execute(statement("keyring_here"), (names,)).fetchall()
        known = {key_id for key_id, _ in self._db.execute(statement("keyring_shared_state"), (names,))}
        unknown = [key_id for key_id in gone if key_id not in known]
        if here or unknown:
            place = self.list.append([*unknown, *(key_id for key_id, _ in here)])
            self._db.execute(statement("keyring_destroy"), (names,))
            self._stay_gone(unknown)
            self._db.execute(statement("keyring_shared_unretire"), (names,))
            self._db.execute(statement("keyring_list_write"), (self.list.id, place))
        return [owner for _, owner in here]

    def _stay_gone(self, key_ids: Sequence[str]) -> None:
        """So that a key of this name is not taken should somebody bring it back."""
        self._db.executemany(statement("keyring_shared_add"), [(key_id, "-", b"") for key_id in key_ids])

    def _keep_up(self) -> None:
        if self._behind:
            with transaction(self._db):
                self._stay_gone(self.list.read())
        super()._keep_up()

    def _end(self, key_ids: Sequence[str], owners: Sequence[str]) -> None:
        self._by_owner.drop(owners)
        self._ended.put_all((key_id, True) for key_id in key_ids)

    def _is_destroyed(self, key_id: str) -> bool:
        with self._lock:
            rows = self._db.execute(statement("keyring_shared_state"), (json.dumps([key_id]),))
            return any(gone for _, gone in rows)


def _value(owner: str, wrapped: bytes, retired: bool = False) -> bytes:
    said: Values = {"owner": owner, "wrapped": wrapped.hex()}
    return orjson.dumps({**said, "retired": True} if retired else said)


def _same_journal(db: sqlite3.Connection, directory: Path, identity: tuple[str, bytes]) -> None:
    kept = db.execute(statement("keyring_identity_read")).fetchone()
    if kept is None:
        with transaction(db):
            db.execute(statement("keyring_identity_write"), identity)
    elif kept[0] != identity[0]:
        raise FormatUnknown(
            str(directory / FILE),
            "another journal's keys",
            "those of the journal in Kafka",
            "name another data directory",
        )
