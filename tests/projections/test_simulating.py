"""A policy tried on what happened: told by policy, by tier, and equal to what that policy would have decided live."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.books import NOON, TODAY, a_book, event, folded, publish
from touchbook.contacting import Candidate
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.policy import Policies
from touchbook.policy_files import read_policies
from touchbook.projections.simulating import simulate
from touchbook.schemas.times import milliseconds
from touchbook.settings import settings_from
from touchbook.streams.admission import Publisher
from touchbook.streams.deciding import Answer, Asked
from touchbook.wiring import Book, open_book

STRICT = """
policy: 1
versions:
- version: strict
  from: 1970-01-01
  reply: {targets: [{within: 1h}], ignored_after: 1d}
  contact:
    consent: {}
    caps:
    - {name: two a week, purposes: [offer], most: 2, window: 7d}
    - {name: no surveys, purposes: [survey], most: 0, window: 1d}
"""
OPEN = """
policy: 1
versions:
- version: open
  from: 1970-01-01
  reply: {targets: [{within: 12h}], ignored_after: 3d}
  contact: {consent: {}, fatigue: {}}
"""
DAYS = (TODAY - 9) * MILLISECONDS_A_DAY, (TODAY + 1) * MILLISECONDS_A_DAY


def sent(who: str, days_ago: float, purpose: str | None = "offer", **more: Any) -> dict[str, Any]:
    return event(
        "message_sent", {"purpose": purpose, **more} if purpose else more, who=who, days_ago=days_ago
    )


def wrote(who: str, days_ago: float, thread: str) -> dict[str, Any]:
    return event("chat_message_sent", {"thread": thread, "text": "Hello?"}, who=who, days_ago=days_ago)


def answered(who: str, days_ago: float, thread: str) -> dict[str, Any]:
    said = {"thread": thread, "text": "Yes.", "actor": {"kind": "agent", "name": "Ines"}}
    return event("chat_message_sent", said, who=who, days_ago=days_ago)


@pytest.fixture(scope="module")
def book() -> Iterator[Book]:
    with a_book() as made:
        publish(made, [sent("ann", n) for n in (8, 6, 5, 4, 3, 0.5)])
        publish(
            made, [sent("ann", 20), sent("ann", 2, "survey"), sent("ann", 1, None), sent("bob", 1, "service")]
        )
        publish(
            made,
            [
                wrote("bob", 3, "t1"), answered("bob", 3 - 2 / 24, "t1"), wrote("bob", 2.5, "t2"),
                wrote("bob", 30, "old"),
            ],
        )  # fmt: skip
        kept_back = {"decision": "d1", "for_channel": "email", "purpose": "offer"}
        one = event("contact_suppressed", kept_back, who="bob", days_ago=2, source="touchbook", id="d1")
        publish(made, [one], Publisher("touchbook"))
        folded(made)
        yield made


def simulated(book: Book, candidate: str, live: str) -> dict[str, Any]:
    card = book.scorecards["loyalty"]
    with book.projections.reading() as reader:
        return simulate(reader, policies(candidate), policies(live), book.scorecards, card, DAYS, TODAY, NOON)


def policies(text: str) -> Policies:
    return read_policies("policy.yaml", text)


def test_each_message_is_decided_by_what_the_same_policy_let_through_before(book: Book) -> None:
    found = simulated(book, STRICT, OPEN)
    # 8 and 6 days ago go; from then on one is put off to a day when two in seven days leave room, and counts there
    assert found["live"]["messages"] == {"reserved": 9, "deferred": 0, "suppressed": 0}
    assert found["candidate"]["messages"] == {"reserved": 4, "deferred": 4, "suppressed": 1}
    assert found["candidate"]["reasons"] == [
        {"decision": "deferred", "code": "cap", "messages": 4},
        {"decision": "suppressed", "code": "cap", "messages": 1},
    ]
    assert found["without_purpose"] == 1
    assert found["customers"] == 2


def test_requests_are_judged_by_both(book: Book) -> None:
    found = simulated(book, STRICT, OPEN)
    assert found["candidate"]["requests"] == {"answered": 0, "late": 1, "ignored": 1, "open": 0}
    assert found["live"]["requests"] == {"answered": 1, "late": 0, "ignored": 0, "open": 1}


def test_tiers_add_up_and_the_same_policy_changes_nothing(book: Book) -> None:
    found = simulated(book, STRICT, STRICT)
    assert found["candidate"] == found["live"]
    assert found["most_changed"] == []
    for what in ("messages", "requests"):
        for kind, number in found["candidate"][what].items():
            assert number == sum(tier["candidate"][what][kind] for tier in found["tiers"])
    assert sum(tier["customers"] for tier in found["tiers"]) == found["customers"]


def test_who_would_get_the_most_different_number_of_messages_is_named_by_his_id(book: Book) -> None:
    found = simulated(book, STRICT, OPEN)
    ann = book.customers.find("user_id:ann").id
    assert found["most_changed"][0] == {"customer": ann, "live": 7, "candidate": 2}


HOUR, MINUTE = 3_600_000, 60_000
CAPPED = """
policy: 1
versions:
- version: capped
  from: 1970-01-01
  contact:
    consent: {}
    quiet: {from: "22:00", to: "07:00"}
    caps:
    - {name: two a day, most: 2, window: 24h}
    - {name: one text a day, channels: [sms], most: 1, per: day}
    cadence:
    - {name: each week, purposes: [teach], every: 7d}
