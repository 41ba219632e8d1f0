"""The lines of scores: every threshold in sight is named where its word finds room."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from touchbook.api.desk.drawing import CHART_TOP, LABEL_HEIGHT, chart_of
from touchbook.api.desk.words import Words

TIERS = [("broken", 0), ("doubtful", 30), ("neutral", 45), ("trusting", 60), ("firm", 75)]
WORDS = Words("en", ZoneInfo("UTC"))


def named(values: list[int]) -> list[str]:
    chart = chart_of("Trust", values, TIERS, lambda at, fell: "", WORDS)
    assert chart is not None
    return [one.words for one in chart.thresholds]


def test_who_fell_from_firm_to_doubtful_passed_four_thresholds() -> None:
    assert named([77] * 70 + [52] * 10 + [36] * 10) == ["firm 75", "trusting 60", "neutral 45", "doubtful 30"]


@given(st.lists(st.integers(0, 100), min_size=2, max_size=90))
def test_no_two_words_touch(values: list[int]) -> None:
    chart = chart_of("Trust", values, TIERS, lambda at, fell: "", WORDS)
    assert chart is not None
    assert all(lower.at - upper.at >= LABEL_HEIGHT for upper, lower in pairwise(chart.thresholds))


def test_a_line_above_all_thresholds_leaves_room_for_their_words() -> None:
    chart = chart_of("Trust", [77] * 70 + [36] * 20, TIERS, lambda at, fell: "", WORDS)
    assert chart is not None
    assert min(lower.at - upper.at for upper, lower in pairwise(chart.thresholds)) > 14, (
        "as tall as a line of print"
    )
    assert min(float(place.split(",")[1]) for run in chart.runs for place in run.split()) == CHART_TOP
