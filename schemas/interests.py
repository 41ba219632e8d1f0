"""Interest in a category, as a signal: `interest:shoes` with its weight as total."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

from pydantic import BeforeValidator

from touchbook.schemas.details import INTEREST, Signal

MAX_CATEGORY = 100
MAX_CATEGORIES = 20
"""How many categories of one touchpoint count, in the order written."""

LOOKED_AT = 1
CLICKED = 2
BOUGHT = 5
DISMISSED = -3
"""What he does about a category, in points: looking, following a recommendation, buying, waving one away."""


def _texts(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else [value]
    if value is not None and not all(isinstance(one, str) for one in several):
        raise ValueError("input should be a text or a list of texts")
    return value


Category = Annotated[str | tuple[str, ...] | None, BeforeValidator(_texts)]
"""A category, or several."""


def interest(category: str | None, weight: int) -> Iterator[Signal]:
    """The interest that one touchpoint shows in a category; none where it names no category.

    Categories are the same if they are the same trimmed and casefolded, in their first 100 characters.
    """
    if category and (folded := category.strip().casefold()[:MAX_CATEGORY].rstrip()):
        yield Signal(INTEREST + folded, weight)


def interests(categories: Iterable[Category], weight: int) -> Iterator[Signal]:
    """The interest shown in several categories at once, each counted once, at most 20."""
    each = (one for some in categories for one in ((some,) if isinstance(some, str) else some or ()))
    signals = dict.fromkeys(signal for one in each for signal in interest(one, weight))
    return islice(iter(signals), MAX_CATEGORIES)
