"""Changes read at one replica and then at another: each has a watch of its own over the same projections."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clocks import HOUR, MINUTE, Company, a_company
from tests.thorough import examples
from touchbook.projections.watch import OTHERS_MARGIN_MS, Watch

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
        self.anew, self.earliest = 0, 0
        self.begin(watch)

    def begin(self, watch: Watch) -> None:
        self.token, self.knows = watch.last(), shown(watch)

    def read(self, watch: Watch, limit: int) -> int:
        """How many changes there were."""
        now = watch.last(self.token)
        changes = watch.changes(self.token, limit)
        if changes is None:
            self.anew += 1
            self.begin(watch)
            return 0
        if changes:
            self.earliest = changes[0].at
        for change in changes:
            knows = self.knows.setdefault(change.customer, {})
            knows |= {name: (after.value, after.tier) for name, (_, after) in change.scores.items() if after}
        self.token = changes[-1].token if changes else now
        return len(changes)

    @property
    def reached(self) -> int:
        """The time of the token."""
        return int(self.token.split(".")[-1])


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


LONGEST_PAUSE = 25_000
happenings = st.lists(
    st.tuples(
        st.sampled_from(
            ["somebody new", "order_placed", "complaint_raised", "look", "killed", "read", "read", "read"]
        ),
        st.integers(0, 2),
        st.sampled_from([1, 2_000, 10_000, LONGEST_PAUSE]),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=examples(24), deadline=None)
@given(happenings, st.integers(1, 3), st.integers(0, 2**32))
def test_who_is_cut_off_again_and_again_between_replicas_loses_no_ground_and_misses_nothing(
    happening: list[tuple[str, int, int]], limit: int, seed: int
) -> None:
    """A replica is never more than a minute behind; what a reader is told again is of the minute before he was cut off
    the first time."""
    chance = random.Random(seed)
    with TemporaryDirectory() as folder, a_company(Path(folder) / "company") as company:
        paths = [Path(folder) / f"{name}.sqlite" for name in range(3)]
        for who in WHO:
            company.hears("page_viewed", {}, who=who)
        company.folded()
        watches = [made(company, path) for path in paths]
        looked = [0, 0, 0]
        for watch in watches:
            watch.look()
        company.time.at += 2 * MINUTE
        for watch in watches:
            watch.look()
        reader, new = Reader(watches[0]), 0
        for what, which, pause in happening:
            company.time.at += pause
            for number, watch in enumerate(watches):
                if company.time.at - looked[number] >= MINUTE - LONGEST_PAUSE or (
                    what == "look" and number == which
                ):
                    watch.look()
                    looked[number] = company.time.at
            match what:
                case "somebody new":
                    new += 1
                    company.hears("page_viewed", {}, who=f"new-{new}")
                    company.folded()
                case "order_placed" | "complaint_raised":
                    company.hears(what, something(chance), who=chance.choice(WHO))
                    company.folded()
                case "killed":
                    watches[which].close()
                    watches[which] = made(company, paths[which])
                case "read":
                    before, reader.earliest = reader.reached, company.time.at
                    reader.read(watches[which], limit)
                    assert reader.reached >= before
                    assert reader.earliest >= before - OTHERS_MARGIN_MS
        for watch in watches:
            watch.look()
        while reader.read(watches[which := chance.randrange(3)], 500):
            pass
        assert reader.anew == 0
        assert told_of(reader.knows) == told_of(shown(watches[which]))
        for watch in watches:
            watch.close()


def told_of(shown: Shown) -> Shown:
    """Of somebody new it is not told of which scores too little is known."""
    return {
        who: {name: one for name, one in scores.items() if one != (None, None)}
        for who, scores in shown.items()
    }
