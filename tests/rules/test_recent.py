"""A bounded memory forgets what was used longest ago, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from touchbook.recent import Recent

KEYS = st.integers(0, 9)
USES = st.lists(st.tuples(st.booleans(), KEYS), max_size=60)


@given(st.integers(1, 6), USES)
def test_what_was_used_last_is_remembered_and_the_rest_forgotten(
    size: int, uses: list[tuple[bool, int]]
) -> None:
    memory: Recent[int, str] = Recent(size)
    used: list[int] = []
    for put, key in uses:
        if put:
            memory.put(key, f"value {key}")
        if put or memory.get(key) is not None:
            used = [*(one for one in used if one != key), key][-size:]
    assert memory.get_all(range(10)) == {key: f"value {key}" for key in used}


@given(st.lists(KEYS, unique=True), st.lists(KEYS))
def test_what_is_dropped_is_forgotten_at_once(put: list[int], dropped: list[int]) -> None:
    memory: Recent[int, int] = Recent(10)
    memory.put_all((key, key) for key in put)
    memory.drop(dropped)
    assert memory.get_all(put) == {key: key for key in put if key not in dropped}


def test_nothing_is_left_of_a_memory_that_was_cleared() -> None:
    memory: Recent[str, str] = Recent(3)
    memory.put("ann", "here")
    memory.clear()
    assert memory.get("ann") is None
