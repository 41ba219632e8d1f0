"""What a scorecard is: data, not code.

It says what its points are made of, line by line with the reason of each, how points become a value from
0 to 100, and what the values are called. `scorecard_files` reads one from a file, `scoring` computes
with it.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from touchbook.components import Balance, Component, quotient
from touchbook.errors import ScorecardUnknown

MOST_CHOICES = 1_024
"""So many sets of a scorecard's components are remembered, by the signals that move them."""


def bounded(points: int, saturation: int) -> int:
    """100 · points / (points + saturation), 0 below 0: half of the scale at `saturation` points."""
    return 100 * points // (points + saturation) if points > 0 else 0


@dataclass(frozen=True, slots=True)
class Saturating:
    """The more points, the less each adds."""

    saturation: int

    def of(self, parts: Mapping[str, int]) -> int:
        return bounded(sum(parts.values()), self.saturation)

    def describe(self) -> dict[str, Any]:
        return {"kind": "saturating", "saturation": self.saturation}


@dataclass(frozen=True, slots=True)
class Linear:
    """0 at `low` milli-points and below, 100 at `high` and above."""

    low: int
    high: int

    def of(self, parts: Mapping[str, int]) -> int:
        above = 100 * (sum(parts.values()) - self.low)
        return min(100, max(0, quotient(above, self.high - self.low)))

    def describe(self) -> dict[str, Any]:
        return {"kind": "linear", "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Shares:
    """Each part saturates by itself and fills at most its share: much of one does not pass for the other."""

    shares: Mapping[str, tuple[int, int]]
    """part -> (share of 100, saturation)"""

    def of(self, parts: Mapping[str, int]) -> int:
        return sum([share * bounded(parts[part], k) for part, (share, k) in self.shares.items()]) // 100

    def describe(self) -> dict[str, Any]:
        shares = {part: {"share": share, "saturation": k} for part, (share, k) in self.shares.items()}
        return {"kind": "parts", "parts": shares}


@dataclass(frozen=True, slots=True)
class Part:
    """Components whose points are added up, kept between `least` and `most` where it states them."""

    name: str
    components: tuple[Component, ...]
    least: int | None = None
    most: int | None = None

    def kept_within(self, points: int) -> int:
        if self.least is not None and points < self.least:
            return self.least
        return self.most if self.most is not None and points > self.most else points


@dataclass(frozen=True, slots=True)
class Needs:
    """There is no value without `signal` on a day younger than `within` days."""

    signal: str
    within: int


@dataclass(frozen=True)
class Scorecard:
    """One score. `tiers` are (name, least value) from 0 upwards; titles and descriptions are by language.

    `hold_days`     the tier shown is the best of today and of so many days before: nobody flickers
    `min_evidence`  below so much evidence there is neither value nor tier
    """

    name: str
    version: int
    title: Mapping[str, str]
    description: Mapping[str, str]
    value: Saturating | Linear | Shares
    tiers: tuple[tuple[str, int], ...]
    parts: tuple[Part, ...]
    hold_days: int = 0
    min_evidence: int = 0
    needs: Needs | None = None

    @cached_property
    def signals(self) -> frozenset[str]:
        """All it reads; no other row of a ledger can change it."""
        wanted = {signal for _, component in self._components for signal in component.signals}
        return frozenset(wanted | {self.needs.signal} if self.needs else wanted)

    @cached_property
    def fingerprint(self) -> str:
        """Hex over the whole content: equal exactly when everything it says is."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:32]

    @cached_property
    def _components(self) -> list[tuple[str, Component]]:
        return [(part.name, component) for part in self.parts for component in part.components]

    @cached_property
    def _fed_by(self) -> dict[str, int]:
        """signal -> places of the components that read it, as bits; "" -> of those that read none."""
        fed: dict[str, int] = {"": 0}
        for place, (_, component) in enumerate(self._components):
            for signal in component.signals or ("",):
                fed[signal] = fed.get(signal, 0) | 1 << place
        return fed

    @cached_property
    def _chosen(self) -> dict[int, list[tuple[str, Component]]]:
        return {}

    def fed_by(self, signals: Iterable[str]) -> list[tuple[str, Component]]:
        """(part, component) of all that these signals can move, in order: the others give nothing."""
        fed = self._fed_by
        places = fed[""]
        for signal in signals:
            if signal in fed:
                places |= fed[signal]
        found = self._chosen.get(places)
        if found is None:
            found = [one for place, one in enumerate(self._components) if places >> place & 1]
            if len(self._chosen) < MOST_CHOICES:  # the same few signals come together again and again
                self._chosen[places] = found
        return found

    @cached_property
    def weighs(self) -> bool:
        """Whether a balance is among its components."""
        return any(isinstance(component, Balance) for _, component in self._components)

    def component(self, part: str, component: str) -> Component:
        return next(c for name, c in self._components if (name, c.id) == (part, component))

    def rank_of(self, value: int) -> int:
        """The place of the tier that a value reaches, 0 for the lowest."""
        return bisect_right(self._leasts, value) - 1

    @cached_property
    def _leasts(self) -> list[int]:
        return sorted(least for _, least in self.tiers)

    def describe(self) -> dict[str, Any]:
        """As JSON, with the reason of every line."""
        return {**self._content(), "fingerprint": self.fingerprint}

    def _content(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "title": dict(self.title),
            "description": dict(self.description),
            "value": self.value.describe(),
            "tiers": [{"tier": tier, "at": least} for tier, least in self.tiers],
            "hold_days": self.hold_days,
            "min_evidence": self.min_evidence,
            "needs": {"signal": self.needs.signal, "within": self.needs.within} if self.needs else None,
            "parts": [
                {
                    "part": part.name,
                    "limits": {"min": part.least, "max": part.most},
                    "components": [component.describe() for component in part.components],
                }
                for part in self.parts
            ],
        }


class ScorecardSet(dict[str, Scorecard]):
    """The scorecards of an installation by name; not changed once read."""

    @cached_property
    def fingerprint(self) -> str:
        """Hex over the content of all of them."""
        together = "".join(f"{name}:{self[name].fingerprint};" for name in sorted(self))
        return hashlib.sha256(together.encode()).hexdigest()[:32]

    @cached_property
    def signals(self) -> frozenset[str]:
        """All that any of them reads."""
        return frozenset[str]().union(*(card.signals for card in self.values()))

    def named(self, name: str) -> Scorecard:
        """Raises `ScorecardUnknown`."""
        if name not in self:
            raise ScorecardUnknown(name, list(self))
        return self[name]

    def describe(self) -> list[dict[str, Any]]:
        return [card.describe() for card in self.values()]
