"""Who was touched lately is told from memory only where nothing is missing in it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from touchbook.projections.touched import Touched, touched_in

steps = st.lists(st.tuples(st.integers(1, 3), st.sets(st.sampled_from("abcdef"))), max_size=12)


@given(steps, st.integers(1, 8), st.integers(0, 40))
def test_what_is_told_is_all_that_was_touched_or_nothing(
    told: list[tuple[int, set[str]]], kept: int, asked: int
) -> None:
    memory, position, all_of_it = Touched(kept), 0, list[tuple[int, set[str]]]()
    for further, ids in told:
        memory.add(position, position + further, ids)
        position += further
        all_of_it.append((position, ids))
    answer = memory.since(asked)
    if answer is not None:
        assert answer == ({id for at, ids in all_of_it if at > asked for id in ids}, max(asked, position))
    elif told:
        assert sum(len(ids) for at, ids in all_of_it if at > asked) > kept


def test_of_who_came_before_it_looked_nothing_is_known() -> None:
    memory = Touched()
    assert memory.since(0) is None
    memory.add(5, 6, {"a"})
    assert memory.since(4) is None
    assert memory.since(5) == ({"a"}, 6)


def test_where_somebody_else_wrote_in_between_it_begins_anew() -> None:
    memory = Touched()
    memory.add(0, 1, {"a"})
    memory.add(3, 4, {"b"})
    assert [memory.since(at) for at in (0, 2, 3)] == [None, None, ({"b"}, 4)]


def test_after_an_erasure_it_begins_anew() -> None:
    memory = Touched()
    memory.add(0, 1, {"a"})
    memory.forget(2)
    assert (memory.since(1), memory.since(2)) == (None, (set(), 2))
    memory.add(2, 3, {"b"})
    assert memory.since(2) == ({"b"}, 3)


def test_who_fills_a_build_and_who_reads_it_share_one_memory(tmp_path: Path) -> None:
    one, other = touched_in(tmp_path / "a"), touched_in(tmp_path / "a")
    assert one is other
    assert touched_in(tmp_path / "b") is not one
