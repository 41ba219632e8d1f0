"""The filter of keys never says "not seen" of one that was."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from touchbook.projections.stores.key_filter import BITS_A_KEY, LEAST_BITS, KeyFilter

keys = st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=50)


@settings(max_examples=examples(100))
@given(keys, keys, st.integers(0, 1_000), st.integers(64, 100_000))
def test_what_was_added_is_found_whatever_the_size(
    added: list[str], others: list[str], expected: int, most_bytes: int
) -> None:
    made = KeyFilter(expected, most_bytes)
    made.add(added)
    assert [key for key in added if key not in made.perhaps([*others, *added])] == []


def test_few_new_keys_are_looked_up_for_nothing() -> None:
    chosen = random.Random(7)
    made = KeyFilter(20_000, 1 << 20)
    made.add([f"{chosen.getrandbits(128):032x}" for _ in range(20_000)])
    wrong = made.perhaps([f"{chosen.getrandbits(128):032x}" for _ in range(20_000)])
    assert len(wrong) < 20_000 / 100


def test_it_grows_with_what_is_added_but_never_beyond_its_bound() -> None:
    small = KeyFilter(0, 1 << 20)
    assert not small.crowded
    small.add([f"{number:032x}" for number in range(LEAST_BITS // BITS_A_KEY + 1)])
    assert small.crowded
    assert (KeyFilter(10_000_000, 1 << 20).mask + 1) // 8 <= 1 << 20
    bounded = KeyFilter(10_000_000, 1 << 20)
    bounded.add(["0" * 32])
    assert not bounded.crowded
