"""Changes read at one replica and then at another: each has a watch of its own over the same projections."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.clocks import HOUR, MINUTE, Company, a_company
from touchbook.projections.watch import Watch

HISTORIES, STEPS = 6, 40
WHO = tuple(f"customer-{number}" for number in range(4))

Shown = dict[str, dict[str, tuple[int | None, str | None]]]
"""Customer → score → (value, tier)."""


def made(company: Company, path: Path) -> Watch:
    book = company.book
    return Watch(
        book.projections, book.customers, book.scorecards, book.policies, company.time, path, share=1.0
    )


def shown(watch: Watch) -> Shown:
    return {
        state.customer: {name: (one.value, one.tier) for name, one in state.scores.items()}
        for state in watch.states(limit=500)
    }


class Reader:
    """Keeps up with how everybody stands by what changed, wherever he is sent."""

    def __init__(self, watch: Watch) -> None:
        self.anew = 0
        self.begin(watch)

    def begin(self, watch: Watch) -> None:
        self.token, self.knows = watch.last(), shown(watch)

    def read(self, watch: Watch, limit: int) -> int:
        """How many changes there were."""
        changes = watch.changes(self.token, limit)
        if changes is None:
            self.anew += 1
            self.begin(watch)
            return 0
        for change in changes:
            knows = self.knows.setdefault(change.customer, {})
            knows |= {name: (after.value, after.tier) for name, (_, after) in change.scores.items() if after}
            self.token = change.token
        return len(changes)


def test_who_reads_on_at_another_replica_misses_nothing_though_replicas_lag_and_are_killed(
    tmp_path: Path,
) -> None:
    resumed = told = anew = 0
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        with a_company(tmp_path / str(seed)) as company:
            paths = [tmp_path / f"{seed}-{name}.sqlite" for name in ("one", "other")]
            for who in WHO:
                company.hears("page_viewed", {}, who=who)
            company.folded()
            watches = [made(company, path) for path in paths]
            for _ in range(2):
                for watch in watches:
                    watch.look()
                company.time.at += 2 * MINUTE  # so that it is kept what is asked of another
            for watch in watches:
                watch.look()
            reader, at = Reader(watches[0]), 0
            for _ in range(STEPS):
                company.time.at += chance.choice([1, 10, MINUTE, 3 * MINUTE, HOUR, 8 * HOUR])
                match chance.randrange(6):
                    case 0 | 1:
                        type = chance.choice(["complaint_raised", "order_placed"])
                        company.hears(type, something(chance), who=chance.choice(WHO))
                        company.folded()
                    case 2:
                        watches[chance.randrange(2)].look()
                    case 3:  # killed: what was in memory is gone
                        which = chance.randrange(2)
                        watches[which].close()
                        watches[which] = made(company, paths[which])
                        watches[which].look()
                    case _:
                        which = chance.randrange(2)
                        resumed, at = resumed + (which != at), which
                        told += reader.read(watches[which], chance.choice([1, 2, 500]))
            for watch in watches:
                watch.look()
            for which in (0, 1, 0):
                while reader.read(watches[which], 500):
                    pass
            assert reader.knows == shown(watches[0]) == shown(watches[1])
            anew += reader.anew
            for watch in watches:
                watch.close()
    assert resumed > 3 * HISTORIES
    assert anew < HISTORIES, "who has to begin anew is told so; it is seldom"
    assert told > 3 * HISTORIES


def something(chance: random.Random) -> dict[str, Any]:
    number = str(chance.random())
    return {"text": "Again!", "reason": number, "order_id": number, "amount": 9, "currency": "EUR"}