"""


class Days:
    """Somebody asks for days on end, asks again when he is put off, and sends, releases or forgets what he reserved."""

    def __init__(self, book: Book, time: list[int], seed: int) -> None:
        self.book, self.time, self.random = book, time, random.Random(seed)
        self.decided = Counter[str]()

    def live(self) -> None:
        subject = self.book.customers.id_of("user_id:ann")
        again: list[tuple[int, Candidate]] = []
        for n in range(40):
            self.time[0] += self.random.randrange(HOUR, 5 * HOUR)
            candidate = Candidate(
                "c",
                self.random.choice(["email", "sms"]),
                self.random.choice(["offer", "teach", "service"]),
                campaign=f"campaign {n}",
                language=self.random.choice([None, "en", "de"]),
                not_after=self.random.choice([None, self.time[0] + 5 * HOUR]),
            )
            for one in [one for at, one in again if at <= self.time[0]] + [candidate]:
                again = [(at, other) for at, other in again if other is not one]
                answer = self.ask(Asked(subject, one, "news", None))
                if answer.kind == "deferred":
                    again.append((milliseconds(answer.told["until"], "until"), one))
            folded(self.book)

    def ask(self, asked: Asked) -> Answer:
        (answer,) = self.book.contacting.reserve([asked]).result(30)
        assert isinstance(answer, Answer), answer
        self.decided[answer.kind] += 1
        self.time[0] += self.random.randrange(MINUTE)
        if answer.kind == "reserved":
            match self.random.choice(["sent", "released", "forgotten"]):
                case "sent":
                    self.book.contacting.confirm(answer.id, "news", None).result(30)
                case "released":
                    self.book.contacting.release(answer.id, "news", None).result(30)
        return answer


@pytest.mark.parametrize("seed", range(2))
def test_the_policy_that_was_in_force_decides_what_it_decided(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(CAPPED)
    time = [NOON]
    book = open_book(settings_from(data=tmp_path / "data", policy=file), clock=lambda: time[0])
    try:
        publish(book, [event("preference_changed", {"language": "en"}, days_ago=1)])
        folded(book)
        days = Days(book, time, seed)
        days.live()
        assert min(days.decided[kind] for kind in ("reserved", "deferred", "suppressed")) > 2
        span = NOON, time[0] + 1
        with book.projections.reading() as reader:
            found = simulate(
                reader, policies(OPEN), policies(CAPPED), book.scorecards, book.scorecards["loyalty"], span,
                TODAY, time[0],
            )  # fmt: skip
    finally:
        book.close()
    assert found["live"]["messages"] == dict(days.decided)
    # whom nothing keeps back is not asked about again
    assert found["candidate"]["messages"]["deferred"] == 0
    assert found["candidate"]["messages"]["reserved"] < days.decided["reserved"] + days.decided["deferred"]
