"""Access keys and what was set aside, in an SQLite file of their own: control.sqlite."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from touchbook.errors import AccessKeyUnknown, KeyDestroyed, Refused, SetAsideUnknown
from touchbook.sealing import new_key_id, seal, unseal
from touchbook.streams.backends.sqlite import connect, create_tables, statement, told_as_ours, transaction
from touchbook.streams.control import (
    LONGEST_NAME,
    ORIGIN,
    OURS,
    PUBLISHING,
    ROLES,
    SOURCE_NAME,
    AccessKey,
    AsideGroup,
    Clock,
    SetAside,
)
from touchbook.streams.files import make_directory
from touchbook.streams.keyring import SET_ASIDE, Keyring

FILE = "control.sqlite"
FRESH_SECONDS = 0.25
"""How long a key created or revoked by another process may go unnoticed."""


class ItemRow(NamedTuple):
    """An item that is set aside as it is kept: what it said is sealed."""

    key: str
    reason: str
    code: str
    source: str
    channel: str | None
    route: str
    received_at: int
    sent_at: int | None
    key_id: str
    raw: bytes
    inherited: bytes


class SqliteControl:
    """See `Control`. Any number of processes may have the file open."""

    @classmethod
    def at(cls, directory: Path, keyring: Keyring, clock: Clock) -> Self:
        """Opens DIR/control.sqlite, and makes it if it is not there."""
        make_directory(directory)
        db = connect(directory / FILE)
        create_tables(db, "control_schema")
        upgrade(db)
        return cls(db, AccessKeys(connect(directory / FILE)), keyring, clock)

    def __init__(
        self, db: sqlite3.Connection, access_keys: AccessKeys, keyring: Keyring, clock: Clock
    ) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._access_keys = access_keys
        self._keyring = keyring
        self._clock = clock

    def create_key(
        self,
        role: str,
        source: str,
        channel: str | None = None,
        origins: Sequence[str] = (),
        name: str | None = None,
    ) -> tuple[AccessKey, str]:
        _check_key(role, source, channel, origins, name)
        self._keep_apart(role, source, bool(origins))
        id, at = secrets.token_hex(8), self._clock()
        key = AccessKey(id, role, source, channel, tuple(origins), at, name=name)
        secret = f"tb_{role}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip('=')}"
        self._add_key(key, _hashed(secret))
        return key, secret

    def _add_key(self, key: AccessKey, secret_hash: str) -> None:
        row = (
            key.id,
            secret_hash,
            key.role,
            key.source,
            key.channel,
            json.dumps(key.origins),
            key.created_at,
            key.name,
        )
        with self._writing() as db:
            db.execute(statement("control_keys_add"), row)
        self._access_keys.expire()

    def _keep_apart(self, role: str, source: str, public: bool) -> None:
        if role not in PUBLISHING:
            return
        for key in self.list_keys():
            if (key.source, key.public) == (source, not public) and key.role in PUBLISHING:
                kind = "servers" if public else "web pages"
                raise Refused(
                    400,
                    "source_taken",
                    f"source: expected one of its own, since {source!r} has keys for {kind}",
                )

    def find_key(self, secret: str) -> AccessKey | None:
        """A key that another process made opens at once; one that it revoked may still open for FRESH_SECONDS."""
        hashed = _hashed(secret)
        key = self._access_keys.by_hash().get(hashed) or self._access_keys.by_hash(afresh=True).get(hashed)
        return key if key and key.revoked_at is None else None

    def keys_by_hash(self) -> dict[str, AccessKey]:
        """All keys ever created, by the hash of their secret."""
        return dict(self._access_keys.by_hash(afresh=True))

    def list_keys(self) -> list[AccessKey]:
        return list(self._access_keys.by_hash().values())

    def revoke_key(self, id: str) -> AccessKey:
        self._revoke(id, self._clock())
        for key in self.list_keys():
            if key.id == id:
                return key
        raise AccessKeyUnknown(id)

    def _revoke(self, id: str, at: int) -> None:
        with self._writing() as db:
            db.execute(statement("control_keys_revoke"), (at, id))
        self._access_keys.expire()

    def set_aside(self, items: Sequence[SetAside]) -> list[str]:
        named = [item if item.key else replace(item, key=new_key_id()) for item in items]
        with told_as_ours():
            data_keys = self._keyring.data_keys([_owner(item.key) for item in named])
        rows = [_row(item, key_id, key) for item, (key_id, key) in zip(named, data_keys, strict=True)]
        self._add_items(rows)
        return [item.key for item in named]

    def _add_items(self, rows: Sequence[ItemRow]) -> None:
        with self._writing() as db:
            db.executemany(statement("set_aside_add"), rows)

    def list_set_aside(
        self, source: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[SetAside], str | None]:
        before = _before(cursor)
        name = "set_aside_list_of_source" if source is not None else "set_aside_list"
        given = (before, limit + 1) if source is None else (source, before, limit + 1)
        with self._lock:
            rows = self._db.execute(statement(name), given).fetchall()
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return list(self._opened(rows[:limit])), more

    def count_set_aside(self) -> int:
        with self._lock:
            (count,) = self._db.execute(statement("set_aside_count")).fetchone()
        return int(count)

    def groups_set_aside(self, limit: int = 50) -> list[AsideGroup]:
        with self._lock:
            return [AsideGroup(*row) for row in self._db.execute(statement("set_aside_groups"), (limit,))]

    def sources_set_aside(self) -> dict[str, int]:
        with self._lock:
            return dict(self._db.execute(statement("set_aside_sources")))

    def keys_set_aside(self, source: str, why: tuple[str, str] | None = None, limit: int = 500) -> list[str]:
        code, reason = why or (None, None)
        given = {"source": source, "code": code, "reason": reason, "limit": limit}
        with self._lock:
            return [key for (key,) in self._db.execute(statement("set_aside_keys"), given)]

    def get_set_aside(self, key: str) -> SetAside:
        with self._lock:
            rows = self._db.execute(statement("set_aside_get"), (key,)).fetchall()
        for item in self._opened(rows):
            return item
        raise SetAsideUnknown(key)

    def mark_redriven(self, key: str) -> None:
        self.remove([key])

    def expire(self, older_than: int) -> int:
        with self._lock:
            keys = [key for (key,) in self._db.execute(statement("set_aside_expired"), (older_than,))]
        if keys:
            self.remove(keys)
        return len(keys)

    def remove(self, keys: Sequence[str]) -> None:
        with told_as_ours():
            self._keyring.destroy([_owner(key) for key in keys])
        self._drop_items(keys)

    def _drop_items(self, keys: Sequence[str]) -> None:
        with self._writing() as db:
            db.execute(statement("set_aside_remove"), (json.dumps(list(keys)),))

    def close(self) -> None:
        self._access_keys.close()
        with self._lock:
            self._db.close()

    def _opened(self, rows: list[tuple[Any, ...]]) -> Iterator[SetAside]:
        """Leaves out what is just being removed: its key goes before its row does."""
        for (
            _,
            key,
            reason,
            code,
            source,
            channel,
            route,
            received_at,
            sent_at,
            key_id,
            raw,
            inherited,
        ) in rows:
            try:
                data_key = self._keyring.key(key_id)
            except KeyDestroyed:
                continue
            yield SetAside(
                key=key,
                reason=reason,
                code=code,
                source=source,
                channel=channel,
                route=route,
                inherited=json.loads(unseal(inherited, data_key, _part(key, "inherited"))),
                received_at=received_at,
                raw=unseal(raw, data_key, _part(key, "raw")),
                sent_at=sent_at,
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with told_as_ours(), self._lock, transaction(self._db):
            yield self._db


class AccessKeys:
    """All access keys in memory: there are few, and every request asks for one. Read anew when the file
    changed.

    It has a connection of its own, so that a request never waits for something being set aside, and so that
    SQLite's data_version tells it of every change, whichever process made it.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._keys: dict[str, AccessKey] = {}
        self._version: int | None = None
        self._fresh_until = 0.0

    def by_hash(self, *, afresh: bool = False) -> dict[str, AccessKey]:
        """By the hash of the secret, the oldest first. Not to be changed. `afresh` looks whether the file changed,
        however short ago it was last looked at: a key must open from the moment it was made."""
        if afresh or time.monotonic() >= self._fresh_until:
            with told_as_ours(), self._lock:
                self._refresh()
        return self._keys

    def expire(self) -> None:
        """This process changed something: the next look must see it, also if one is under way."""
        with self._lock:
            self._fresh_until = 0.0

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _refresh(self) -> None:
        fresh_until = time.monotonic() + FRESH_SECONDS
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            rows = self._db.execute(statement("control_keys_read")).fetchall()
            self._keys = {hashed: _access_key(*row) for hashed, *row in rows}
            self._version = version
        self._fresh_until = fresh_until


