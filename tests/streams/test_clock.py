"""The clock over a real journal and real projections, on a time of the test's: each verdict once, none missing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clocks import BEGIN, DAY, HOUR, MINUTE, Company, a_company
from touchbook.ledger import day_of
from touchbook.projections.watch import Watch
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.clock import Clock
from touchbook.streams.duty import AloneTerms, Term, Terms
from touchbook.streams.metrics import Metrics
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

REQUESTS = ("request_answered", "request_late", "request_ignored")


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    with a_company(tmp_path) as made:
        yield made


# What is noticed


def test_a_request_is_answered_late_or_ignored_by_the_policy_without_anybody_saying_so(
    company: Company,
) -> None:
    company.asked("quick")
    company.asked("slow")
    company.asked("never")
    company.time.at += 10 * MINUTE
    company.answered("quick", by="bot")
    company.time.at += 10 * MINUTE
    company.answered("slow")
    company.lives(BEGIN + 4 * DAY)
    assert company.verdicts() == [("answered", 10), ("late", 20), ("ignored", 72 * 60)]
    answered, late, ignored = company.ours(*REQUESTS)
    assert (answered.data["by"], late.data["by"], ignored.data.get("by")) == ("bot", "agent", None)
    assert [one.data["waited"] for one in (answered, late, ignored)] == [600, 1200, 72 * 3600]
    assert {one.data["policy"] for one in (answered, late, ignored)} == {"quick-1"}
    assert [one.data["thread"] for one in (answered, late, ignored)] == ["quick", "slow", "never"]


def test_a_verdict_is_about_the_past_and_never_late(company: Company) -> None:
    company.asked(at=BEGIN - 2 * HOUR)
    company.lives(BEGIN + 4 * DAY)
    customers = company.book.customers
    told = customers.timeline(customers.find("user_id:ann"), TimelineFilters(), None, 100, "en")["items"]
    assert {(one["source"], one["late"]) for one in told} == {("desk", True), ("touchbook", False)}


def test_what_arrives_within_the_grace_period_counts_and_what_comes_later_changes_no_verdict(
    company: Company,
) -> None:
    company.asked("in-grace")
    company.asked("too-late")
    said_at = company.time.at + 14 * MINUTE
    company.lives(BEGIN + 20 * MINUTE)
    company.answered("in-grace")  # in truth six minutes earlier, which nobody knows yet
    company.answered("too-late")
    company.time.at += 4 * MINUTE
    company.answered("in-grace", at=said_at)
    company.lives(company.time.at + 10 * MINUTE)
    company.answered("too-late", at=said_at)
    company.lives(BEGIN + 4 * DAY)
    told = {one.data["thread"]: one.type for one in company.ours(*REQUESTS)}
    assert told == {"in-grace": "request_answered", "too-late": "request_late"}
    assert len(company.ours(*REQUESTS)) == 2


def test_internal_notes_answer_nobody_and_what_is_said_after_an_answer_is_a_new_turn(
    company: Company,
) -> None:
    company.asked()
    company.hears("note_added", {"thread": "t-1", "text": "Let us look.", "actor": {"kind": "agent"}})
    company.time.at += 14 * MINUTE
    company.answered()
    company.time.at += HOUR
    company.asked()
    company.time.at += HOUR
    company.answered()
    company.lives(BEGIN + 4 * DAY)
    assert company.verdicts() == [("answered", 14), ("late", 14 + 120)]


def test_a_promise_whose_time_passed_is_overdue_once_and_a_kept_one_is_not(company: Company) -> None:
    due = {"due": "2026-03-04T12:00:00Z", "what": "a call"}
    company.hears("promise_made", {"promise_id": "kept", **due})
    company.hears("promise_made", {"promise_id": "forgotten", **due})
    company.time.at += DAY
    company.hears("promise_kept", {"promise_id": "kept"})
    company.lives(BEGIN + 5 * DAY)
    (overdue,) = company.ours("promise_overdue")
    assert (overdue.data["promise_id"], overdue.occurred_at) == ("forgotten", BEGIN + 2 * DAY + 12 * HOUR)
    company.hears(
        "promise_made", {"promise_id": "forgotten", "due": "2026-03-09T12:00:00Z", "what": "a call"}
    )
    company.lives(BEGIN + 20 * DAY)
    assert len(company.ours("promise_overdue")) == 2


def test_a_case_nobody_speaks_in_is_silent_and_an_order_that_stays_is_stuck(company: Company) -> None:
    company.hears("case_opened", {"case_id": "C-1", "text": "It is broken."})
    company.hears("order_placed", {"order_id": "o-1", "amount": 1, "currency": "EUR"}, who="bob")
    company.time.at += HOUR
    company.hears("order_stage_changed", {"order_id": "o-1", "stage": "packed"}, who="bob")
    company.hears("case_replied", {"case_id": "C-1", "actor": {"kind": "agent"}, "text": "We are on it."})
    company.lives(BEGIN + 8 * DAY)
    (silent,) = company.ours("case_silent")
    assert (silent.data["case_id"], silent.occurred_at) == ("C-1", BEGIN + HOUR + 5 * DAY)
    (stuck,) = company.ours("stage_stuck")
    assert (stuck.data["order_id"], stuck.data["stage"]) == ("o-1", "packed")
    assert stuck.occurred_at == BEGIN + HOUR + 6 * DAY


def test_tiers_that_changed_overnight_are_recorded_once_at_midnight(company: Company) -> None:
    for number in range(12):
        company.hears("complaint_raised", {"text": "Again!", "reason": f"r{number}"})
    company.lives(BEGIN + 3 * DAY + HOUR)
    changed = [one for one in company.ours("score_tier_changed") if one.data["score"] == "trust"]
    assert (changed[0].data["day"], changed[0].data["before"]) == ("2026-03-02", None)
    assert changed[0].occurred_at == BEGIN + DAY
    assert {one.occurred_at % DAY for one in company.ours("score_tier_changed")} == {0}
    before = len(company.ours())
    assert company.look() == 0
    assert len(company.ours()) == before


def test_an_ignored_customer_loses_trust_though_nobody_publishes_that_he_was_ignored(
    company: Company,
) -> None:
    book = company.book
    for turn in range(3):
        company.answered(f"greeted-{turn}")
        company.hears("promise_kept", {"promise_id": f"p-{turn}"})
    company.lives(BEGIN + DAY)

    def trust() -> Any:
        company.folded()
        customer = book.customers.find("user_id:ann")
        return book.customers.scores(customer, day_of(company.time.at))["scores"]["trust"]["value"]

    before = trust()
    company.asked("first")
    company.lives(BEGIN + 10 * DAY)
    once = trust()
    company.asked("second")
    company.lives(BEGIN + 20 * DAY)
    assert before > once > trust()


def test_a_year_passes_in_seconds(company: Company) -> None:
    """A question every third day, every other one answered on the same day, every fourth within the target."""
    expected: list[str] = []
    for turn, day in enumerate(range(0, 360, 3)):
        company.lives(BEGIN + day * DAY + 9 * HOUR)
        company.asked(f"t-{turn}", who=f"customer-{turn % 5}")
        if turn % 4 == 0:
            company.time.at += 5 * MINUTE
            company.answered(f"t-{turn}", who=f"customer-{turn % 5}")
        elif turn % 2 == 0:
            company.time.at += 5 * HOUR
            company.answered(f"t-{turn}", who=f"customer-{turn % 5}")
        expected.append(("answered", "ignored", "late", "ignored")[turn % 4])
    company.lives(BEGIN + 370 * DAY)
    told = {one.data["thread"]: one.type.removeprefix("request_") for one in company.ours(*REQUESTS)}
    assert told == {f"t-{turn}": verdict for turn, verdict in enumerate(expected)}
    assert len(company.ours(*REQUESTS)) == len(expected)
    moved = {one.data["day"] for one in company.ours("score_tier_changed")}
    assert len(moved) > 10, "scores move without events"


# Against a slow reference


SLOW = """
policy: 1
versions:
- version: slow-1
  from: 1970-01-01
  grace: 30m
  reply:
    targets: [{within: 2h}]
    ignored_after: 24h
