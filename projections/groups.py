"""Very large groups: thousands of identifiers whose claims touch, as of a test user who came from everywhere.

Resolving one takes a quarter of a second, and every touchpoint changes it. Nearly none says anything new of who is who,
so what was resolved is kept and only what was touched since is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from touchbook.links import Links
from touchbook.projections.stores.port import Known, Reader
from touchbook.recent import Recent
from touchbook.schemas.touchpoint import Claim, Identifier

LARGE = 100
"""Identifiers from which on a group is kept."""
FEW_TOUCHED = 100
KEPT = 32


@dataclass(frozen=True, slots=True)
class _Group:
    """As it was when somebody of it was last touched at `changed`."""

    changed: int
    claims: frozenset[Claim]
    shared: frozenset[Identifier]
    links: Links


class LargeGroups:
    """The last large groups that were resolved."""

    def __init__(self) -> None:
        self._groups: Recent[tuple[str, str], _Group] = Recent(KEPT)
        self._any = False

    def keep(
        self,
        reader: Reader,
        group: str,
        changed: int,
        size: int,
        claims: Iterable[Claim],
        shared: set[Identifier],
        links: Links,
    ) -> None:
        """What was resolved from these claims, if it is large."""
        if size > LARGE:
            kept = _Group(changed, frozenset(claims), frozenset(shared), links)
            self._groups.put((group, reader.version()), kept)
            self._any = True

    def links(self, reader: Reader, id: str, changed: int) -> tuple[Known, Links] | None:
        """The identifier behind `id` and the links of its group, if these are kept and still hold: nothing touched
        since made a claim that was not there before. Both sides of a claim are touched by whoever makes it."""
        if not self._any:
            return None
        own = reader.known([id])[0]
        key = (own.group, reader.version())
        group = None if own.barred else self._groups.get(key)
        if group is None:
            return None
        touched = reader.touched(own.group, group.changed, FEW_TOUCHED + 1)
        if len(touched) > FEW_TOUCHED:
            return None
        claims, shared = reader.claims_since(touched, group.changed)
        if not (group.claims.issuperset(claims) and group.shared.issuperset(shared)):
            return None
        self._groups.put(key, replace(group, changed=changed))
        return own, group.links