def upgrade(db: sqlite3.Connection) -> None:
    """Keys of version 0.1 had no name. Two processes may come upon them at once."""
    with transaction(db):
        if "name" not in {column for _, column, *_ in db.execute("PRAGMA table_info(access_keys)")}:
            db.execute(statement("control_upgrade"))


def _access_key(
    id: str,
    role: str,
    source: str,
    channel: str | None,
    origins: str,
    created_at: int,
    revoked_at: int | None,
    name: str | None,
) -> AccessKey:
    return AccessKey(id, role, source, channel, tuple(json.loads(origins)), created_at, revoked_at, name)


def _hashed(secret: str) -> str:
    """A plain SHA-256 is enough, and fast enough for every request: the secret is 256 random bits, so there
    is nothing to guess that a slow password hash would protect."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check_key(role: str, source: str, channel: str | None, origins: Sequence[str], name: str | None) -> None:
    if role not in ROLES:
        raise Refused(400, "role_invalid", f"role: expected one of {', '.join(ROLES)}")
    if not SOURCE_NAME.fullmatch(source):
        raise Refused(400, "source_invalid", f"source: expected a name like web-shop, {SOURCE_NAME.pattern}")
    if source == OURS:
        raise Refused(
            400, "source_reserved", f"source: expected another than {OURS}, which is the server's own"
        )
    if channel is not None and not SOURCE_NAME.fullmatch(channel):
        raise Refused(
            400, "channel_invalid", f"channel: expected a name like web_chat, {SOURCE_NAME.pattern}"
        )
    if origins and role != "publish":
        raise Refused(400, "origins_invalid", "origins: only a key that publishes may sit in a web page")
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise Refused(
            400, "origins_invalid", "origins: expected scheme://host[:port] in lower case, without a path"
        )
    if name is not None and not (
        name.strip() == name and name.isprintable() and 0 < len(name) <= LONGEST_NAME
    ):
        raise Refused(
            400,
            "name_invalid",
            f"name: expected that of a person, 1 to {LONGEST_NAME} characters in one line",
        )


def _owner(key: str) -> str:
    return SET_ASIDE + key


def _part(key: str, name: str) -> bytes:
    """Associated data: a sealed part opens only as this part of this item."""
    return f"{_owner(key)}:{name}".encode()


def _row(item: SetAside, key_id: str, key: bytes) -> ItemRow:
    """Nothing an item holds may keep it from being set aside: a name in the reason may be text that UTF-8
    cannot express, what is inherited may hold NaN."""
    return ItemRow(
        key=item.key,
        reason=item.reason.encode("utf-8", "backslashreplace").decode(),
        code=item.code,
        source=item.source,
        channel=item.channel,
        route=item.route,
        received_at=item.received_at,
        sent_at=item.sent_at,
        key_id=key_id,
        raw=seal(item.raw, key, _part(item.key, "raw")),
        inherited=seal(json.dumps(item.inherited).encode(), key, _part(item.key, "inherited")),
    )


def _before(cursor: str | None) -> int:
    if cursor is None:
        return 2**63 - 1
    if not re.fullmatch(r"[0-9]{1,18}", cursor):
        raise Refused(400, "cursor_invalid", "cursor: expected the `next` of the page before")
    return int(cursor)
