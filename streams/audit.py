"""The audit trail: who looked at whom, and did what. Append-only, each entry chained to the one before.

An entry is kept as the text that was hashed, byte for byte. The text names the hash of the entry before it, so nothing
can be changed, removed, inserted or put in another order without a break that `verified` finds. Two things a chain
cannot show by itself: that its end was cut off, and that somebody wrote all of it anew. Both show against a `head` that
was told before and kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from touchbook.schemas.times import rfc3339

START = "0" * 64
"""What stands for the hash before the first entry of all, and the head of a trail without entries."""
MAIN = "main"
"""The name of the chain where there is one."""


class Written(NamedTuple):
    """An entry as it is kept. `position` ascends; `text` is JSON in ASCII; `hash` is the SHA-256 of it, in hex."""

    position: int
    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what. `at` is milliseconds UTC, `who` the id of an access key, `name` that of the person who has it,
    `customer` a permanent id; `number` counts within its `chain`."""

    position: int
    at: int
    who: str
    name: str
    act: str
    customer: str | None
    details: Mapping[str, str]
    chain: str
    number: int
    hash: str

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "at": rfc3339(self.at),
            "who": self.who,
            "name": self.name,
            "act": self.act,
            "customer": self.customer,
            "details": dict(self.details),
            "chain": self.chain,
            "number": self.number,
            "hash": self.hash,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found: how many entries are whole from the first on, and the head after them. `broken_at` is the
    position of the first that is not as it was written, and `why` says how one knows."""

    entries: int
    head: str
    broken_at: int | None = None
    why: str | None = None

    @property
    def whole(self) -> bool:
        return self.why is None


class Audit(Protocol):
    """Keeps the trail. Every method may be called from any thread.

    It holds permanent ids, never a clear identifier, nor anything a customer or an agent wrote: whoever appends sees
    to that. So it needs no erasing, and is never shortened.
    """

    def append(
        self, who: str, name: str, act: str, customer: str | None, details: Mapping[str, str], at: int
    ) -> None:
        """Durable when it returns. Raises StoreUnavailable: then it may or may not be kept, and what was to be
        recorded must not be done."""
        ...

    def read(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Those beyond a position, the oldest first."""
        ...

    def latest(
        self,
        limit: int = 50,
        before: int | None = None,
        *,
        who: str | None = None,
        act: str | None = None,
        customer: str | None = None,
    ) -> list[Entry]:
        """The newest first, below a position, of this key, act and customer where they are given."""
        ...

    def verify(self, head: str | None = None) -> Verdict:
        """Goes through the whole trail. `head` is one told before, which it must still contain."""
        ...

    def close(self) -> None:
        """Releases everything. May be called again."""
        ...


def chained(
    chain: str,
    number: int,
    before: str,
    who: str,
    name: str,
    act: str,
    customer: str | None,
    details: Mapping[str, str],
    at: int,
) -> tuple[str, str]:
    """The text of the next entry of a chain, whose last one has the hash `before`, and its hash."""
    said: dict[str, Any] = {
        "chain": chain,
        "number": number,
        "before": before,
        "at": at,
        "who": who,
        "name": _told(name),
        "act": act,
        "customer": customer,
        "details": {_told(field): _told(value) for field, value in details.items()},
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return text, _sha256(text)


def entry_of(written: Written) -> Entry | None:
    """None for a text that is no entry: somebody else wrote it."""
    said = _said(written.text)
    if said is None:
        return None
    del said["before"]
    return Entry(position=written.position, hash=written.hash, **said)


def _said(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.keys() != _FIELDS.keys():
        return None
    fits = all(isinstance(said[name], type) for name, type in _FIELDS.items())
    return said if fits and all(isinstance(value, str) for value in said["details"].values()) else None


_FIELDS: dict[str, Any] = {
    "chain": str,
    "number": int,
    "before": str,
    "at": int,
    "who": str,
    "name": str,
    "act": str,
    "customer": str | None,
    "details": dict,
}


def verified(trail: Iterable[Written], head: str | None = None, *, only: str | None = None) -> Verdict:
    """Whether a trail, read from its beginning, is as it was written.

    Every chain counts 1, 2, 3 … and each entry names the hash of the one before it; the first of a chain names any
    entry that was there before, or START. `only` is the chain it must be where there is one. The head after an entry
    covers all entries up to it, of all chains, in their order.
    """
    ends: dict[str, tuple[int, str]] = {}
    seen = {START}
    count, now, met = 0, START, head in (None, START)
    for one in trail:
        if why := _fault(one, only, ends, seen):
            return Verdict(count, now, one.position, why)
        count, now = count + 1, _sha256(now + one.hash)
        met = met or now == head
    if not met:
        why = "it does not contain the head told before: its end was cut off, or it was written anew"
        return Verdict(count, now, None, why)
    return Verdict(count, now)


def _fault(one: Written, only: str | None, ends: dict[str, tuple[int, str]], seen: set[str]) -> str | None:
    """How an entry does not follow those before it; notes it where it does."""
    if _sha256(one.text) != one.hash:
        return "its hash is not that of what it says: it was changed"
    if (said := _said(one.text)) is None:
        return "it is no entry of an audit trail: somebody else wrote it"
    chain, number, before = said["chain"], said["number"], said["before"]
    if only not in (None, chain):
        return "it is of another chain: somebody else wrote it"
    if chain in ends:
        last, hash = ends[chain]
        if number != last + 1:
            return f"it is number {number} of its chain where {last + 1} was due: others were removed or put elsewhere"
        if before != hash:
            return "it does not follow the entry before it: one of the two was put there or changed"
    elif number != 1:
        return f"it is number {number} of its chain where 1 was due: others were removed or put elsewhere"
    elif before not in seen:
        return "what it follows is not there: it was removed or changed"
    ends[chain] = (number, one.hash)
    if only is None:
        seen.add(one.hash)  # where there is one chain, none begins behind another
    return None


def _told(text: str) -> str:
    """What UTF-8 cannot express is written out, so that whatever reads it can show it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
