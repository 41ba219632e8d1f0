"""What the doors need besides the journal, in control.sqlite: access keys, and what was set aside.

Both are primary data: they are not in the journal and cannot be folded from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from touchbook.errors import AccessKeyUnknown, KeyDestroyed, Refused, SetAsideUnknown
from touchbook.schemas.strict_json import JsonInvalid, decode
from touchbook.schemas.times import rfc3339
from touchbook.sealing import new_key_id, seal, unseal
from touchbook.streams.backends.sqlite import connect, create_tables, statement, told_as_ours, transaction
from touchbook.streams.keyring import Keyring

FILE = "control.sqlite"
KeyRole = Literal["publish", "channel", "read-scores", "agent", "admin"]
ROLES: tuple[str, ...] = get_args(KeyRole)
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
PUBLISHING = ("publish", "channel")
FRESH_SECONDS = 0.25
"""How long a key created or revoked by another process may go unnoticed."""

Clock = Callable[[], int]
"""Milliseconds UTC."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Who may do what under which name. The secret itself is kept nowhere. Times are milliseconds UTC.

    `source` names the service in everything it publishes; `channel` is the channel of its items that do not
    say; `origins` are the web origins that may send it from a browser.
    """

    id: str
    role: str
    source: str
    channel: str | None
    origins: tuple[str, ...]
    created_at: int
    revoked_at: int | None = None

    @property
    def public(self) -> bool:
        """It sits in a web page for everyone to read, so what comes with it proves nothing about who sent
        it."""
        return bool(self.origins)


@dataclass(frozen=True, slots=True)
class SetAside:
    """An item that could not be accepted, with everything needed to try it again. Times are milliseconds UTC.

    `key`       its own name, 32 hex characters; empty: one is drawn when it is set aside
    `reason`    in words, `code` for programs: neither carries values of the item
    `route`     how `raw` is to be read; `raw` is the item as sent, `inherited` what its batch gave it (JSON)
    """

    key: str
    reason: str
    code: str
    source: str
    channel: str | None
    route: str
    inherited: dict[str, Any]
    received_at: int
    raw: bytes
    sent_at: int | None

    @property
    def item(self) -> Any:
        """The item as it was sent; as text where it is no JSON that other programs would read alike."""
        return self.raw.decode() if self.fault else json.loads(self.raw)

    @property
    def fault(self) -> str | None:
        """Why it is no such JSON; None where it is."""
        try:
            decode(self.raw)
        except JsonInvalid as error:
            return str(error)
        return None

    def to_json(self) -> dict[str, Any]:
        """As those see it who may look at what was set aside."""
        return {
            "key": self.key,
            "reason": self.reason,
            "code": self.code,
            "source": self.source,
            "received_at": rfc3339(self.received_at),
            "raw": self.item,
        }


class Control:
    """Every method may be called from any thread, and any number of processes may have the file open."""

    @classmethod
    def at(cls, directory: Path, keyring: Keyring, clock: Clock) -> Control:
        """Opens DIR/control.sqlite, and makes it if it is not there."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = connect(directory / FILE)
        create_tables(db, "control_schema")
        return cls(db, _AccessKeys(connect(directory / FILE)), keyring, clock)

    def __init__(
        self, db: sqlite3.Connection, access_keys: _AccessKeys, keyring: Keyring, clock: Clock
    ) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._access_keys = access_keys
        self._keyring = keyring
        self._clock = clock

    def create_key(
        self, role: str, source: str, channel: str | None = None, origins: Sequence[str] = ()
    ) -> tuple[AccessKey, str]:
        """A new key and its secret, `tb_<role>_…`, which is told here and never again.

        Raises Refused (400) naming the argument that is not as expected. A source is either a public page or a
        service: with both, a visitor could take the ids that the service is about to send.
        """
        _check_key(role, source, channel, origins)
        self._keep_apart(role, source, bool(origins))
        key = AccessKey(secrets.token_hex(8), role, source, channel, tuple(origins), self._clock())
        secret = f"tb_{role}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip('=')}"
        row = (key.id, _hashed(secret), role, source, channel, json.dumps(key.origins), key.created_at)
        with self._writing() as db:
            db.execute(statement("control_keys_add"), row)
        self._access_keys.expire()
        return key, secret

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
        """The key with this secret; None if there is none or it was revoked.

        Answered from memory. A key that another process made opens at once; one that it revoked may still open
        for FRESH_SECONDS.
        """
        hashed = _hashed(secret)
        key = self._access_keys.by_hash().get(hashed) or self._access_keys.by_hash(afresh=True).get(hashed)
        return key if key and key.revoked_at is None else None

    def list_keys(self) -> list[AccessKey]:
        """All keys ever created, revoked ones too, the oldest first."""
        return list(self._access_keys.by_hash().values())

    def revoke_key(self, id: str) -> AccessKey:
        """From now on the secret opens nothing. Revoked again, it keeps its first time. Raises
        AccessKeyUnknown."""
        with self._writing() as db:
            db.execute(statement("control_keys_revoke"), (self._clock(), id))
        self._access_keys.expire()
        for key in self.list_keys():
            if key.id == id:
                return key
        raise AccessKeyUnknown(id)

    def set_aside(self, items: Sequence[SetAside]) -> list[str]:
        """Keeps the items for good, sealed each under a key of its own, and answers their keys in that order.

        Durable when it returns. An item whose key is set aside already is left as it was first set aside.
        """
        named = [item if item.key else replace(item, key=new_key_id()) for item in items]
        with told_as_ours():
            data_keys = self._keyring.data_keys([_owner(item.key) for item in named])
        rows = [_row(item, key_id, key) for item, (key_id, key) in zip(named, data_keys, strict=True)]
        with self._writing() as db:
            db.executemany(statement("set_aside_add"), rows)
        return [item.key for item in named]

    def list_set_aside(
        self, source: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[SetAside], str | None]:
        """The newest first, of one source or of all, and the cursor of the next page (None: there is no
        more).

        Stable while items come and go. Raises Refused (400) for a cursor that this did not give.
        """
        before = _before(cursor)
        name = "set_aside_list_of_source" if source is not None else "set_aside_list"
        given = (before, limit + 1) if source is None else (source, before, limit + 1)
        with self._lock:
            rows = self._db.execute(statement(name), given).fetchall()
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return list(self._opened(rows[:limit])), more

    def count_set_aside(self) -> int:
        """How many are set aside now, of all sources."""
        with self._lock:
            (count,) = self._db.execute(statement("set_aside_count")).fetchone()
        return int(count)

    def get_set_aside(self, key: str) -> SetAside:
        """Raises SetAsideUnknown."""
        with self._lock:
            rows = self._db.execute(statement("set_aside_get"), (key,)).fetchall()
        for item in self._opened(rows):
            return item
        raise SetAsideUnknown(key)

    def mark_redriven(self, key: str) -> None:
        """It was accepted after all: it is set aside no longer, and its bytes are gone. May be called
        again."""
        self.remove([key])

    def expire(self, older_than: int) -> int:
        """Removes what was received before `older_than` (milliseconds UTC), and says how many those were."""
        with self._lock:
            keys = [key for (key,) in self._db.execute(statement("set_aside_expired"), (older_than,))]
        if keys:
            self.remove(keys)
        return len(keys)

    def remove(self, keys: Sequence[str]) -> None:
        """These are set aside no longer, and nothing can open their bytes any more. May be called again."""
        with told_as_ours():
            self._keyring.destroy([_owner(key) for key in keys])
        with self._writing() as db:
            db.execute(statement("set_aside_remove"), (json.dumps(list(keys)),))

    def close(self) -> None:
        """May be called again."""
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


