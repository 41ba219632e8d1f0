"""What the watch tells of everybody, against asking each customer by himself."""

from __future__ import annotations

import gc
import math
import os
import sqlite3
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import NOON, a_book, event, folded, publish
from tests.projections.histories import PEOPLE, histories, samples
from tests.thorough import examples
from touchbook.errors import Refused, ScorecardUnknown, StoreUnavailable
from touchbook.ledger import day_of, merged
from touchbook.projections import watch as watches
from touchbook.projections import watching
from touchbook.projections.stores import watch_file
from touchbook.projections.stores.watch_file import Batch
from touchbook.projections.touched import DECISIONS
from touchbook.projections.watch import Watch
from touchbook.projections.watched import Stood, TurnState
from touchbook.registers import open_cases, open_requests, promises
from touchbook.scorecard import Needs, ScorecardSet
from touchbook.scoring import score_all
from touchbook.streams.admission import OURS_ALONE, Publisher
from touchbook.streams.control import OURS
from touchbook.turns import turns_of
from touchbook.verdicts import finished_stays, next_moment, usual_stays
from touchbook.wiring import Book

few = settings(max_examples=examples(20), deadline=None)
fewer = settings(max_examples=examples(8), deadline=None)
MINUTE, DAY = 60_000, 86_400_000
UNKNOWN = Stood(None, None, None)


@dataclass
class Clock:
    now: int = NOON

    def __call__(self) -> int:
        return self.now


@dataclass
class Watched:
    """A book, and a watch over it that comes and goes."""

    book: Book
    clock: Clock = field(default_factory=Clock)
    share: float = 1.0
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.book.settings.data / "watch.sqlite"
        self.begin()

    def begin(self) -> None:
        book = self.book
        self.watch = Watch(
            book.projections,
            book.customers,
            book.scorecards,
            book.policies,
            self.clock,
            self.path,
            self.share,
        )

    def told(self) -> Watch:
        self.watch.look()
        return self.watch

    def erase(self, ref: str) -> None:
        members = self.book.customers.find(ref).ids
        self.book.journal.erase(members).result(20)
        mark = self.book.journal.mark_erased
        self.book.journal.alone(lambda: mark("e" * 32, members[0], members)).result(20)
        folded(self.book)
        self.book.customers.forget()


@contextmanager
def watched(**given: Any) -> Iterator[Watched]:
    with a_book() as book:
        one = Watched(book, **given)
        try:
            yield one
        finally:
            one.watch.close()


# The plain way


def everybody(book: Book) -> list[Any]:
    with book.projections.reading() as reader:
        ids = [one.id for one in reader.groups_after("", 100_000)]
    customers = {(who := book.customers.find(id)).id: who for id in ids}
    return [customers[id] for id in sorted(customers) if customers[id].subjects]


def plain_scores(book: Book, day: int) -> dict[str, dict[str, Stood]]:
    """customer → score → how it stood at the end of the day."""
    found = {}
    for customer in everybody(book):
        with book.projections.reading() as reader:
            ledger = merged(reader.ledgers(customer.subjects).values())
        scores = score_all(ledger, book.scorecards.values(), day)
        found[customer.id] = {
            name: Stood(one.value, one.tier, one.milli_points) for name, one in scores.items()
        }
    return found


def plain_matters(book: Book, customer: Any) -> Counter[tuple[str, int]]:
    with book.projections.reading() as reader:
        registers, messages = reader.registers(customer.ids), reader.messages(customer.subjects)
    made = {one.key: one.occurred_at for one in registers if one.kind == "promise"}
    return Counter(
        [
            *(("request", one.since) for one in open_requests(messages)),
            *(("case", one.opened_at or one.changed_at) for one in open_cases(registers)),
            *(
                ("promise", made.get(one.id, 0))
                for one in promises(registers, NOON)
                if one.state in ("open", "overdue")
            ),
        ]
    )