"""
TICK = 30 * MINUTE
GRACE, TARGET, IGNORED = 1, 4, 48
"""The same in ticks."""
SPAN = 160


class Said(NamedTuple):
    """A message of a thread, in ticks: it happened `at`, and is heard of at `heard`, perhaps twice."""

    thread: int
    at: int
    heard: int
    role: str
    again: bool


messages = st.lists(
    st.builds(
        lambda thread, at, late, role, again: Said(thread, at, at + late, role, again),
        st.integers(0, 2),
        st.integers(0, 100),
        st.sampled_from([0, 0, 0, 1, 3, 30]),
        st.sampled_from(["customer", "customer", "agent", "bot", "note"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


Verdict = tuple[str, str, int]
"""What it is, the key of the opening message, and the tick at which it happened."""


def by_the_slow_reference(said: Sequence[tuple[Said, str]]) -> set[Verdict]:
    """At every tick everything is looked at anew. What is due when a message is heard of waits for a grace more: what
    follows it may still be on its way."""
    judged: dict[str, Verdict] = {}
    look_at: int | None = None
    for now in range(SPAN + 1):
        if look_at is not None and look_at <= now:
            known = [one for one in said if one[0].heard < now]
            judged |= {opening: verdict for due, opening, verdict in _open(known, judged) if due <= now}
        known = [one for one in said if one[0].heard <= now]
        if (look_at is not None and look_at <= now) or any(one.heard == now for one, _ in said):
            first = min((due for due, _, _ in _open(known, judged)), default=None)
            look_at = now + GRACE if first is not None and first <= now else first
    return set(judged.values())


def _open(
    said: Sequence[tuple[Said, str]], judged: Mapping[str, Verdict]
) -> Iterator[tuple[int, str, Verdict]]:
    """When it is due, the opening, and the verdict of each turn that was not judged."""
    for thread in range(3):
        known = sorted((one.at, key, one.role) for one, key in said if one.thread == thread)
        waiting: list[tuple[int, str]] = []
        for at, key, role in [*known, (2 * SPAN, "", "agent")]:
            if role == "customer":
                waiting.append((at, key))
            if role not in ("agent", "bot") or not waiting:
                continue
            (opened, opening), keys, waiting = waiting[0], {key for _, key in waiting}, []
            if keys & judged.keys():
                continue
            if at > opened + IGNORED:
                yield opened + IGNORED + GRACE, opening, ("ignored", opening, opened + IGNORED)
            else:
                late = "late" if at - opened > TARGET else "answered"
                yield at + GRACE, opening, (late, opening, at)


@dataclass
class Told:
    """What happens to one customer, in a company whose time only ever goes on."""

    company: Company
    who: str
    begin: int
    keys: list[tuple[Said, str]] = field(default_factory=list)

    def happens(self, said: Sequence[Said], look: Callable[[], object]) -> None:
        """Everything is heard of in its time; `look` is the clock's, at every moment at which something may be due."""
        for number, one in sorted(enumerate(said), key=lambda numbered: numbered[1].heard):
            self._until(one.heard, look)
            key = self._hear(one, f"{self.who}-{number}")
            if one.again:
                assert self._hear(one, f"{self.who}-{number}") == key
            self.keys.append((one, key))
        self._until(SPAN, look)

    def verdicts(self) -> set[Verdict]:
        found = [one for one in self.company.ours(*REQUESTS) if one.subject.value == self.who]
        told = {
            (
                one.type.removeprefix("request_"),
                one.data["turn"],
                (one.occurred_at - self.begin) // TICK,
            )
            for one in found
        }
        assert len(told) == len(found)
        return told

    def _hear(self, one: Said, id: str) -> str:
        at, thread = self.begin + one.at * TICK, f"{self.who}-{one.thread}"
        if one.role == "note":
            return self.company.hears(
                "note_added", {"thread": thread, "text": "Hm."}, at=at, who=self.who, id=id
            )
        say = self.company.asked if one.role == "customer" else self.company.answered
        more = {} if one.role == "customer" else {"by": one.role}
        return say(thread, at=at, who=self.who, id=id, **more)

    def _until(self, tick: int, look: Callable[[], object]) -> None:
        until, time = self.begin + tick * TICK, self.company.time
        look()
        while time.at < until:
            due = self.company.book.watch.due(until, 1)
            time.at = min(max(due[0].at, time.at + 1), until) if due else until
            look()


