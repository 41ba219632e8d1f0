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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from touchbook.errors import BodyUnreadable
from touchbook.schemas.touchpoint import Identifier, Touchpoint

KEY_BYTES = 32
NONCE_BYTES = 12
KEPT_OPENERS = 4_096
"""Keys that are kept ready to open bodies, about 2.5 KB each."""
BODY_FORMAT = 1
"""Written into every body. Bodies are kept for good: a new format comes beside the old ones."""

_canonical = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_new = tuple.__new__
"""Makes a named tuple of its fields without its constructor, a Python function of its own."""
_identifier = partial(_new, Identifier)
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


def seal_each(bodies: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """`seal` for each (plain, key, associated). The nonces are drawn at once: to draw one lets go of the interpreter,
    and beside a busy thread every return to it is a wait."""
    drawn = os.urandom(NONCE_BYTES * len(bodies))
    nonces = [drawn[start : start + NONCE_BYTES] for start in range(0, len(drawn), NONCE_BYTES)]
    return [
        nonce + AESGCM(key).encrypt(nonce, plain, associated)
        for nonce, (plain, key, associated) in zip(nonces, bodies, strict=True)
    ]


def unseal(sealed: bytes, key: bytes, associated: bytes) -> bytes:
    """What `seal` was given. Raises BodyUnreadable for another key, other associated bytes, a changed bit."""
    if len(sealed) < NONCE_BYTES:
        raise BodyUnreadable("it is shorter than a nonce")
    try:
        return _opener(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag:
        raise BodyUnreadable("it does not belong to this key and touchpoint, or was damaged") from None


# Making one takes as long as using it, and what is read belongs to few people in turn. Whoever can name a key holds it:
# one that the keyring has destroyed is asked for no more, and leaves as others come.
_opener = lru_cache(KEPT_OPENERS)(AESGCM)


def forget_keys() -> None:
    """Lets go of every key that was used to open something: after an erasure none stays in memory."""
    _opener.cache_clear()


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

    def key_for(self, purpose: str) -> bytes:
        """A key of 256 bits for something else, the same in every process with this keyring. Nothing that `id_of` is
        given begins with NUL, so neither tells anything of the other."""
        return hmac.digest(self.secret, b"\0" + purpose.encode(), "sha256")


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
    said = {
        "format": BODY_FORMAT,
        "id": touchpoint.id,
        "subject": tuple(touchpoint.subject),  # a plain tuple is spelled the same, in a third of the time
        "identifiers": list(map(tuple, touchpoint.identifiers)),
        "received_at": touchpoint.received_at,
        "said_at": touchpoint.said_at,
        "sent_at": touchpoint.sent_at,
        "strength": touchpoint.strength,
        "digest": touchpoint.digest,
        "data": touchpoint.data,
        "extra": touchpoint.extra,
    }
    try:
        body = to_json(said, inf_nan_mode="constants")
    except ValueError:  # half a surrogate pair
        return _spelled(said)
    return _spelled(said) if b"NaN" in body or b"Infinity" in body else body


def _spelled(said: dict[str, Any]) -> bytes:
    return _as_given.encode(said).encode("utf-8", "surrogatepass")


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
    return _new(
        Touchpoint,
        (
            key,
            said["id"],
            source,
            type,
            version,
            channel,
            _identifier(said["subject"]),
            tuple(map(_identifier, said["identifiers"])),
            occurred_at,
            said["received_at"],
            said["data"],
            said["digest"],
            said["strength"],
            said["said_at"],
            said["sent_at"],
            recorded_at,
            said["extra"],
        ),
    )


def digest_in(body: bytes) -> str:
    """The digest of the canonical payload kept in an encoded body. Raises BodyUnreadable."""
    digest: str = _parsed(body)["digest"]
    return digest


def encode_erasure(members: Sequence[str]) -> bytes:
    """The body of an erasure: the permanent ids it names, readable for ever, since no key seals it."""
    return canonical({"format": BODY_FORMAT, "erased": list(members)})


def erased_in(key_id: str, body: bytes) -> list[str] | None:
    """The permanent ids that an erasure names; None for a touchpoint, which always has a key."""
    if key_id:
        return None
    erased: list[str] = _parsed(body)["erased"]
    return erased


def _parsed(body: bytes) -> dict[str, Any]:
    said: dict[str, Any]
    try:
        said = from_json(body, cache_strings="keys")
    except ValueError:  # it holds half a surrogate pair, or is nested deeper than this reader goes
        said = json.loads(body.decode("utf-8", "surrogatepass"))
    if said["format"] != BODY_FORMAT:
        raise BodyUnreadable(f"it has format {said['format']}, this version reads {BODY_FORMAT}")
    return said
