"""Verdicts about time: each once, by what was known when its grace had passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.reference_verdicts import Rules, Said, said_by
from tests.rules.talks import AGENT, BOT, CUSTOMER, MINUTE, SOLVED, Heard, talks, word
from tests.thorough import examples
from touchbook.policy import Policies, Policy, Usual
from touchbook.policy_files import read_policies
from touchbook.registers import Setting, ThreadMessage
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.times import rfc3339
from touchbook.turns import turns_of
from touchbook.verdicts import (
    BEFORE,
    Verdict,
    due_verdicts,
    finished_stays,
    next_moment,
    usual_stays,
    verdict_on,
)

HOUR, DAY = 60 * MINUTE, 1_440 * MINUTE
POLICIES = read_policies(
    "trial.yaml",
    """
policy: 1
versions:
- version: trial
  from: 1970-01-01
  grace: 5m
  company: {zone: UTC, hours: {mon-sun: ["00:30-01:30", "02:00-24:00"]}}
  reply:
    targets:
    - {channels: [web_chat], within: 15m}
    - {channels: [email], within: 40m, time: working}
    ignored_after: 60m
  promises: true
  cases: {silent_after: 5d}
  stages: {times: 3, least: 1d, known: 3, usual: {"case:assigned": 12h}}
""",
)
RULES = Rules(
    grace=5,
    ignored_after=60,
    within={"web_chat": 15, "email": 40},
    counts_working=frozenset({"email"}),
    works=lambda minute: 30 <= minute % 1_440 < 90 or minute % 1_440 >= 120,
)
LAST = 480
NOTHING: Mapping[str, Usual] = {}


class Told:
    """A customer who is heard of bit by bit, and what is recorded of him."""

    def __init__(self, heard: Sequence[Heard] = (), registers: Iterable[Setting] = ()) -> None:
        self.heard, self.registers = list(heard), list(registers)
        self.recorded: dict[str, Verdict] = {}
        self.said: list[Said] = []

    def known(self, minute: int) -> list[ThreadMessage]:
        return list({one.message.key: one.message for one in self.heard if one.at <= minute}.values())

    def due(self, minute: int) -> tuple[list[Verdict], int | None]:
        messages = self.known(minute)
        turns = turns_of(messages)
        return due_verdicts("c", turns, messages, self.registers, NOTHING, POLICIES, minute * MINUTE)

    def record(self, verdicts: Iterable[Verdict], minute: int) -> None:
        for one in verdicts:
            assert one.id not in self.recorded
            self.recorded[one.id] = one
            self.said.append(
                Said(one.type, one.data["turn"], one.occurred_at // MINUTE, one.data["messages"], minute)
            )
            value = {"type": one.type, "waited": one.data["waited"], "policy": one.data["policy"]}
            self.registers.append(Setting("verdict", one.data["turn"], value, one.occurred_at, one.id))

    def look(self, minute: int) -> int | None:
        verdicts, later = self.due(minute)
        self.record(verdicts, minute)
        return later


def by_every_minute(heard: Sequence[Heard]) -> Told:
    told = Told(heard)
    for minute in range(LAST):
        told.look(minute)
    return told


@given(talks())
@settings(max_examples=examples(60), deadline=None)
def test_a_clock_that_ticks_says_what_a_look_at_every_message_at_every_minute_says(
    heard: list[Heard],
) -> None:
    expected: list[Said] = []
    for minute in range(LAST):
        known = Told(heard).known(minute)
        expected += said_by(minute, known, {one.opening for one in expected}, RULES)
    assert sorted(by_every_minute(heard).said) == sorted(expected)


@given(talks())
@settings(max_examples=examples(60), deadline=None)
def test_a_clock_that_looks_when_something_arrives_or_is_due_says_the_same_at_the_same_minute(
    heard: list[Heard],
) -> None:
    told = Told(heard)
    arrivals = {one.at for one in heard}
    minute: int | None = 0
    for now in range(LAST):
        if now in arrivals or now == minute:
            later = told.look(now)
            minute = None if later is None else -(-later // MINUTE)
    assert sorted(told.said) == sorted(by_every_minute(heard).said)


@given(talks(), st.data())
@settings(max_examples=examples(40), deadline=None)
def test_a_clock_killed_while_it_records_and_another_after_it_leave_none_out_and_say_none_twice(
    heard: list[Heard], data: st.DataObject
) -> None:
    told = Told(heard)
    for minute in range(LAST):
        verdicts, _ = told.due(minute)
        if verdicts:
            told.record(verdicts[: data.draw(st.integers(0, len(verdicts)))], minute)
            again, _ = told.due(minute)
            assert again == [one for one in verdicts if one.id not in told.recorded]
            told.record(again, minute)
    assert told.said == by_every_minute(heard).said


@given(talks(), st.integers(0, LAST))
@settings(max_examples=examples(40), deadline=None)
def test_what_is_due_is_the_same_in_any_order_and_is_told_by_the_next_moment(
    heard: list[Heard], minute: int
) -> None:
    told = Told(heard)
    verdicts, later = told.due(minute)
    messages = told.known(minute)
    turned = due_verdicts("c", turns_of(messages), messages[::-1], [], NOTHING, POLICIES, minute * MINUTE)
    assert turned == (verdicts, later)
    first = next_moment(turns_of(messages), messages, [], NOTHING, POLICIES)
    moments = [one.known_at for one in verdicts] + ([] if later is None else [later])
    assert first == min(moments, default=None)
    if later is not None:
        assert Told(heard).due(minute)[0] == verdicts
        assert (
            due_verdicts("c", turns_of(messages), messages, [], NOTHING, POLICIES, later - 1)[0] == verdicts
        )
        more, _ = due_verdicts("c", turns_of(messages), messages, [], NOTHING, POLICIES, later)
        assert len(more) > len(verdicts)


@given(talks())
@settings(max_examples=examples(40), deadline=None)
def test_every_verdict_is_a_touchpoint_of_its_type_that_says_so_of_its_turn(heard: list[Heard]) -> None:
    for one in by_every_minute(heard).recorded.values():
        details = CATALOGUE[one.type].model_validate(one.data)
        (register,) = details.registers()
        assert (register.kind, register.key) == ("verdict", one.data["turn"])
        assert register.value == {"type": one.type, "waited": one.data["waited"], "policy": "trial"}


def on(*said: tuple[str, int]) -> list[Verdict]:
    messages = [word(kind, minute) for kind, minute in said]
    return due_verdicts("c", turns_of(messages), messages, [], NOTHING, POLICIES, LAST * MINUTE)[0]


def test_a_reply_in_the_last_moment_is_in_time_and_one_after_it_is_late() -> None:
    assert [one.type for one in on((CUSTOMER, 0), (BOT, 15))] == ["request_answered"]
    assert [one.type for one in on((CUSTOMER, 0), (BOT, 16))] == ["request_late"]


def test_a_verdict_says_who_answered_after_how_long_and_by_which_policy() -> None:
    (one,) = on((CUSTOMER, 60), (CUSTOMER, 61), (AGENT, 120))
    assert one.data == {
        "turn": "customer-60",
        "opened": rfc3339(60 * MINUTE),
        "replied": rfc3339(120 * MINUTE),
        "reply": "agent-120",
        "by": "agent",
        "messages": 2,
        "waited": 3_600,
        "waited_working": 1_800,
        "target": 900,
        "target_time": "calendar",
        "policy": "trial",
    }
    assert (one.type, one.id, one.subject, one.thread) == ("request_late", "request:customer-60", "s", "t")
    assert (one.occurred_at, one.known_at) == (120 * MINUTE, 125 * MINUTE)


def test_a_request_is_ignored_with_what_he_had_written_until_then() -> None:
    (one,) = on((CUSTOMER, 0), (CUSTOMER, 60), (CUSTOMER, 61))
    assert (one.type, one.occurred_at, one.data["messages"]) == ("request_ignored", 60 * MINUTE, 2)


def test_a_reply_that_arrives_within_the_grace_is_believed_and_one_after_it_changes_nothing() -> None:
    asked = Heard(word(CUSTOMER, 0), 0)
    for arrival, expected in ((65, "request_late"), (66, "request_ignored")):
        told = by_every_minute([asked, Heard(word(AGENT, 59), arrival)])
        assert [one.type for one in told.said] == [expected]


def test_a_verdict_stands_where_an_earlier_message_is_heard_of_later() -> None:
    late = Heard(word(CUSTOMER, 3, "earlier"), 200)
    told = by_every_minute([Heard(word(CUSTOMER, 5, "later"), 5), late])
    assert [(one.type, one.opening) for one in told.said] == [("request_ignored", "later")]


def test_a_turn_is_judged_by_the_policy_in_force_when_it_was_opened() -> None:
    newer = Policy("newer", since=DAY, reply=POLICIES.versions[0].reply)
    both = Policies((Policy("older", since=0), newer))
    messages = [word(CUSTOMER, 1_439), word(AGENT, 1_441), word(CUSTOMER, 1_442), word(AGENT, 1_443)]
    verdicts, _ = due_verdicts("c", turns_of(messages), messages, [], NOTHING, both, 2 * DAY)
    assert [(one.data["turn"], one.data["policy"]) for one in verdicts] == [("customer-1442", "newer")]


def test_what_would_be_said_now_needs_no_grace() -> None:
    (turn,) = turns_of([word(CUSTOMER, 0)])
    policy = POLICIES.at(0)
    assert verdict_on(turn, policy, 60 * MINUTE - 1) is None
    assert verdict_on(turn, policy, 60 * MINUTE) == "request_ignored"


# Promises, cases, stages


def register(kind: str, key: str, value: Any, at: int, touchpoint: str = "") -> Setting:
    return Setting(kind, key, value, at, touchpoint or f"{kind}-{at}")


def due(
    registers: Sequence[Setting], now: int, *said: ThreadMessage, stays: Mapping[str, Usual] = NOTHING
) -> list[Verdict]:
    return due_verdicts("c", [], said, registers, stays, POLICIES, now)[0]


def promised(due: int, state: str = "open") -> list[Setting]:
    return [
        register("promise", "P", {"what": "call back", "due": due}, 0, "made"),
        register("promise_outcome", "P", {"state": state}, 1),
    ]


def test_a_promise_is_overdue_once_its_time_and_the_grace_have_passed() -> None:
    assert due(promised(DAY), DAY + 5 * MINUTE - 1) == []
    (one,) = due(promised(DAY), DAY + 5 * MINUTE)
    assert (one.type, one.id, one.occurred_at, one.subject) == ("promise_overdue", "promise:made", DAY, "c")
    assert one.data == {"promise_id": "P", "what": "call back", "due": rfc3339(DAY)}


def test_a_promise_kept_or_said_to_be_overdue_is_not_said_to_be_again() -> None:
    assert due(promised(DAY, "kept"), 2 * DAY) == []
    said = register("promise_overdue", "P", {"due": DAY}, DAY)
    assert due([*promised(DAY), said], 2 * DAY) == []
    assert [one.occurred_at for one in due([*promised(2 * DAY), said], 3 * DAY)] == [2 * DAY]


def case(at: int = 0, state: str = "open") -> list[Setting]:
    return [
        register("case", "case:K", {"kind": "case", "id": "K", "state": state}, at, "opened"),
        register("case_opened", "case:K", {"title": None}, at, "opened"),
    ]


def stage(name: str, at: int, visible: bool = True) -> list[Setting]:
    value: dict[str, Any] = {"case": "case:K", "stage": name} | ({} if visible else {"visible": False})
    return [
        register("case_stage", "case:K", {"stage": name}, at, f"{name}-{at}"),
        register("stage", f"case:K\n{name}", value, at, f"{name}-{at}"),
    ]


def silent(registers: Sequence[Setting], *said: ThreadMessage) -> tuple[str, int]:
    found = due_verdicts("c", [], said, registers, NOTHING, POLICIES, 100 * DAY)[0]
    (one,) = (one for one in found if one.type == "case_silent")
    assert one.known_at == one.occurred_at + 5 * MINUTE
    return one.id, one.occurred_at


def test_a_case_is_silent_when_its_customer_saw_nothing_of_it_for_too_long() -> None:
    assert silent(case()) == ("silent:opened", 5 * DAY)
    assert silent([*case(), *stage("assigned", DAY)]) == (f"silent:assigned-{DAY}", 6 * DAY)
    assert silent([*case(), *stage("assigned", DAY, visible=False)]) == ("silent:opened", 5 * DAY)
    reply, note = word(AGENT, 60, thread="K"), word("note", 90, thread="K")
    assert silent(case(), reply, note) == ("silent:agent-60", 60 * MINUTE + 5 * DAY)
    assert silent(case(), word(CUSTOMER, 90, thread="K"))[0] == "silent:opened"


def test_a_closed_case_is_not_silent_and_one_that_was_said_to_be_is_not_again() -> None:
    assert due(case(state="closed"), 100 * DAY) == []
    said = register("verdict", "silent:case:K", {"since": 0}, 5 * DAY)
    assert due([*case(), said], 100 * DAY) == []
    reply = word(AGENT, 60, thread="K")
    assert [one.id for one in due([*case(), said], 100 * DAY, reply)] == ["silent:agent-60"]


def stuck(registers: Sequence[Setting], stays: Mapping[str, Usual] = NOTHING) -> list[tuple[str, int]]:
    found = due_verdicts("c", [], [], registers, stays, POLICIES, 1_000 * DAY)[0]
    return [(one.id, one.occurred_at) for one in found if one.type == "stage_stuck"]


def test_a_stage_is_stuck_after_a_multiple_of_what_is_usual_in_it() -> None:
    assigned = [*case(), *stage("assigned", DAY)]
    assert stuck(assigned) == [(f"stuck:assigned-{DAY}", DAY + 36 * HOUR)]
    assert stuck(assigned, {"case:assigned": Usual(3, 2 * DAY)}) == [(f"stuck:assigned-{DAY}", 7 * DAY)]
    assert stuck(assigned, {"case:assigned": Usual(2, 2 * DAY)}) == [
        (f"stuck:assigned-{DAY}", DAY + 36 * HOUR)
    ]
    assert stuck(assigned, {"case:assigned": Usual(3, HOUR)}) == [(f"stuck:assigned-{DAY}", 2 * DAY)]


def test_a_stage_of_which_nothing_usual_is_known_is_never_stuck() -> None:
    assert stuck([*case(), *stage("in_progress", DAY)]) == []


def test_a_stage_said_to_be_stuck_is_not_said_to_be_again_until_it_is_entered_anew() -> None:
    said = register("verdict", "stuck:case:K", {"stage": "assigned", "since": DAY}, 3 * DAY)
    assert stuck([*case(), *stage("assigned", DAY), said]) == []
    assert stuck([*case(), *stage("assigned", 4 * DAY), said]) == [
        (f"stuck:assigned-{4 * DAY}", 4 * DAY + 36 * HOUR)
    ]


def test_verdicts_on_matters_are_touchpoints_that_are_not_reached_again() -> None:
    registers = [*case(), *stage("assigned", DAY), *promised(DAY)]
    found = due(registers, 100 * DAY)
    assert sorted(one.type for one in found) == ["case_silent", "promise_overdue", "stage_stuck"]
    for one in found:
        for kind, key, value in CATALOGUE[one.type].model_validate(one.data).registers():
            registers.append(Setting(kind, key, value, one.occurred_at, one.id))
    assert due(registers, 100 * DAY) == []


def test_a_stay_lasts_until_the_next_stage_or_the_end_of_the_case() -> None:
    registers = [*stage("new", 0), *stage("assigned", HOUR)]
    assert list(finished_stays(registers)) == [("case:new", HOUR)]
    closed = [*registers, *case(3 * HOUR, "closed")]
    assert list(finished_stays(closed)) == [("case:new", HOUR), ("case:assigned", 2 * HOUR)]
    reopened = [*registers, *case(HOUR - 1, "closed")]
    assert list(finished_stays(reopened)) == [("case:new", HOUR)]


@given(st.lists(st.tuples(st.sampled_from(["order:a", "case:b"]), st.integers(0, 100)), max_size=30))
def test_half_of_the_stays_are_no_longer_and_half_no_shorter_than_the_usual_one(
    stays: list[tuple[str, int]],
) -> None:
    for stage, usual in usual_stays(stays).items():
        those = [stay for one, stay in stays if one == stage]
        assert usual.known == len(those)
        assert usual.median in those
        assert 2 * sum(stay <= usual.median for stay in those) >= len(those)
        assert 2 * sum(stay >= usual.median for stay in those) >= len(those)
    assert set(usual_stays(stays)) == {stage for stage, _ in stays}


def test_a_case_solved_with_a_word_to_him_answers_him() -> None:
    assert [one.type for one in on((CUSTOMER, 0), (SOLVED, 10))] == ["request_answered"]


def test_nothing_is_due_before_every_time() -> None:
    messages = [word(CUSTOMER, 0)]
    assert due_verdicts("c", turns_of(messages), messages, [], NOTHING, POLICIES, BEFORE) == ([], 65 * MINUTE)
