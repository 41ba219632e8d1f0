"""The lines of scores: every threshold in sight is named where its word finds room."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from touchbook.api.desk.drawing import LABEL_HEIGHT, chart_of
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
