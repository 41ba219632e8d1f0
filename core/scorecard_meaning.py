"""What a scorecard would mean, before anybody is scored by it: how far each of its lines can move the points."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from touchbook.components import (
    MILLION,
    ActiveDays,
    Balance,
    Base,
    Component,
    Decayed,
    First,
    Gap,
    Streak,
    decay_table,
    quotient,
)
from touchbook.schemas.signals import is_reserved
from touchbook.scorecard import Scorecard

Range = tuple[int, int]
"""(least, most) milli-points."""


def range_of(component: Component) -> Range:
    """No ledger gives less or more; what a line can give only with every day at its cap counts too."""
    match component:
        case Base():
            return component.points, component.points
        case Decayed():
            most = abs(_of_all_days(component)) * len(component.signals)
            return (-most, most) if component.of == "total" else _toward(component.weight, most)
        case Balance():
            signs = {evidence.sign for evidence in component.evidence}
            return (-component.swing if -1 in signs else 0), (component.swing if 1 in signs else 0)
        case ActiveDays():
            return _toward(
                component.weight, abs(component.weight) * min(component.max_days, component.window)
            )
        case Streak():
            return _toward(component.weight, abs(component.weight) * component.max_periods)
        case First() | Gap():
            return _toward(component.weight, abs(component.weight))
    raise TypeError(f"{component.kind} has no range")


def meaning_of(card: Scorecard, known_signals: Collection[str]) -> dict[str, Any]:
    """The scorecard as JSON with the range of each line, part and the value, the tiers that no ledger can reach, and
    the signals that nobody gives. `known_signals` are those of a catalogue."""
    ranges = {part.name: [range_of(one) for one in part.components] for part in card.parts}
    least, most = (
        {part.name: part.kept_within(sum(r[end] for r in ranges[part.name])) for part in card.parts}
        for end in (0, 1)
    )
    described = card.describe()
    for part in described["parts"]:
        name = part["part"]
        part["milli_points"] = {"least": least[name], "most": most[name]}
        for component, (low, high) in zip(part["components"], ranges[name], strict=True):
            component["milli_points"] = {"least": low, "most": high}
    highest = card.value.of(most)
    return {
        **described,
        "milli_points": {"least": sum(least.values()), "most": sum(most.values())},
        "values": {"least": card.value.of(least), "most": highest},
        "out_of_reach": [tier for tier, at in card.tiers if at > highest],
        "signals": sorted(card.signals),
        "given_by_nobody": unknown_signals(card, known_signals),
    }


def unknown_signals(card: Scorecard, known_signals: Collection[str]) -> list[str]:
    """What it reads that neither a touchpoint gives nor a family of signals covers."""
    return sorted(one for one in card.signals if one not in known_signals and not is_reserved(one))


def _of_all_days(component: Decayed) -> int:
    """One signal at its cap on every day that still counts."""
    table = decay_table(component.half_life)[component.min_age :]
    return sum(quotient(component.cap * component.weight * decay, MILLION) for decay in table)


def _toward(weight: int, most: int) -> Range:
    return (0, most) if weight > 0 else (-most, 0)
