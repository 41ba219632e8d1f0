"""Access keys, what was set aside and receipts of erasures, shared by many processes: in two compacted topics, which
each follows into a control.sqlite of its own.

`control` holds, by key, `access:<id>` (an access key, of its secret only the hash), `erasure:<id>` (a receipt),
`serving` (the build of the projections that serves), `copied…` (how far a copy came), and what the journal was made
with. `set-aside` holds items by their keys: value = what was sent, sealed; the header `item` = the rest.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from touchbook.errors import BrokerUnavailable, Refused
from touchbook.positions import position_in
from touchbook.schemas.times import milliseconds
from touchbook.streams.backends.followed import FollowedFile, Offsets
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import CONTROL, SET_ASIDE
from touchbook.streams.backends.sqlite import connect, create_tables, statement, transaction
from touchbook.streams.backends.sqlite_control import FILE, AccessKeys, ItemRow, SqliteControl, upgrade
from touchbook.streams.backends.sqlite_erasures import SqliteReceipts
from touchbook.streams.control import AccessKey, Clock
from touchbook.streams.keyring import Keyring
from touchbook.streams.receipts import Receipt

PATIENCE_SECONDS = 10.0
"""How long a change that is in the topic may take to be in the file, before whoever made it goes on."""
ACCESS, ERASURE, SERVING, COPIED, ITEM = "access:", "erasure:", "serving", "copied", "item"


class KafkaControl(FollowedFile, SqliteControl):
    """See `Control`. A change is in the topic, acknowledged, when the call returns, and others know of it a moment
    later; what is read comes from the file."""

    @classmethod
    def at(  # type: ignore[override]  # opened otherwise, and a control like the other from then on
        cls,
        directory: Path,
        place: KafkaPlace,
        producer: Producer,
        keyring: Keyring,
        clock: Clock,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> Self:
        """Opens DIR/control.sqlite and fills it from the topics, up to their ends. Raises TopicsMissing if nobody has
        made them."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = connect(directory / FILE)
        for tables in ("control_schema", "erasures_schema", "control_shared_schema"):
            create_tables(db, tables)
        upgrade(db)
        control = cls(db, AccessKeys(connect(directory / FILE)), keyring, clock)
        control._share(directory, place, producer, patience)
        return control

    def __init__(
        self, db: sqlite3.Connection, access_keys: AccessKeys, keyring: Keyring, clock: Clock
    ) -> None:
        super().__init__(db, access_keys, keyring, clock)
        self._offsets = Offsets(db)

    def _share(self, directory: Path, place: KafkaPlace, producer: Producer, patience: float) -> None:
        self._place = place
        self._producer = producer
        self._patience = patience
        self.receipts = KafkaReceipts(connect(directory / FILE), self)
        self.follower = TopicFollower(place, [CONTROL, SET_ASIDE], self, "control")
        self.follower.start()
        try:
            while not self.follower.caught_up(patience):
                if why := self.follower.failing_because or self.follower.stopped_because:
                    raise BrokerUnavailable(why)
        except BaseException:
            self.close()
            raise

    def create_key(
        self,
        role: str,
        source: str,
        channel: str | None = None,
        origins: Sequence[str] = (),
        name: str | None = None,
    ) -> tuple[AccessKey, str]:
        self.catch_up()
        key, secret = super().create_key(role, source, channel, origins, name)
        try:  # another process may have made one for the same source just now; of two at least one sees the other
            self._keep_apart(role, source, key.public)
        except Refused:
            self.publish([(ACCESS + key.id, None)])
            raise
        return key, secret

    def revoke_key(self, id: str) -> AccessKey:
        self.catch_up()
        return super().revoke_key(id)

    def serving(self) -> str | None:
        """The build of the projections that serves; None before the first does."""
        with self._lock:
            row = self._db.execute(statement("control_shared_read"), (SERVING,)).fetchone()
        return row[0] if row else None

    def serve(self, build: str) -> None:
        """From now on this build of the projections serves, in every process."""
        self.publish([(SERVING, {"build": build})])

    def number(self, name: str) -> int:
        """The number last published under this name, which begins with COPIED; 0 where there is none."""
        with self._lock:
            row = self._db.execute(statement("control_shared_read"), (name,)).fetchone()
        return int(row[0]) if row else 0

    def publish(self, said: Sequence[tuple[str, Mapping[str, Any] | None]]) -> None:
        """Writes these into the control topic, and waits until they are in the file."""
        topic = self._place.topic(CONTROL)
        rows = [Row(topic, 0, key.encode(), None if one is None else orjson.dumps(one)) for key, one in said]
        if not self._written(CONTROL, rows):
            raise BrokerUnavailable(self.follower.failing_because or "what it took is not read yet")
        self._access_keys.expire()

    def catch_up(self) -> None:
        """Returns when all that others have changed so far is in the file."""
        if not self.follower.caught_up(self._patience):
            raise BrokerUnavailable(
                self.follower.failing_because or "the control topic is not read to its end"
            )

    def close(self) -> None:
        self.follower.stop()
        self.receipts.close()
        super().close()

    def _add_key(self, key: AccessKey, secret_hash: str) -> None:
        said = {
            "secret_hash": secret_hash,
            "role": key.role,
            "source": key.source,
            "channel": key.channel,
            "origins": list(key.origins),
            "created_at": key.created_at,
            "name": key.name,
            "revoked_at": None,
        }
        self.publish([(ACCESS + key.id, said)])

    def _revoke(self, id: str, at: int) -> None:
        with self._lock:
            row = self._db.execute(statement("control_keys_get"), (id,)).fetchone()
        if row is None or row[-1] is not None:
            return
        names = ("secret_hash", "role", "source", "channel", "origins", "created_at", "name", "revoked_at")
        said = dict(zip(names, row, strict=True))
        self.publish([(ACCESS + id, {**said, "origins": json.loads(said["origins"]), "revoked_at": at})])

    def _add_items(self, rows: Sequence[ItemRow]) -> None:
        topic = self._place.topic(SET_ASIDE)
        with self._lock:
            names = json.dumps([row.key for row in rows])
            kept = {key for (key,) in self._db.execute(statement("set_aside_kept"), (names,))}
        self._written(
            SET_ASIDE,
            [
                Row(topic, 0, row.key.encode(), row.raw, [(ITEM, _header(row))])
                for row in rows
                if row.key not in kept
            ],
        )

    def _drop_items(self, keys: Sequence[str]) -> None:
        topic = self._place.topic(SET_ASIDE)
        self._written(SET_ASIDE, [Row(topic, 0, key.encode(), None) for key in keys])

    def _written(self, topic: str, rows: Sequence[Row]) -> bool:
        """Whether they are in the file too: that they are in the topic is all that was promised, so it is not waited
        for without end."""
        offsets = self._producer.send(rows).result()
        return not offsets or self.follower.passed(topic, 0, max(offsets), self._patience)

    # What the follower brings

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        with self._lock, transaction(self._db):
            for record in self._offsets.beyond(records):
                if record.topic == SET_ASIDE:
                    self._apply_item(record)
                else:
                    self._apply_said(record.key.decode(), record.value)
            self._offsets.write(offsets)

    def forget(self) -> None:
        with self._lock:
            self._db.executescript(statement("control_shared_forget"))

    def _apply_item(self, record: Read) -> None:
        key = record.key.decode()
        if record.value is None:
            self._db.execute(statement("set_aside_remove"), (json.dumps([key]),))
            return
        item = orjson.loads(dict(record.headers)[ITEM])
        item["inherited"] = base64.b64decode(item["inherited"])
        number = position_in(record.part, record.offset)
        self._db.execute(
            statement("set_aside_put"), {**item, "number": number, "key": key, "raw": record.value}
        )

    def _apply_said(self, key: str, value: bytes | None) -> None:
        said = None if value is None else orjson.loads(value)
        if key.startswith(ACCESS):
            self._apply_access(key.removeprefix(ACCESS), said)
        elif key.startswith(ERASURE) and said is not None:
            self._apply_receipt(said)
        elif key == SERVING and said is not None:
            self._db.execute(statement("control_shared_write"), (SERVING, said["build"]))
        elif key.startswith(COPIED) and said is not None:
            self._db.execute(statement("control_shared_write"), (key, str(said["number"])))

    def _apply_access(self, id: str, said: dict[str, Any] | None) -> None:
        if said is None:
            self._db.execute(statement("control_keys_drop"), (id,))
            return
        row = {"name": None, **said, "id": id, "origins": json.dumps(said["origins"])}
        self._db.execute(statement("control_keys_put"), row)

    def _apply_receipt(self, receipt: Receipt) -> None:
        id = receipt["erasure"]
        named = {"id": id, "number": _number(receipt)}
        (number,) = self._db.execute(statement("erasures_number"), named).fetchone()
        done = receipt["state"] == "done"
        self._db.execute(statement("erasures_put"), (number, id, done, json.dumps(receipt)))
        members = [(member, id) for member in receipt["members"]]
        self._db.executemany(statement("erasures_put_member"), members)


class KafkaReceipts(SqliteReceipts):
    """See `Receipts`; of KafkaControl, in whose file they are."""

    def __init__(self, db: sqlite3.Connection, control: KafkaControl) -> None:
        super().__init__(db)
        self._control = control

    def begin(self, receipt: Receipt) -> None:
        self._control.publish([(ERASURE + receipt["erasure"], receipt)])

    def change(self, receipt: Receipt) -> None:
        self._control.publish([(ERASURE + receipt["erasure"], receipt)])


def _header(row: ItemRow) -> bytes:
    said = {**row._asdict(), "inherited": base64.b64encode(row.inherited).decode()}
    del said["raw"], said["key"]
    return orjson.dumps(said)


def _number(receipt: Receipt) -> int:
    """In order of when it was asked for, the same in every process, and never two the same: cursors hold anywhere."""
    return milliseconds(receipt["requested_at"], "requested_at") << 16 | int(receipt["erasure"][:4], 16)
