"""How tired of us he is, day by day: remembered, and to the last integer what the scorecard gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from touchbook.ledger import LedgerRows
from touchbook.projections.contact_facts import FATIGUE, Fatigue, Tired
from touchbook.projections.stores.port import Reader
from touchbook.scorecard import ScorecardSet
from touchbook.scorecard_files import load_scorecards
from touchbook.scoring import score_stored

CARDS = load_scorecards()
SIGNALS = sorted(CARDS[FATIGUE].signals)
TODAY = 20_000
AHEAD = range(TODAY, TODAY + 40, 3)

ledgers = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(SIGNALS), st.integers(TODAY - 60, TODAY)), st.integers(1, 6), max_size=25
    ).map(lambda rows: [(signal, day, count, 0) for (signal, day), count in sorted(rows.items())]),
    max_size=2,
)


class Read:
    """As much of a reader as is asked for."""

    def __init__(self, held: list[LedgerRows]) -> None:
        self.held = held

    def ledger_of(self, subjects: Collection[str], signals: Collection[str]) -> list[LedgerRows]:
        return [list(rows) for rows in self.held]


def tired_plainly(held: list[LedgerRows], day: int) -> str | None:
    return score_stored(held, ScorecardSet({FATIGUE: CARDS[FATIGUE]}), day)[FATIGUE].tier


@given(st.lists(ledgers, min_size=1, max_size=3))
def test_what_is_remembered_of_him_is_what_his_ledger_gives_whatever_became_of_it(
    looks: list[list[Any]],
) -> None:
    kept: list[Tired] = []
    for held in looks:
        reader = cast(Reader, Read(held))
        for _ in range(2):
            fatigue = Fatigue(reader, ["s"], CARDS, kept[-1] if kept else None, kept.append)
            assert [fatigue(day) for day in AHEAD] == [tired_plainly(held, day) for day in AHEAD]
    changes = [held for n, held in enumerate(looks) if not n or held != looks[n - 1]]
    assert len(kept) == len(changes)  # while nothing tires him he is read, and not reckoned again
