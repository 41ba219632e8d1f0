"""Old versions of a type are read for ever: each is lifted, one step at a time, to the newest.

An upcaster is a pure function from the data of one version to the data of the next. Stored bodies are never
rewritten. To change a type's fields: raise its `version`, keep the old samples, and register beside it

    @upcaster("order_placed", from_version=1)
    def _(data): return {**data, "currency": data.get("currency", "EUR")}
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

Data = dict[str, Any]
Upcaster = Callable[[Data], Data]


class Upcasters:
    """The steps known, by (type, version they start from)."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Upcaster] = {}

    def register(self, type: str, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """A decorator. Two steps from one version would make history ambiguous: TypeError at import."""

        def keep(step: Upcaster) -> Upcaster:
            if (type, from_version) in self._steps:
                raise TypeError(f"version {from_version} of {type!r} has two upcasters")
            self._steps[type, from_version] = step
            return step

        return keep

    def upcast(self, type: str, version: int, data: Data) -> Data:
        """The data in the newest version. What is given is left alone; without a step it is returned."""
        while step := self._steps.get((type, version)):
            data, version = step(deepcopy(data)), version + 1
        return data

    def reaches(self, type: str, version: int) -> int:
        """The version that `upcast` arrives at."""
        while (type, version) in self._steps:
            version += 1
        return version


UPCASTERS = Upcasters()
upcaster = UPCASTERS.register
upcast = UPCASTERS.upcast
