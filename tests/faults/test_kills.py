"""`kill -9` at any moment of a `touchbook serve` under load, as a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cycles import Cycles
from tests.faults.servers import Executed

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_killed_at_random_keeps_what_it_acknowledged_once_and_opens_by_itself(
    tmp_path: Path, seed: int
) -> None:
    cycles = Cycles(tmp_path / "book", tmp_path, Executed(), seed)
    for _ in range(4):
        cycles.cycle()
        assert not cycles.look(), cycles.told()
    assert not cycles.finish(), cycles.told()
    assert len(cycles.sent.positions) == len(cycles.sent.items) > 0
