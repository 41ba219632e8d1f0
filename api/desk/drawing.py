"""The lines of scores as SVG: coordinates in the drawing's own units, so that no style carries data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from touchbook.api.desk.words import Words

SPARK_WIDTH, SPARK_TOP, SPARK_BOTTOM = 80, 2, 18
CHART_TOP, CHART_BOTTOM = 9.7, 60.7
CHART_WIDTH = {"en": 258, "ru": 232}
"""Words beside the line take more room in Russian."""
LABEL_HEIGHT = 10.5
"""The small letters of a word and what hangs below them: closer, two would touch."""
LEAST_JUMP = 3
"""Points within a day that are worth pointing out."""
LEAST_RANGE = 20


@dataclass(frozen=True, slots=True)
class Spark:
    """`runs` are the polylines of the stretches where there was a value, `end` its last point."""

    label: str
    runs: tuple[str, ...]
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something with a word beside it: a threshold at a height, or an event at a place along the line."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    label: str
    width: int
    runs: tuple[str, ...]
    end: tuple[float, float]
    thresholds: tuple[Mark, ...]
    event: Mark | None
    fell: bool
    """At the event."""


def spark_of(title: str, values: Sequence[int | None], words: Words) -> Spark | None:
    """The small line beside a gauge, always 0 to 100 so that lines compare; None where nothing is known now."""
    if not values or (last := values[-1]) is None:
        return None

    def place(at: int, value: float) -> tuple[float, float]:
        along = 1 + SPARK_WIDTH * at / max(1, len(values) - 1)
        return along, SPARK_BOTTOM - value * (SPARK_BOTTOM - SPARK_TOP) / 100

    end = place(len(values) - 1, last)
    return Spark(_told(title, values, words), _polylines(_runs(values), place), _rounded(end))


def chart_of(
    title: str,
    values: Sequence[int | None],
    tiers: Sequence[tuple[str, int]],
    event: Callable[[int, bool], str],
    words: Words,
) -> Chart | None:
    """The line with the thresholds within its range and its largest jump; `event` tells of a place in `values`, and
    whether the line fell there, what happened. None where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = _range(known, [least for _, least in tiers])
    width = CHART_WIDTH[words.language]

    def height(value: float) -> float:
        return CHART_BOTTOM - (value - low) * (CHART_BOTTOM - CHART_TOP) / (high - low)

    def place(at: int, value: float) -> tuple[float, float]:
        return width * at / max(1, len(values) - 1), height(value)

    runs = _runs(values)
    end = max(at for run in runs for at, _ in run)
    jump = _jump(values)
    marked, fell = None, False
    label = _told(title, values, words)
    if jump is not None:
        at, fell = jump
        marked = Mark(_rounded(place(at, 0))[0], event(at, fell))
        label = words.gettext("%(line)s; the largest change on %(event)s", line=label, event=marked.words)
    return Chart(
        label,
        width,
        _polylines(runs, place),
        _rounded(place(end, known[-1])),
        _thresholds(tiers, low, high, height),
        marked,
        fell,
    )


def _range(known: Sequence[int], leasts: Sequence[int]) -> tuple[int, int]:
    """From the threshold below the line to the one above it; beyond the last one no further than the line goes, or the
    words of the others would have no room."""
    low = max((least for least in leasts if least <= min(known)), default=0)
    high = min((least for least in leasts if least >= max(known)), default=max(known))
    if high - low < LEAST_RANGE:
        low, high = max(0, low - LEAST_RANGE // 2), min(100, high + LEAST_RANGE // 2)
    return low, high


def _thresholds(
    tiers: Sequence[tuple[str, int]], low: int, high: int, height: Callable[[float], float]
) -> tuple[Mark, ...]:
    """Those in sight; of two whose words would touch, the upper one."""
    marks: list[Mark] = []
    for name, least in reversed(tiers):
        at = round(height(least), 1)
        if low <= least <= high and (not marks or at - marks[-1].at >= LABEL_HEIGHT):
            marks.append(Mark(at, f"{name} {least}"))
    return tuple(marks)


def _jump(values: Sequence[int | None]) -> tuple[int, bool] | None:
    """Where the line moved most within a day, and whether it fell."""
    steps = [
        (abs(later - earlier), place, later < earlier)
        for place, (earlier, later) in enumerate(pairwise(values), 1)
        if earlier is not None and later is not None
    ]
    size, place, fell = max(steps, default=(0, 0, False))
    return (place, fell) if size >= LEAST_JUMP else None


def _runs(values: Sequence[int | None]) -> list[list[tuple[int, int]]]:
    runs: list[list[tuple[int, int]]] = []
    before: int | None = None
    for at, value in enumerate(values):
        if value is not None:
            if before is None:
                runs.append([])
            runs[-1].append((at, value))
        before = value
    return runs


def _polylines(
    runs: Sequence[Sequence[tuple[int, int]]], place: Callable[[int, float], tuple[float, float]]
) -> tuple[str, ...]:
    return tuple(
        " ".join("{},{}".format(*_rounded(place(at, value))) for at, value in run)
        for run in runs
        if len(run) > 1
    )


def _rounded(place: tuple[float, float]) -> tuple[float, float]:
    return round(place[0], 1), round(place[1], 1)


def _told(title: str, values: Sequence[int | None], words: Words) -> str:
    """The line for those who hear it."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return words.gettext(
            "%(score)s over %(days)s days: from %(first)s to %(last)s",
            score=title,
            days=len(values),
            first=known[0],
            last=known[-1],
        )
    days = words.ngettext("known for %(num)s day", "known for %(num)s days", len(known))
    return words.gettext(
        "%(score)s: %(days)s, from %(first)s to %(last)s",
        score=title,
        days=days,
        first=known[0],
        last=known[-1],
    )