_names = count()


def a_customer(company: Company) -> Told:
    company.time.at = (company.time.at // TICK + 1) * TICK
    return Told(company, f"customer-{next(_names)}", company.time.at)


@pytest.fixture(scope="module")
def long_lived() -> Iterator[Company]:
    with a_company(policy=SLOW) as company:
        yield company


several = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def test_verdicts_are_those_of_a_slow_reference_however_messages_arrive(long_lived: Company) -> None:
    @several
    @given(messages)
    def whatever_is_said(said: list[Said]) -> None:
        customer = a_customer(long_lived)
        customer.happens(said, long_lived.look)
        assert customer.verdicts() == by_the_slow_reference(customer.keys)

    whatever_is_said()


# Two clocks, and clocks that die


class Killed(BaseException):
    """As by kill -9: nothing that was in memory is left."""


class Dying:
    """A part that another clock sees, of which some calls never return, or return to nobody."""

    def __init__(self, part: Any, names: Sequence[str], strike: Callable[[], bool]) -> None:
        self._part, self._names, self._strike = part, names, strike

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._names:
            return found

        def called(*given: Any) -> Any:
            if self._strike():
                raise Killed
            answer = found(*given)
            if hasattr(answer, "result"):
                answer.result()  # durable
            if self._strike():
                raise Killed
            return answer

        return called


def a_clock(company: Company, watch: Any = None, journal: Any = None, terms: Terms | None = None) -> Clock:
    """Another clock over the same book."""
    book, time = company.book, company.time
    terms = terms or AloneTerms(journal or book.journal, lambda position: _folded(book) >= position)
    return Clock(
        book.admission, book.customers, watch or book.watch, book.policies, terms, Metrics(), time,
        lambda: time() if _folded(book) >= book.journal.head() else 0,
    )  # fmt: skip


def _folded(book: Book) -> int:
    with book.projections.reading() as reader:
        return reader.position()


def test_a_clock_that_dies_anywhere_is_made_good_for_by_the_next(long_lived: Company) -> None:
    company = long_lived
    deaths = 0

    @several
    @given(messages, st.integers(0, 2**32))
    def whatever_is_said(said: list[Said], seed: int) -> None:
        chance = random.Random(seed)

        def strike() -> bool:
            return chance.random() < 0.1

        def reborn() -> Clock:
            watch = Dying(company.book.watch, ("due", "put_off", "stays", "tier_changes"), strike)
            return a_clock(company, watch, Dying(company.book.journal, ("append",), strike))

        clocks = [reborn()]

        def look() -> None:
            nonlocal deaths
            company.folded()
            company.book.watch.look()
            for _ in range(50):
                try:
                    clocks[-1].look()
                    break
                except Killed:
                    deaths += 1
                    clocks.append(reborn())
                    if chance.random() < 0.5:
                        company.folded()
                        company.book.watch.look()
            company.folded()
            company.book.watch.look()

        customer = a_customer(company)
        customer.happens(said, look)
        assert customer.verdicts() == by_the_slow_reference(customer.keys)

    whatever_is_said()
    assert deaths > 10


def test_two_clocks_at_once_make_each_verdict_once(long_lived: Company, tmp_path: Path) -> None:
    """One looks while the other is about to record what it has seen."""
    company = long_lived
    book = company.book
    own = Watch(
        book.projections,
        book.customers,
        book.scorecards,
        book.policies,
        company.time,
        tmp_path / "watch.sqlite",
    )
    other = a_clock(company, own)
    between = [0]

    class Interrupted:
        """The journal as one clock sees it: before anything of his is recorded the other has had his look."""

        def __getattr__(self, name: str) -> Any:
            return getattr(book.journal, name)

        def append(self, touchpoints: Sequence[Touchpoint]) -> Any:
            own.look()
            between[0] += other.look()
            return book.journal.append(touchpoints)

    first = a_clock(company, journal=Interrupted())

    @several
    @given(messages)
    def whatever_is_said(said: list[Said]) -> None:
        customer = a_customer(company)

        def look() -> None:
            company.folded()
            book.watch.look()
            first.look()
            company.folded()
            own.look()
            book.watch.look()

        customer.happens(said, look)
        assert customer.verdicts() == by_the_slow_reference(customer.keys)

    whatever_is_said()
    assert between[0] > 10
    own.close()


def test_projections_and_watch_made_anew_bring_no_verdict_again(tmp_path: Path) -> None:
    with a_company(tmp_path) as company:
        for turn in range(4):
            company.asked(f"t-{turn}", who=f"customer-{turn}")
        company.lives(BEGIN + 5 * DAY)
        told = company.ours()
        at = company.time.at
    assert {one.type for one in told} == {"request_ignored", "score_tier_changed"}
    for file in (tmp_path / "data").iterdir():
        if file.name.startswith(("projections", "watch")):
            file.unlink()
    with a_company(tmp_path, at=at) as company:
        assert company.look() == 0
        assert [one.key for one in company.ours()] == [one.key for one in told]


def test_a_clock_off_duty_records_nothing_and_says_so(company: Company) -> None:
    company.asked()
    company.look()
    company.time.at += 4 * DAY

    class Waiting(AloneTerms):
        def term(self) -> Term | None:
            return None

    book = company.book
    waiting = a_clock(company, terms=Waiting(book.journal, lambda position: True))
    assert (waiting.look(), waiting.lag()) == (0, 0.0)
    assert book.clock.lag() > 20 * 3600
    assert book.clock.look() == 1
    assert book.clock.lag() == 0.0
    assert book.metrics.total("verdicts") == len(company.ours()) == 1