class _AccessKeys:
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


def _access_key(
    id: str,
    role: str,
    source: str,
    channel: str | None,
    origins: str,
    created_at: int,
    revoked_at: int | None,
) -> AccessKey:
    return AccessKey(id, role, source, channel, tuple(json.loads(origins)), created_at, revoked_at)


def _hashed(secret: str) -> str:
    """A plain SHA-256 is enough, and fast enough for every request: the secret is 256 random bits, so there
    is nothing to guess that a slow password hash would protect."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check_key(role: str, source: str, channel: str | None, origins: Sequence[str]) -> None:
    if role not in ROLES:
        raise Refused(400, "role_invalid", f"role: expected one of {', '.join(ROLES)}")
    if not SOURCE_NAME.fullmatch(source):
        raise Refused(400, "source_invalid", f"source: expected a name like web-shop, {SOURCE_NAME.pattern}")
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


def _owner(key: str) -> str:
    return f"set-aside:{key}"


def _part(key: str, name: str) -> bytes:
    """Associated data: a sealed part opens only as this part of this item."""
    return f"{_owner(key)}:{name}".encode()


def _row(item: SetAside, key_id: str, key: bytes) -> tuple[object, ...]:
    """Nothing an item holds may keep it from being set aside: a name in the reason may be text that UTF-8
    cannot express, what is inherited may hold NaN."""
    reason = item.reason.encode("utf-8", "backslashreplace").decode()
    raw = seal(item.raw, key, _part(item.key, "raw"))
    inherited = seal(json.dumps(item.inherited).encode(), key, _part(item.key, "inherited"))
    return (
        item.key, reason, item.code, item.source, item.channel, item.route, item.received_at, item.sent_at,
        key_id, raw, inherited,
    )  # fmt: skip


def _before(cursor: str | None) -> int:
    if cursor is None:
        return 2**63 - 1
    if not re.fullmatch(r"[0-9]{1,18}", cursor):
        raise Refused(400, "cursor_invalid", "cursor: expected the `next` of the page before")
    return int(cursor)
