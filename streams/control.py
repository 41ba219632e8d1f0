"""What the doors need besides the journal: access keys, and what was set aside.

Both are primary data: they are not in the journal and cannot be folded from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from touchbook.schemas.strict_json import JsonInvalid, decode
from touchbook.schemas.times import rfc3339
from touchbook.schemas.touchpoint import OURS as OURS

KeyRole = Literal["publish", "channel", "read-scores", "agent", "admin"]
ROLES: tuple[str, ...] = get_args(KeyRole)
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
PUBLISHING = ("publish", "channel")
LONGEST_NAME = 100
Clock = Callable[[], int]
"""Milliseconds UTC."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Who may do what under which name. The secret itself is kept nowhere. Times are milliseconds UTC.

    `source` names the service in everything it publishes; `channel` is the channel of its items that do not
    say; `origins` are the web origins that may send it from a browser; `name` is that of the person who has it.
    """

    id: str
    role: str
    source: str
    channel: str | None
    origins: tuple[str, ...]
    created_at: int
    revoked_at: int | None = None
    name: str | None = None

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
        return self.raw.decode(errors="backslashreplace") if self.fault else json.loads(self.raw)

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
            **self.place,
        }

    @property
    def place(self) -> dict[str, Any]:
        """Topic, partition and offset of the record that it was; nothing where it came by a door."""
        came = self.inherited.get("kafka") or {}
        return {name: came[name] for name in ("topic", "partition", "offset") if name in came}


@dataclass(frozen=True, slots=True)
class AsideGroup:
    """What one source sent that was set aside for one reason: how many, and when the newest was received."""

    source: str
    code: str
    reason: str
    items: int
    newest: int


class Control(Protocol):
    """Keeps access keys and what was set aside. Every method may be called from any thread."""

    def create_key(
        self,
        role: str,
        source: str,
        channel: str | None = None,
        origins: Sequence[str] = (),
        name: str | None = None,
    ) -> tuple[AccessKey, str]:
        """A new key and its secret, `tb_<role>_…`, which is told here and never again. `name` is that of the person
        who gets it.

        Raises Refused (400) naming the argument that is not as expected. A source is either a public page or a
        service: with both, a visitor could take the ids that the service is about to send.
        """
        ...

    def find_key(self, secret: str) -> AccessKey | None:
        """The key with this secret; None if there is none or it was revoked. Answered from memory. What another
        process made or revoked counts here a moment later."""
        ...

    def list_keys(self) -> list[AccessKey]:
        """All keys ever created, revoked ones too, the oldest first."""
        ...

    def revoke_key(self, id: str) -> AccessKey:
        """From now on the secret opens nothing. Revoked again, it keeps its first time. Raises
        AccessKeyUnknown."""
        ...

    def set_aside(self, items: Sequence[SetAside]) -> list[str]:
        """Keeps the items for good, sealed each under a key of its own, and answers their keys in that order.

        Durable when it returns. An item whose key is set aside already is left as it was first set aside.
        """
        ...

    def list_set_aside(
        self, source: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[SetAside], str | None]:
        """The newest first, of one source or of all, and the cursor of the next page (None: there is no
        more).

        Stable while items come and go. Raises Refused (400) for a cursor that this did not give.
        """
        ...

    def count_set_aside(self) -> int:
        """How many are set aside now, of all sources."""
        ...

    def groups_set_aside(self, limit: int = 50) -> list[AsideGroup]:
        """What is set aside by source and reason, the group with the newest item first. No item is opened for it."""
        ...

    def sources_set_aside(self) -> dict[str, int]:
        """How many items of each source are set aside, the most first."""
        ...

    def keys_set_aside(self, source: str, why: tuple[str, str] | None = None, limit: int = 500) -> list[str]:
        """The keys of a source's items, of one (code, reason) or of all, the oldest first."""
        ...

    def get_set_aside(self, key: str) -> SetAside:
        """Raises SetAsideUnknown."""
        ...

    def mark_redriven(self, key: str) -> None:
        """It was accepted after all: it is set aside no longer, and its bytes are gone. May be called
        again."""
        ...

    def expire(self, older_than: int) -> int:
        """Removes what was received before `older_than` (milliseconds UTC), and says how many those were."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """These are set aside no longer, and nothing can open their bytes any more. May be called again."""
        ...

    def close(self) -> None:
        """Releases everything. May be called again."""
        ...
