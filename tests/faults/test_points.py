"""Killed at every named point of append, fold, rebuild and key creation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.points import POINTS, Point, place_of, points_of
from tests.faults.scenarios import Points
from tests.faults.servers import Forked

pytestmark = pytest.mark.timeout(600)
SCENARIOS = list(dict.fromkeys(point.scenario for point in POINTS))


@pytest.mark.parametrize("point", [point for point in POINTS if not point.of_a_file], ids=str)
def test_the_function_of_a_point_is_still_there(point: Point) -> None:
    assert callable(getattr(*place_of(point.where)))


def test_a_point_whose_function_is_gone_is_told_by_name() -> None:
    with pytest.raises(LookupError, match=r"sqlite_writer:Writer\._vanished"):
        place_of("touchbook.streams.backends.sqlite_writer:Writer._vanished")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_point_loses_nothing_doubles_nothing_and_the_next_start_goes_on(
    forked: Forked, tmp_path: Path, scenario: str
) -> None:
    points = Points(forked, tmp_path)
    assert not points.go_through(scenario)  # type: ignore[arg-type]
    assert points.killed == points_of(scenario)  # type: ignore[arg-type]