def same_as_asking_each(one: Watched, *, versions: bool = True) -> None:
    book, watch, day = one.book, one.watch, day_of(one.clock.now)
    scores = plain_scores(book, day)
    states = every_state(watch)
    assert {state.customer: dict(state.scores) for state in states} == scores
    assert {state.at for state in states} <= {day}
    customers = {customer.id: customer for customer in everybody(book)}
    for state in states:
        assert not versions or state.version == customers[state.customer].version
        found = Counter((one.kind, one.since) for one in state.matters)
        assert found == plain_matters(book, customers[state.customer])
    assert watch.of("0" * 32) is None
    tiers = watch.tiers()
    assert tiers is not None
    assert (tiers.customers, tiers.as_of) == (len(scores), one.clock.now)
    for name, card in book.scorecards.items():
        counted = Counter(stood[name].tier for stood in scores.values())
        assert tiers.scores[name] == {
            tier: counted[tier] for tier in [*(tier for tier, _ in card.tiers), None]
        }
        same_listing(watch, name, scores)
    same_tier_changes(one, day)
    nobody_else(one, set(scores))


def every_state(watch: Watch) -> list[Any]:
    states: list[Any] = []
    while page := watch.states(states[-1].customer if states else "", 2):
        states += page
    return states


def same_listing(watch: Watch, name: str, scores: dict[str, dict[str, Stood]]) -> None:
    with_value = {id: stood[name] for id, stood in scores.items() if stood[name].value is not None}
    for tier in {None, *(one.tier for one in with_value.values())}:
        those = [(one.value or 0, id) for id, one in with_value.items() if tier in (None, one.tier)]
        assert listed(watch, name, tier, "value") == sorted(those)
        assert listed(watch, name, tier, "-value") == sorted(those, key=lambda one: (-one[0], one[1]))


def listed(watch: Watch, name: str, tier: str | None, order: Any) -> list[tuple[int, str]]:
    found, cursor = [], None
    while True:
        page = watch.standing(name, tier, order, cursor, 2)
        found += [(one.value, one.customer) for one in page.items]
        if (cursor := page.next) is None:
            return found


def same_tier_changes(one: Watched, today: int) -> None:
    days = one.watch.tier_days()
    assert days[-1] == today - 1
    for day in days:
        before, after = plain_scores(one.book, day - 1), plain_scores(one.book, day)
        expected = [
            (id, name, day, before[id][name], stood)
            for id, scores in sorted(after.items())
            for name, stood in sorted(scores.items())
            if stood.tier != before[id][name].tier
        ]
        found, place = [], ("", "")
        while page := one.watch.tier_changes(day, place, 3):
            found += [(each.customer, each.score, each.day, each.before, each.after) for each in page]
            place = page[-1].customer, page[-1].score
        assert found == expected
        for id, name, _, _, stood in expected:
            if stood.tier is not None:
                assert id in {each.customer for each in one.watch.became(name, stood.tier, day)}


def nobody_else(one: Watched, customers: set[str]) -> None:
    """Tables of what is so hold nobody who is no customer."""
    with closing(sqlite3.connect(one.path)) as file:
        for table in ("customers", "counted", "ranked", "tier_changes", "turns", "stays"):
            there = {name.hex() for (name,) in file.execute(f"SELECT customer FROM {table}")}
            assert there <= customers, table


# What may happen


