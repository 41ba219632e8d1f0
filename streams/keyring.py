"""The keyring: the keys that open the journal's bodies. What is destroyed here is erased everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from touchbook.sealing import IdentityKey


class DataKey(NamedTuple):
    """A key and its random name, which is stored with each body it seals."""

    key_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"DataKey({self.key_id})"


SET_ASIDE = "set-aside:"
"""What the owner of a key is called that seals one item set aside, and nothing else."""


class Keyring(Protocol):
    """Keeps data keys wrapped by a master key. An owner is a customer's permanent id, or "set-aside:<key>".

    Every method may be called from any thread.
    """

    @property
    def identity_key(self) -> IdentityKey:
        """What permanent ids are made with: drawn once, never rotated, never the same elsewhere."""
        ...

    def data_keys(self, owners: Sequence[str]) -> list[DataKey]:
        """One key per owner, in the order given, made on first use.

        New keys are durable when this returns, so that nothing is ever sealed with a key a crash would lose. Raises
        StoreUnavailable while it cannot be known which keys still seal.
        """
        ...

    def confirm(self, key_ids: Sequence[str]) -> None:
        """Raises StoreUnavailable unless what was sealed with these keys, and is durable by now, was durable before
        anybody could destroy one of them. To be asked before such a thing is acknowledged: between `data_keys` and now
        this process may have been held, and a customer erased elsewhere. Does not wait."""
        ...

    def key(self, key_id: str) -> bytes:
        """The key of this name. Raises KeyDestroyed if there is none any more."""
        ...

    def key_ids(self, owners: Sequence[str]) -> list[str]:
        """The names of all keys of the owners."""
        ...

    def destroy(self, owners: Sequence[str]) -> list[str]:
        """Destroys every key of the owners, leaving no copy in any file, and answers their ids.

        Afterwards `key` raises KeyDestroyed for them, and `data_keys` makes new ones. Owners without a key
        are passed over, so an erasure that was interrupted is simply done again.
        """
        ...

    def destroy_keys(self, key_ids: Sequence[str]) -> None:
        """The same for single keys: an owner who has got a new one since keeps that. May be called again."""
        ...

    def destroyed(self) -> list[str]:
        """The ids of all keys ever destroyed: never whose they were. Kept apart from the keys, so that a keyring that
        is restored from a backup loses them again when it is opened."""
        ...

    def heed(self) -> None:
        """Forgets keys kept in memory that another process may have destroyed: `key` raises KeyDestroyed for them from
        now on. For who learns of an erasure, such as from the journal."""
        ...

    def probe(self) -> None:
        """Raises what the store raises while it takes nothing."""
        ...

    def close(self) -> None:
        """Releases everything. May be called again."""
        ...
