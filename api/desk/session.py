"""Who is signed in: a session sealed into a cookie, so that every replica knows it and none has to remember it.

It holds which access key signed in, when, and the token against forged acts. What a key may do is asked of the key at
every request, so a revoked one ends its sessions at once.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from touchbook.errors import BodyUnreadable, Refused
from touchbook.sealing import IdentityKey, seal, unseal
from touchbook.streams.control import AccessKey, Control

COOKIE = "touchbook_desk"
SESSION_SECONDS = 12 * 3600
ROLES = ("agent", "admin")
"""Whose keys open the desk; an admin's opens the overview and the scorecards alone."""
_FORMAT = 1
_ASSOCIATED = b"touchbook desk session 1"

TRIES = 10
TRY_SECONDS = 60.0
MOST_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Agent:
    """Who sits at the desk: the access key he signed in with."""

    key_id: str
    role: str
    source: str
    name: str

    @classmethod
    def of(cls, key: AccessKey) -> Agent:
        """A key that was made without a name goes by its source."""
        return cls(key.id, key.role, key.source, key.name or key.source)


@dataclass(frozen=True, slots=True)
class Session:
    """`issued` in milliseconds UTC; `csrf` comes back with every act, from our own pages alone."""

    key_id: str
    issued: int
    csrf: str

    @classmethod
    def begin(cls, key: AccessKey, now: int) -> Session:
        return cls(key.id, now, secrets.token_urlsafe(24))

    def answers(self, token: str) -> bool:
        """Whether this is the session's token."""
        return hmac.compare_digest(token.encode(), self.csrf.encode())


class Sessions:
    """Seals and opens sessions. Every process with the same keyring opens what another sealed."""

    def __init__(self, identity_key: IdentityKey, control: Control) -> None:
        self._key = identity_key.key_for("desk session")
        self._control = control

    def seal(self, session: Session) -> str:
        """As the cookie holds it."""
        plain = json.dumps([_FORMAT, session.key_id, session.issued, session.csrf]).encode()
        return base64.urlsafe_b64encode(seal(plain, self._key, _ASSOCIATED)).decode().rstrip("=")

    def open(self, cookie: str, now: int) -> tuple[Session, AccessKey] | None:
        """The session and its access key. None where it was not sealed here, has run out, or the key was revoked."""
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            format, key_id, issued, csrf = json.loads(unseal(sealed, self._key, _ASSOCIATED))
        except (BodyUnreadable, ValueError):
            return None
        session = Session(key_id, issued, csrf)
        key = self.key(session, now)
        return None if format != _FORMAT or key is None else (session, key)

    def key(self, session: Session, now: int) -> AccessKey | None:
        """The access key that holds this session; None once it has run out or the key was revoked."""
        if not 0 <= now - session.issued < SESSION_SECONDS * 1000:
            return None
        for key in self._control.list_keys():
            if key.id == session.key_id:
                return key if key.revoked_at is None and key.role in ROLES else None
        return None


class Tries:
    """Counts who tried keys that open nothing. A client is an address, in IPv6 a network of 64 bits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises `Refused` (429) once a client failed too often within a minute."""
        failed, since = self._failed.get(client_of(address), (0, 0.0))
        rest = since + TRY_SECONDS - self._clock()
        if failed >= TRIES and rest > 0:
            raise Refused(
                429,
                "tries_exceeded",
                "too many keys that open nothing came from here; try again after the seconds in Retry-After",
                retry_after=math.ceil(rest),
            )

    def failed(self, address: str) -> None:
        client = client_of(address)
        failed, since = self._failed.pop(client, (0, 0.0))
        now = self._clock()
        if now - since >= TRY_SECONDS:
            failed, since = 0, now
        self._failed[client] = failed + 1, since
        if len(self._failed) > MOST_CLIENTS:
            self._failed.popitem(last=False)


def client_of(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(int(ip) >> 64) if isinstance(ip, IPv6Address) else address
