"""The one place that makes bodies unreadable, and readable again.

A body is sealed with AES-256-GCM under the data key of its subject; data keys are wrapped the same way under
the master key. Whoever reads or writes a body goes through here, so nobody else needs to know how.

Sealed bytes = a random 96-bit nonce, then ciphertext and tag. Random nonces are safe for 2^32 uses of one key
(NIST SP 800-38D, 8.3): a data key seals what one subject did, the master key wraps one key for each.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from touchbook.errors import BodyUnreadable
from touchbook.schemas.touchpoint import Identifier, Touchpoint

KEY_BYTES = 32
NONCE_BYTES = 12
BODY_FORMAT = 1
"""Written into every body. Bodies are kept for good: a new format comes beside the old ones."""

_canonical = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_as_given = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def new_key() -> bytes:
    """A fresh random 256-bit key."""
    return os.urandom(KEY_BYTES)


def new_key_id() -> str:
    """A fresh random 128-bit name for a key, in hex: it says nothing about whose key it is."""
    return os.urandom(16).hex()


def seal(plain: bytes, key: bytes, associated: bytes) -> bytes:
    """Encrypts and signs. `associated` is not kept inside, but only the same bytes open it again."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, associated)


def unseal(sealed: bytes, key: bytes, associated: bytes) -> bytes:
    """What `seal` was given. Raises BodyUnreadable for another key, other associated bytes, a changed bit."""
    if len(sealed) < NONCE_BYTES:
        raise BodyUnreadable("it is shorter than a nonce")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag:
        raise BodyUnreadable("it does not belong to this key and touchpoint, or was damaged") from None


def wrap(key: bytes, master: bytes, key_id: str) -> bytes:
    """`key` sealed under the master key, bound to its id so that wrapped keys cannot be swapped."""
    return seal(key, master, key_id.encode())


def unwrap(wrapped: bytes, master: bytes, key_id: str) -> bytes:
    """The key that `wrap` was given. Raises BodyUnreadable under another master key or id."""
    return unseal(wrapped, master, key_id.encode())


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """Gives identifiers their permanent ids: without it nobody can tell whose they are, or try guesses."""

    secret: bytes = field(repr=False)
    _keyed: hmac.HMAC = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A copy of an object keyed once keeps hold of the interpreter; `hmac.digest` lets go of it at every call,
        # and then waits for its turn among the other threads.
        object.__setattr__(self, "_keyed", hmac.new(self.secret, digestmod="sha256"))

    def id_of(self, identifier: Identifier) -> str:
        """The first 128 bits of HMAC-SHA-256(secret, "type:value") in hex."""
        named = f"{identifier.type}:{identifier.value}".encode("utf-8", "surrogatepass")
        keyed = self._keyed.copy()
        keyed.update(named)
        return keyed.digest()[:16].hex()


def canonical(payload: Any) -> bytes:
    """JSON in one spelling: sorted keys, no spaces, UTF-8. Equal JSON values give equal bytes.

    Raises ValueError for NaN and infinities. A lone surrogate, which JSON can express and UTF-8 cannot, keeps
    the three bytes it would have, so that every JSON value has a spelling.
    """
    return _canonical.encode(payload).encode("utf-8", "surrogatepass")


def digest_of(payload: Any) -> str:
    """SHA-256 of the canonical payload, in hex."""
    return hashlib.sha256(canonical(payload)).hexdigest()


def encode_body(touchpoint: Touchpoint) -> bytes:
    """What the clear header of a record does not hold, as JSON. Raises ValueError for NaN and infinities."""
    return _as_given.encode(
        {
            "format": BODY_FORMAT,
            "id": touchpoint.id,
            "subject": touchpoint.subject,
            "identifiers": touchpoint.identifiers,
            "received_at": touchpoint.received_at,
            "said_at": touchpoint.said_at,
            "sent_at": touchpoint.sent_at,
            "strength": touchpoint.strength,
            "digest": touchpoint.digest,
            "data": touchpoint.data,
            "extra": touchpoint.extra,
        }
    ).encode("utf-8", "surrogatepass")


def decode_body(
    body: bytes,
    *,
    key: str,
    source: str,
    type: str,
    version: int,
    channel: str,
    occurred_at: int,
    recorded_at: int,
) -> Touchpoint:
    """The touchpoint that `encode_body` was given, with its clear header. Raises BodyUnreadable."""
    said = _parsed(body)
    return Touchpoint(
        key=key,
        id=said["id"],
        source=source,
        type=type,
        version=version,
        channel=channel,
        subject=Identifier(*said["subject"]),
        identifiers=tuple(Identifier(*identifier) for identifier in said["identifiers"]),
        occurred_at=occurred_at,
        received_at=said["received_at"],
        data=said["data"],
        digest=said["digest"],
        strength=said["strength"],
        said_at=said["said_at"],
        sent_at=said["sent_at"],
        recorded_at=recorded_at,
        extra=said["extra"],
    )


def digest_in(body: bytes) -> str:
    """The digest of the canonical payload kept in an encoded body. Raises BodyUnreadable."""
    digest: str = _parsed(body)["digest"]
    return digest


def _parsed(body: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(body.decode("utf-8", "surrogatepass"))
    if said["format"] != BODY_FORMAT:
        raise BodyUnreadable(f"it has format {said['format']}, this version reads {BODY_FORMAT}")
    return said
