"""How customers are spread over the tiers of a score, as one bar with words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from touchbook.api.desk.score_words import tier_of
from touchbook.schemas.display import Language
from touchbook.scorecard import Scorecard

WIDTH = 1_000
GAP = 2
THINNEST = 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """One tier's part of a bar, in the units of the drawing, and what stands below it."""

    tone: str
    word: str
    customers: int
    x: str
    width: str
    change: int | None = None
    """Customers more than in the bar it is compared with."""
    tier: str | None = None

    @property
    def shape(self) -> str:
        return "none" if self.tone == "void" else self.tone


def bar(
    card: Scorecard,
    counts: Mapping[str | None, int],
    language: Language,
    before: Mapping[str | None, int] | None = None,
) -> list[Stretch]:
    """Its tiers from the lowest, then those without a value where there are any. The widths are shares of all."""
    whole = sum(counts.values()) or 1
    drawn, reached = [], 0
    for tier in [*(name for name, _ in card.tiers), None]:
        number = counts.get(tier, 0)
        was = None if before is None else before.get(tier, 0)
        if tier is None and not number and not was:
            continue
        said = tier_of(card.name, tier)
        drawn.append(
            Stretch(
                said.tone,
                said.said.in_(language),
                number,
                f"{WIDTH * reached / whole:.1f}",
                f"{max(WIDTH * number / whole - GAP, THINNEST):.1f}" if number else "0",
                None if was is None else number - was,
                tier,
            )
        )
        reached += number
    return drawn
