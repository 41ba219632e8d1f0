"""Every touchpoint type there is, one module per family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType

from touchbook.schemas.details import Details
from touchbook.schemas.touchpoints import (
    account,
    commerce,
    contact,
    conversation,
    feedback,
    immersive,
    information,
    learning,
    loyalty,
    person,
    recommendation,
    service,
)

FAMILIES: tuple[ModuleType, ...] = (
    conversation,
    feedback,
    commerce,
    service,
    recommendation,
    immersive,
    information,
    contact,
    loyalty,
    learning,
    account,
    person,
)


def types_of(family: ModuleType) -> list[type[Details]]:
    """The types a family's module declares, in the order written; bases without a stored name are none."""
    return [
        declared
        for declared in vars(family).values()
        if isinstance(declared, type)
        and issubclass(declared, Details)
        and declared.__module__ == family.__name__
        and "type" in vars(declared)
    ]


def by_name(types: Iterable[type[Details]]) -> Mapping[str, type[Details]]:
    """Types by stored name. Two under one name would make history ambiguous: TypeError at import."""
    named: dict[str, type[Details]] = {}
    for declared in types:
        if declared.type in named:
            raise TypeError(f"two touchpoint types are stored as {declared.type!r}")
        named[declared.type] = declared
    return MappingProxyType(named)


TYPES: Mapping[str, type[Details]] = by_name(declared for family in FAMILIES for declared in types_of(family))