@dataclass
class Act:
    """`name`: what is done; `share` of what is published, or how many steps are taken."""

    name: str
    number: int

    def do(self, one: Watched, events: list[dict[str, Any]]) -> None:
        match self.name:
            case "publish":
                some = [events.pop() for _ in range(min(self.number + 1, len(events)))]
                publish(one.book, some)
                folded(one.book)
            case "look":
                for _ in range(self.number):
                    with_steps(one)
            case "look at all":
                one.told()
            case "a day passes":
                one.clock.now += DAY * (1 + self.number // 4 * self.number)
            case "erase":
                if those := everybody(one.book):
                    one.erase(those[self.number % len(those)].id)
            case "restart":
                one.watch.close()
                one.begin()
            case "killed":
                killed_in_a_step(one, self.number)
            case "delete":
                one.watch.close()
                one.path.unlink(missing_ok=True)
                one.begin()
            case "damage":
                damage(one, self.number)


def with_steps(one: Watched) -> bool:
    return one.watch._steps.step(one.clock.now)


def killed_in_a_step(one: Watched, statement: int) -> None:
    """The process ends before it has written so many kinds of rows, and another goes on."""
    left, insert = iter(range(statement)), watch_file.insert

    def until(*given: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        insert(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watch_file, "insert", until)
        with suppress(KeyboardInterrupt):
            with_steps(one)
    one.watch.close()
    one.begin()


def damage(one: Watched, number: int) -> None:
    one.watch.close()
    if one.path.exists():
        with (
            closing(sqlite3.connect(one.path)) as file,
            suppress(sqlite3.DatabaseError),
        ):  # it may be one already
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = one.path.stat().st_size
        if number % 2:
            os.truncate(one.path, size // 2)
        else:
            one.path.write_bytes(os.urandom(64) * (size // 64))
    one.begin()


acts = st.builds(
    Act,
    st.sampled_from(
        ["publish"] * 6
        + ["look"] * 4
        + ["look at all"] * 2
        + ["a day passes"] * 3
        + ["erase", "restart", "killed", "delete", "damage"]
    ),
    st.integers(0, 7),
)


@contextmanager
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "PAGE", 2)
        patched.setattr(watching, "DAY_PAGE", 3)
        patched.setattr(watching, "LEFT_PAGE", 1)
        patched.setattr(watching, "MOST_TOUCHED", 3)
        yield


@few
@given(histories(30), st.lists(acts, max_size=14))
def test_whatever_happens_the_watch_tells_what_asking_each_customer_tells(
    events: list[dict[str, Any]], happening: list[Act]
) -> None:
    with watched() as one, small_pages():
        for act in happening:
            act.do(one, events)
        publish(one.book, events)
        folded(one.book)
        look_until_there(one)
        same_as_asking_each(one)
        for _ in range(2):
            one.clock.now += DAY
            look_until_there(one)
            same_as_asking_each(one)


def look_until_there(one: Watched) -> None:
    """A damage may be met only now."""
    try:
        one.told()
    except StoreUnavailable:
        one.told()


@pytest.mark.parametrize("number", range(2))
def test_of_a_damaged_file_nothing_is_left_when_somebody_is_erased(number: int) -> None:
    with watched() as one, small_pages():
        chat = {"thread": "t1", "text": "Where is my order?"}
        people = ["ann", "bo", *map(str, range(20))]
        publish(one.book, [event("chat_message_sent", chat, who=who, id=who) for who in people])
        folded(one.book)
        one.told()
        one.erase("user_id:bo")
        damage(one, number)

        [ann] = one.book.customers.find("user_id:ann").ids
        one.erase("user_id:ann")

        left = b"".join(file.read_bytes() for file in one.path.parent.glob("watch.sqlite*"))
        assert bytes.fromhex(ann) not in left
        look_until_there(one)
        same_as_asking_each(one)


@few
@given(histories(30), st.lists(acts, max_size=12))
def test_the_changes_behind_any_token_make_of_what_was_known_then_what_is_known_now(
    events: list[dict[str, Any]], happening: list[Act]
) -> None:
    with watched() as one, small_pages():
        publish(one.book, events[:10])
        folded(one.book)
        look_until_there(one)
        mirrors = [(one.clock.now, one.watch.last(), mirrored(one))]
        for act in (act for act in happening if act.name not in ("delete", "damage", "erase")):
            act.do(one, events)
            mirrors.append((one.clock.now, one.watch.last(), mirrored(one)))
        look_until_there(one)
        now = mirrored(one)
        for at, token, known in mirrors:
            if one.watch.changes(token) is None:
                assert one.clock.now > at + watching.KEPT_DAYS * DAY
                continue
            told, place = [], token
            while page := one.watch.changes(place, 2):
                told += page
                place = page[-1].token
            assert [one.seq for one in told] == sorted({one.seq for one in told})
            for change in told:
                if change.gone:
                    del known[change.customer]
                    continue
                scores, matters = known.setdefault(change.customer, ({}, Counter()))
                for name, (before, after) in change.scores.items():
                    assert scores.get(name, UNKNOWN)[:2] == before[:2]
                    scores[name] = after
                matters.update(change.opened)
                matters.subtract(change.closed)
            assert {id: (plain(scores), +matters) for id, (scores, matters) in known.items()} == {
                id: (plain(scores), +matters) for id, (scores, matters) in now.items()
            }


def mirrored(one: Watched) -> dict[str, tuple[dict[str, Stood], Counter[str]]]:
    return {
        state.customer: (dict(state.scores), Counter(matter.kind for matter in state.matters))
        for state in every_state(one.watch)
    }


def plain(scores: dict[str, Stood]) -> dict[str, tuple[int | None, str | None]]:
    return {name: stood[:2] for name, stood in scores.items() if stood.value is not None}


# Decisions about contacting somebody


@dataclass
class Decide:
    """One is recorded about somebody, known or not; `days_ago` may be before everything else."""

    type: str
    data: dict[str, Any]
    who: dict[str, str]
    days_ago: float

    def do(self, one: Watched, events: list[dict[str, Any]]) -> None:
        told = event(self.type, self.data, who=self.who, days_ago=self.days_ago, source=OURS)
        publish(one.book, [told], Publisher(source=OURS))
        if events and len(events) % 2:  # in one batch with what others say
            publish(one.book, [events.pop()])
        folded(one.book)


decisions = st.builds(
    lambda sample, *told: Decide(*sample, *told),
    st.sampled_from([sample for sample in samples(ours=True) if sample[0] in DECISIONS]),
    st.sampled_from(PEOPLE),
    st.integers(0, 900).map(lambda halves: halves / 2),
)


def watched_anew(one: Watched) -> dict[str, Any]:
    """What a watch that never looked before tells."""
    path, one.path = one.path, one.path.with_name("anew.sqlite")
    kept = one.watch
    one.begin()
    try:
        one.told()
        return {state.customer: replace(state, version="") for state in every_state(one.watch)}
    finally:
        one.watch._file.discard()
        one.path, one.watch = path, kept


@settings(max_examples=examples(12), deadline=None)
@given(histories(20), st.lists(st.one_of(acts, decisions, decisions), max_size=12))
def test_decisions_about_contacting_customers_are_passed_over_and_change_nothing_that_is_told(
    events: list[dict[str, Any]], happening: list[Act | Decide]
) -> None:
    with watched() as one, small_pages():
        for act in happening:
            act.do(one, events)
        look_until_there(one)
        one.clock.now += DAY
        look_until_there(one)
        same_as_asking_each(one, versions=False)
        assert {
            state.customer: replace(state, version="") for state in every_state(one.watch)
        } == watched_anew(one)


def decide(one: Watched, who: str, days_ago: float = 0) -> None:
    data = {
        "reservation": "r-1",
        "for_channel": "email",
        "purpose": "offer",
        "holds_until": "2026-06-01T13:00:00Z",
    }
    Decide("contact_reserved", data, {"user_id": who}, days_ago).do(one, [])
    one.watch._steps._hear()


def test_who_was_decided_about_alone_waits_for_nobody_and_others_do() -> None:
    assert set(OURS_ALONE) == DECISIONS
    with watched() as one:
        publish(one.book, [event("page_viewed", who=who, id=who, days_ago=1) for who in ("ann", "bo")])
        folded(one.book)
        one.told()
        before = one.watch.states()
        decide(one, "ann")
        decide(one, "bo")
        assert one.watch.lag == 0
        assert (one.told().states(), one.watch.as_of) == (before, one.clock.now)
        for who, days_ago in (("eve", 0.0), ("ann", 2.0)):  # somebody new; and seen earlier than ever
            decide(one, who, days_ago)
            assert one.watch.lag == 1
            one.told()
        same_as_asking_each(one, versions=False)


def test_decisions_are_looked_at_where_a_scorecard_counts_them() -> None:
    with watched() as one:
        trust = replace(one.book.scorecards["trust"], needs=Needs("contact_reserved", 30))
        one.book = replace(one.book, scorecards=ScorecardSet(one.book.scorecards | {"trust": trust}))
        one.begin()
        publish(one.book, [event("survey_answered", {"csat": 5}, who="ann", id="s")])
        folded(one.book)
        one.told()
        decide(one, "ann")
        assert one.watch.lag == 1
        one.told()
        same_as_asking_each(one, versions=False)
        assert one.watch.states()[0].scores["trust"].value is not None


def test_day_after_day_a_change_of_tier_is_told_of_its_own_day() -> None:
    with watched() as one:
        publish(one.book, [
            *(event("order_placed", {"order_id": f"o{n}", "amount": 90, "currency": "EUR"}, who="ann", id=f"o{n}",
                    days_ago=7 * n) for n in range(9)),
            *(event("survey_answered", {"csat": 5}, who="bo", id=f"s{n}", days_ago=n) for n in range(4)),
            *(event("product_viewed", {"product_id": "p"}, who="bo", id=f"p{n}", days_ago=n / 4) for n in range(60)),
        ])  # fmt: skip
        folded(one.book)
        told = 0
        for _ in range(40):
            one.told()
            same_tier_changes(one, day_of(one.clock.now))
            told += len(one.watch.tier_changes(day_of(one.clock.now) - 1))
            one.clock.now += DAY
        assert told > 3


def test_a_walk_takes_away_whom_it_does_not_meet() -> None:
    with watched() as one, small_pages():
        publish(one.book, [event("page_viewed", who=who, id=who) for who in ("ann", "bo", "eve")])
        folded(one.book)
        one.told()
        [ann] = one.watch._file.kept(one.book.customers.find("user_id:ann").ids).values()
        described = one.watch._file.described()
        assert described is not None
        strangers = Batch(kept=[(None, ann._replace(customer=f"{n:032x}")) for n in range(3)])
        assert one.watch._file.write(strangers, described, NOON)
        assert len(every_state(one.watch)) == 6
        one.clock.now += DAY
        one.told()
        same_as_asking_each(one)


# Turns


HOURS = 3_600_000


def plain_turns(one: Watched) -> list[tuple[str, Any]]:
    found = []
    for customer in everybody(one.book):
        with one.book.projections.reading() as reader:
            found += [(customer.id, turn) for turn in turns_of(reader.messages(customer.subjects))]
    return sorted(found, key=lambda told: (told[1].opened_at, told[1].opening))


def plain_waited(one: Watched, turns: list[Any]) -> dict[str, Any]:
    """What `Waited` says, the slow way."""
    policies, now = one.book.policies, one.clock.now

    def owed(turn: Any) -> Any:
        return policies.at(turn.opened_at).owed(turn.channel, turn.purpose, turn.opened_at)

    def kept(turn: Any) -> bool:
        waited = policies.at(turn.opened_at).waited(turn.opened_at, turn.replied_at, owed(turn).time)
        return bool(waited <= owed(turn).within)

    def ranked(waits: list[int]) -> dict[int, int | None]:
        ordered = sorted(waits)
        return {p: ordered[math.ceil(p / 100 * len(ordered)) - 1] if ordered else None for p in (50, 90)}

    answered = [turn for turn in turns if turn.replied_at is not None]
    left = [turn for turn in turns if turn.replied_at is None]
    judged = [turn for turn in answered if owed(turn) is not None]
    waits = ranked([turn.replied_at - turn.opened_at for turn in answered])
    working = ranked([
        policies.at(turn.opened_at).waited(turn.opened_at, turn.replied_at, "working") for turn in answered
    ])  # fmt: skip
    bot = ranked([turn.bot_at - turn.opened_at for turn in turns if turn.bot_at is not None])
    human = ranked([turn.human_at - turn.opened_at for turn in turns if turn.human_at is not None])
    ignored = sum(owed(turn) is not None and owed(turn).ignored_at <= now for turn in left)
    missed = sum(owed(turn) is not None and owed(turn).due < now for turn in left)
    return {
        "n": len(turns),
        "answered": len(answered),
        "ignored": ignored,
        "open": len(left) - ignored,
        "by_bot": sum(turn.by == "bot" for turn in answered),
        "by_human": sum(turn.by == "agent" for turn in answered),
        "in_target": sum(map(kept, judged)),
        "late": sum(not kept(turn) for turn in judged) + missed,
        "median": waits[50], "p90": waits[90],
        "median_working": working[50], "p90_working": working[90],
        "median_bot": bot[50], "p90_bot": bot[90],
        "median_human": human[50], "p90_human": human[90],
    }  # fmt: skip


@st.composite
def talks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages in few threads: of customers, bots and agents of two teams, and notes among colleagues."""
    said = []
    for n in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["customer", "customer", "bot", "agent", "note"]))
        actor = {} if kind == "customer" else {"actor": {"kind": "bot" if kind == "bot" else "agent"}}
        if kind in ("agent", "note"):
            actor["actor"] |= draw(
                st.sampled_from([{}, {"id": "kim", "team": "first"}, {"id": "lee", "team": "second"}])
            )
        data = {"thread": draw(st.sampled_from(["t1", "t2"])), "text": "Where is it?", **actor}
        who = draw(st.sampled_from(["ann", "bo"]))
        at = {
            "days_ago": draw(st.integers(0, 200)) / 24,
            "channel": draw(st.sampled_from(["web_chat", "email"])),
        }
        type = "chat_message_sent" if kind != "note" else "note_added"
        said.append(event(type, data, who=who, id=f"m{n}", **at))
    return said


@few
@given(talks(), st.sampled_from(["channel", "team", "agent"]), st.integers(0, 200), st.integers(0, 200))
def test_response_times_are_those_of_the_turns_one_by_one_and_every_number_opens_into_them(
    said: list[dict[str, Any]], by: Any, one_end: int, other_end: int
) -> None:
    since, until = (NOON - hours * HOURS for hours in (max(one_end, other_end), min(one_end, other_end)))
    with watched() as one:
        publish(one.book, said)
        folded(one.book)
        watch = one.told()
        everyone = plain_turns(one)
        assert [turn for who in every_state(watch) for turn in watch.turns_of(who.customer)] == [
            turn for who in every_state(watch) for turn in all_turns(watch) if turn.customer == who.customer
        ]
        assert [(turn.customer, turn.opening) for turn in all_turns(watch)] == [
            (customer, turn.opening) for customer, turn in everyone
        ]
        soon = [turn for turn in all_turns(watch) if turn.replied_at is None and (turn.late_at or 0) >= NOON]
        assert watch.about_to_be_late(NOON) == sorted(soon, key=lambda turn: (turn.late_at, turn.opening))
        turns = [turn for _, turn in everyone if since <= turn.opened_at < until]
        told = {response.of: response for response in watch.response(since, until, by)}
        assert set(told) == {getattr(turn, by) for turn in turns}
        for of, response in told.items():
            those = [turn for turn in turns if getattr(turn, by) == of]
            assert asdict(response.turns) == plain_waited(one, those)
            assert asdict(response.first) == plain_waited(one, [turn for turn in those if turn.first])
            for state in get_args(TurnState):
                opened, _ = watch.turns(since, until, by, of or "", state=state, limit=1_000)
                assert len(opened) == getattr(response.turns, state)
            first, _ = watch.turns(since, until, by, of or "", first=True, limit=1_000)
            assert len(first) == response.first.n


def all_turns(watch: Watch) -> list[Any]:
    found, cursor = watch.turns(0, 2**62, limit=2)
    while cursor is not None:
        more, cursor = watch.turns(0, 2**62, limit=2, cursor=cursor)
        found += more
    return found


# What is due


@fewer
@given(histories(30), st.integers(0, 5))
def test_the_agenda_names_everybody_of_whom_something_is_due_and_when(
    events: list[dict[str, Any]], days: int
) -> None:
    with watched() as one:
        one.clock.now -= 400 * DAY
        publish(one.book, events)
        folded(one.book)
        watch = one.told()
        expected = {}
        for customer in everybody(one.book):
            with one.book.projections.reading() as reader:
                messages, settings = reader.messages(customer.subjects), reader.registers(customer.ids)
            at = next_moment(turns_of(messages), messages, settings, watch.stays(), one.book.policies)
            if at is not None:
                grace = one.book.policies.at(one.clock.now).grace
                expected[customer.id] = at if at > one.clock.now else one.clock.now + grace
        found = watch.due(2**62)
        assert {due.customer: due.at for due in found} == expected
        assert [due.at for due in found] == sorted(expected.values())
        for due in found[:1]:
            assert watch.due(due.at - 1) == []
            watch.put_off(due, due.at + 1)
            assert [other.at for other in watch.due(2**62) if other.customer == due.customer] == [due.at + 1]
            watch.put_off(due, None)
            assert [other.at for other in watch.due(2**62) if other.customer == due.customer] == [
                due.at + 1
            ], "what was told before is no longer so"


@fewer
@given(histories(30))
def test_how_long_stages_usually_last_is_the_median_of_all_stays(events: list[dict[str, Any]]) -> None:
    with watched() as one:
        publish(one.book, events)
        folded(one.book)
        watch, stays = one.told(), []
        for customer in everybody(one.book):
            with one.book.projections.reading() as reader:
                stays += finished_stays(reader.registers(customer.ids))
        assert watch.stays() == usual_stays(stays)


# Erasure


def test_of_somebody_who_was_erased_nothing_stays_in_the_file_or_its_log() -> None:
    chat = {"thread": "t1", "text": "Where is my order?"}
    with watched() as one:
        publish(one.book, [
            *(event("chat_message_sent", chat, who=who, id=f"c{who}", days_ago=2) for who in ("ann", "bo")),
            event("order_placed", {"order_id": "o1", "amount": 10, "currency": "EUR"}, who="ann", id="o1"),
        ])  # fmt: skip
        folded(one.book)
        one.told()
        publish(one.book, [event("page_viewed", who="ann", id="p1")])
        folded(one.book)
        one.clock.now += DAY
        one.told()
        [ann] = one.book.customers.find("user_id:ann").ids
        [opening] = [turn.opening for turn in one.watch.turns_of(ann)]
        before, token = (
            b"".join(file.read_bytes() for file in one.path.parent.glob("watch.sqlite*")),
            one.watch.forgot,
        )
        assert bytes.fromhex(ann) in before
        assert opening.encode() in before
        one.erase("user_id:ann")
        for _ in range(2):
            after = b"".join(file.read_bytes() for file in one.path.parent.glob("watch.sqlite*"))
            assert bytes.fromhex(ann) not in after
            assert opening.encode() not in after
            assert [state.customer for state in every_state(one.watch)] == one.book.customers.find(
                "user_id:bo"
            ).ids
            one.told()
        assert one.watch.forgot != token
        same_as_asking_each(one)


def test_what_is_kept_says_no_name_thread_or_number() -> None:
    who = {"user_id": "secret-user", "email": "secret.mail@example.test"}
    said = {"thread": "secret-thread", "text": "secret words"}
    promised = {"promise_id": "secret-promise", "what": "secret thing", "due": "2026-06-09T10:00:00Z"}
    with watched() as one:
        publish(one.book, [
            event("identified", {"traits": {"name": "Secret Name"}}, who=who, id="i"),
            event("chat_message_sent", said, who=who, id="c"),
            event("order_placed", {"order_id": "secret-order", "amount": 10, "currency": "EUR"}, who=who, id="o"),
            event("promise_made", promised, who=who, id="p"),
        ])  # fmt: skip
        folded(one.book)
        one.told()
        [state] = every_state(one.watch)
        assert {matter.kind for matter in state.matters} == {"request", "case", "promise"}
        for file in one.path.parent.glob("watch.sqlite*"):
            assert b"secret" not in file.read_bytes().lower()
            assert file.stat().st_mode & 0o077 == 0


# Changes


def test_a_token_of_another_replica_goes_on_a_minute_before_its_time() -> None:
    with watched() as one:
        publish(one.book, [event("page_viewed", who="ann", id="a1")])
        folded(one.book)
        one.told()
        salt, seq, at = one.watch.last().split(".")
        other = f"{'f' * 12}.77.{int(at) + 3 * MINUTE}"
        assert one.watch.changes(other) == []
        one.clock.now += MINUTE
        publish(
            one.book,
            [event("order_placed", {"order_id": "o1", "amount": 9, "currency": "EUR"}, who="ann", id="o")],
        )
        folded(one.book)
        one.told()
        [change] = one.watch.changes(f"{salt}.{seq}.{at}") or []
        assert (change.opened, change.gone) == (("case",), False)
        assert one.watch.changes(change.token) == []
        assert one.watch.changes(f"{'f' * 12}.77.{int(at) + MINUTE}") == [change]
        assert one.watch.changes(f"{'f' * 12}.77.{int(at) + MINUTE - 1}") is None, "more than is kept here"
        assert one.watch.changes(f"{'f' * 12}.77.{int(at) + 3 * MINUTE}") == []
        for bad in ("", "x", "f.1.2", f"{salt}.{seq}", f"{salt}.-1.0"):
            with pytest.raises(Refused):
                one.watch.changes(bad)


def test_before_everybody_was_looked_at_nothing_is_told_of_all() -> None:
    with watched() as one, small_pages():
        with pytest.raises(StoreUnavailable):
            one.watch.last()
        assert (one.watch.tiers(), one.watch.as_of, one.watch.swept, one.watch.counted) == (
            None,
            None,
            None,
            0,
        )
        publish(one.book, [event("page_viewed", who=f"u{n}", id=f"e{n}") for n in range(5)])
        folded(one.book)
        assert with_steps(one)
        assert (one.watch.tiers(), one.watch.counted, list(one.watch.tier_days())) == (None, 2, [])
        assert one.watch.changes(one.watch.last()) is None
        assert one.told().counted == 5
        assert one.watch.changes(one.watch.last()) == []
        assert (one.watch.lag, one.watch.swept) == (0, day_of(NOON))


def test_listings_refuse_what_is_not_theirs() -> None:
    with watched() as one:
        one.told()
        for given in ({"tier": "golden"}, {"cursor": "x"}, {"cursor": "1.2"}):
            with pytest.raises(Refused):
                one.watch.standing("trust", **given)
        with pytest.raises(ScorecardUnknown):
            one.watch.standing("luck")


# The thread


def test_a_look_takes_no_more_than_its_share_of_a_core_and_can_be_ended_and_begun_anew() -> None:
    with watched(share=0.2) as one:
        publish(one.book, [event("page_viewed", who=f"u{n}", id=f"e{n}") for n in range(400)])
        folded(one.book)
        began, used = time.monotonic(), time.thread_time()
        one.watch.look()
        used, took = time.thread_time() - used, time.monotonic() - began
        assert used / took < 0.35
        one.watch.start()
        assert any(thread.name == "watch" for thread in threading.enumerate())
        one.watch.close()
        assert not any(thread.name == "watch" for thread in threading.enumerate())
        heard = threading.Event()
        ended = one.watch.listen(heard.set)
        one.watch.start()
        publish(one.book, [event("page_viewed", who="ann", id="a1")])
        folded(one.book)
        assert heard.wait(20)
        ended()
        while (told := one.watch.tiers()) is None or told.customers < 401:
            time.sleep(0.01)


def test_while_a_step_waits_for_others_the_watch_rests_and_need_not_rest_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, rests = iter([True] * 5 + [False]), []

    def step(at: int) -> bool:
        began = time.thread_time()
        while time.thread_time() < began + 0.002:
            pass
        time.sleep(0.05)  # a disk, a lock, another thread
        return next(steps)

    with watched(share=0.2) as one:
        monkeypatch.setattr(one.watch._steps, "step", step)
        monkeypatch.setattr(one.watch._closing, "wait", rests.append)
        one.watch.look()
        assert rests == []


def test_a_look_that_fails_is_begun_again_and_what_was_found_is_still_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watches, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(watches, "LOOK_SECONDS", 0.01)
    with watched() as one:
        publish(one.book, [event("page_viewed", who="ann", id="a1")])
        folded(one.book)
        before = one.told().tiers()
        failures, reading = (
            iter([StoreUnavailable("busy"), StoreUnavailable("busy")]),
            one.book.projections.reading,
        )

        def failing() -> Any:
            if threading.current_thread().name == "watch" and (failure := next(failures, None)) is not None:
                raise failure
            return reading()

        monkeypatch.setattr(one.book.projections, "reading", failing)
        publish(one.book, [event("page_viewed", who="bo", id="b1")])
        assert one.watch.tiers() == before
        folded(one.book)
        one.watch.start()
        while (told := one.watch.tiers()) is None or told.customers < 2:
            time.sleep(0.01)
        assert "the watch over all customers failed" in caplog.text


def test_two_processes_over_one_file_take_every_step_once() -> None:
    with watched() as one, small_pages():
        publish(one.book, [event("page_viewed", who=f"u{n}", id=f"e{n}") for n in range(9)])
        folded(one.book)
        other = Watched(one.book, one.clock)
        more = True
        while more:
            more = with_steps(one) | with_steps(other)
        other.watch.close()
        look_until_there(one)
        same_as_asking_each(one)


def test_while_it_looks_memory_does_not_grow_with_the_number_of_customers() -> None:
    def most(customers: int) -> int:
        """Bytes."""
        with watched() as one, pytest.MonkeyPatch.context() as patched:
            patched.setattr(watching, "PAGE", 2)
            publish(one.book, [event("page_viewed", who=f"u{n}", id=f"e{n}") for n in range(customers)])
            folded(one.book)
            step = one.watch._steps.step

            def measured(at: int) -> bool:
                # Python keeps what it takes for tuples, up to 2,000 of a length, until it collects garbage: how much
                # of that there is depends on all that ran before, and for a while it grows with the steps.
                gc.collect()
                return step(at)

            patched.setattr(one.watch._steps, "step", measured)
            gc.collect()
            gc.freeze()
            tracemalloc.start()
            try:
                one.told()
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                gc.unfreeze()

    most(10)  # what is made once, by whoever comes first
    assert most(800) < 1.5 * most(100)
