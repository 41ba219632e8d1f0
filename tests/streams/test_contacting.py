"""Deciding whom to contact in one process: exact under concurrency, through failures, kills and restarts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.serving import track
from touchbook.contacting import Candidate
from touchbook.errors import JournalUnavailable
from touchbook.policy import DAY, HOUR, MINUTE
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.sealing import canonical
from touchbook.settings import Settings
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.contacting import Contacting
from touchbook.streams.deciding import SUBJECT_DIGITS, Answer, Asked, row_of, spelled_whole
from touchbook.streams.follow import catch_up
from touchbook.streams.journal import Appended
from touchbook.wiring import Book, open_book

NOON = 1_772_452_800_000
POLICY = """
policy: 1
versions:
- version: tests-1
  from: 1970-01-01
  contact:
    caps:
    - {name: three a day, most: 3, window: 1d}
"""
MAIL = Candidate("c", "email", "support")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


@contextmanager
def opened(directory: Path, policy: Path, clock: Callable[[], int] | None = None) -> Iterator[Book]:
    """A book that nobody follows, in which customers 0 to 4 are known."""
    book = open_book(Settings(data=directory, policy=policy), clock=clock or Clock())
    try:
        items = [
            Item("segment", {**track(userId=str(one)), "messageId": f"known-{one}"}, {}) for one in range(5)
        ]
        book.admission.admit(items, Publisher("shop", "web"), NOON).result(30)
        fold(book)
        yield book
    finally:
        book.close()


def fold(book: Book) -> None:
    catch_up(book.journal, book.projections, book.folder)


def asked(book: Book, id: str | None = None, customer: int = 0, **more: Any) -> Asked:
    return Asked(book.customers.id_of(f"user_id:{customer}"), MAIL._replace(**more), "news", id)


def decide(contacting: Contacting, *questions: Asked) -> list[Answer]:
    answers = contacting.reserve(questions).result(30)
    assert all(isinstance(one, Answer) for one in answers), answers
    return [one for one in answers if isinstance(one, Answer)]


def contacting_of(book: Book) -> Contacting:
    assert isinstance(book.contacting, Contacting)
    return book.contacting


def test_threads_that_ask_at_once_never_exceed_a_cap(tmp_path: Path, policy: Path) -> None:
    with opened(tmp_path / "book", policy) as book, ThreadPoolExecutor(8) as pool:
        ask = lambda number: decide(contacting_of(book), asked(book, customer=number % 2))[0].kind  # noqa: E731
        kinds = list(pool.map(ask, range(60)))
    assert kinds.count("reserved") == 6


def test_what_was_decided_and_not_folded_counts_after_a_restart(tmp_path: Path, policy: Path) -> None:
    with opened(tmp_path / "book", policy) as book:
        first = decide(contacting_of(book), *(asked(book, str(number)) for number in range(2)))
    book = open_book(Settings(data=tmp_path / "book", policy=policy), clock=Clock())
    try:
        again = decide(contacting_of(book), asked(book, "0"), asked(book, "2"), asked(book, "3"))
    finally:
        book.close()
    assert again[0] == first[0]
    assert [one.kind for one in again] == ["reserved", "reserved", "deferred"]


class Failing:
    """Keeps or loses what it is given, and says each time that it does not know."""

    def __init__(self, book: Book, keeps: bool) -> None:
        self._book = book
        self._keeps = keeps
        self.fails = True

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        if not self.fails:
            return self._book.journal.append(touchpoints)
        if self._keeps:
            self._book.journal.append(touchpoints).result(30)
        future: Future[list[Appended]] = Future()
        future.set_exception(JournalUnavailable("the disk is full"))
        return future


@pytest.mark.parametrize("keeps", [True, False])
def test_what_may_have_been_kept_stays_reserved_and_the_same_id_settles_it(
    tmp_path: Path, policy: Path, keeps: bool
) -> None:
    with opened(tmp_path / "book", policy) as book:
        records = Failing(book, keeps)
        contacting = Contacting(records, book.customers, book.policies, book.now, lambda position: False)
        for number in range(3):
            with pytest.raises(JournalUnavailable):
                contacting.reserve([asked(book, str(number))]).result(30)
        records.fails = False
        assert decide(contacting, asked(book, "other"))[0].kind == "deferred"
        assert [one.kind for one in decide(contacting, *(asked(book, str(n)) for n in range(3)))] == [
            "reserved"
        ] * 3
        fold(book)
        with book.customers.reading() as reader:
            assert len(reader.contacts([book.customers.id_of("user_id:0")], 0)) == 3


def test_the_decisions_of_a_recorded_day_are_made_again_from_the_same_facts(
    tmp_path: Path, policy: Path
) -> None:
    """In another book, whoever folds when."""
    day = [(minute * 37 % 1440, minute % 5, f"q-{minute}", minute % 3) for minute in range(60)]

    def lived(name: str, fold_every: int) -> list[tuple[str, Any, Any]]:
        clock = Clock()
        told = []
        with opened(tmp_path / name, policy, clock) as book:
            for step, (minute, customer, id, then) in enumerate(sorted(day)):
                clock.now = NOON + minute * MINUTE
                answer = decide(contacting_of(book), asked(book, id, customer))[0]
                until = answer.told.get("until", answer.told.get("holds_until"))
                told.append((answer.kind, until, answer.told["reasons"]))
                if answer.kind == "reserved" and then:
                    settle = contacting_of(book).confirm if then == 1 else contacting_of(book).release
                    settle(answer.id, "news", None).result(30)
                if step % fold_every == 0:
                    fold(book)
        return told

    first = lived("first", 1)
    assert lived("second", 7) == lived("third", 1000) == first
    assert {kind for kind, *_ in first} == {"reserved", "deferred"}


def test_the_contact_that_counts_before_readers_see_it_is_the_one_that_they_will_see(
    tmp_path: Path, policy: Path
) -> None:
    with opened(tmp_path / "data", policy) as book:
        contacting = contacting_of(book)
        rich = {"tags": ("a", "b"), "campaign": "spring", "content": "c-1", "language": "en", "priority": 3}
        one, *_ = decide(contacting, asked(book, "one", **rich), asked(book), asked(book), asked(book))
        contacting.confirm(one.id, "news", "m-1").result(30)
        taken = list(contacting.taken_of([one.id[:SUBJECT_DIGITS]]))
        assert len(taken) == 5
        assert [taken_.row for taken_ in taken] == [
            row_of(taken_.subject, taken_.touchpoint) for taken_ in taken
        ]
        fold(book)
        with book.projections.reading() as reader:
            seen = reader.contacts([one.id[:SUBJECT_DIGITS]], 0)
        rows = [taken_.row for taken_ in taken if taken_.row is not None]
        assert sorted(seen, key=lambda row: row.key) == sorted(rows, key=lambda row: row.key)


def test_questions_decided_in_one_look_are_decided_as_each_would_be_by_itself(
    tmp_path: Path, policy: Path
) -> None:
    """The plain way beside the fast one, for customers of every kind."""
    said = [
        ("preference_changed", {"do_not_contact": True}),
        ("preference_changed", {"channels": ["sms"], "frequency": "weekly"}),
        ("preference_changed", {"hours": {"from": "20:00", "to": "23:00", "zone": "Asia/Tokyo"}}),
        ("consent_withdrawn", {"purpose": "support"}),
        ("reported_as_spam", {}),
    ]

    def decided(directory: Path, at_once: bool) -> list[Any]:
        with opened(directory, policy) as book:
            events = [
                {
                    "specversion": "1.0",
                    "id": f"said-{n}",
                    "source": "shop",
                    "type": type,
                    "data": {"identifiers": {"user_id": str(n % 5)}, **data},
                }
                for n, (type, data) in enumerate(said)
            ]
            items = [Item("cloudevents", one, {}) for one in events]
            outcomes = book.admission.admit(items, Publisher("shop", "web"), NOON).result(30)
            assert {one.outcome for one in outcomes} == {"accepted"}, outcomes
            fold(book)
            questions = [
                asked(book, f"{purpose}-{customer}", customer, purpose=purpose)._replace(call=call)
                for call, (purpose, customer) in enumerate(
                    (purpose, customer)
                    for purpose in ("offer", "support", "support")
                    for customer in range(5)
                )
            ]
            contacting = contacting_of(book)
            if at_once:
                return decide(contacting, *questions)
            return [answer for one in questions for answer in decide(contacting, one)]

    at_once = decided(tmp_path / "once", True)
    each = decided(tmp_path / "each", False)
    assert [(one.kind, one.told["reasons"]) for one in at_once] == [
        (one.kind, one.told["reasons"]) for one in each
    ]
    assert {one.kind for one in at_once} == {"reserved", "deferred", "suppressed"}


def test_a_reservation_that_ran_out_frees_its_place_and_cannot_be_confirmed(
    tmp_path: Path, policy: Path
) -> None:
    clock = Clock()
    with opened(tmp_path / "book", policy, clock) as book:
        held = decide(contacting_of(book), *(asked(book, str(number)) for number in range(3)))
        clock.now += 15 * MINUTE
        with pytest.raises(Exception, match="ran out"):
            contacting_of(book).confirm(held[0].id, "news", None)
        assert decide(contacting_of(book), asked(book, "next"))[0].kind == "reserved"
        clock.now += DAY + HOUR
        fold(book)


def test_kills_in_between_never_let_a_thousand_reservations_exceed_a_cap(
    tmp_path: Path, policy: Path
) -> None:
    """Each question is sent again with its id until it is answered; the server dies twice meanwhile."""
    directory = tmp_path / "book"
    with opened(directory, policy, None) as book:
        secret = book.control.create_key("channel", "news", "email")[1]
    server = _Server(directory, policy)
    try:
        answers = asyncio.run(server.asked(secret, 1000, (150, 500)))
    finally:
        server.process.kill()
        server.process.wait()
    kinds = [one["decision"] for one in answers]
    assert (kinds.count("reserved"), kinds.count("deferred")) == (3, 997)
    book = open_book(Settings(data=directory, policy=policy))
    try:
        fold(book)
        with book.customers.reading() as reader:
            rows = reader.contacts([book.customers.id_of("user_id:0")], 0)
        assert {row.reservation for row in rows} == {
            one["id"] for one in answers if one["decision"] == "reserved"
        }
    finally:
        book.close()


class _Server:
    """`touchbook serve`, killed and started again on its port."""

    def __init__(self, directory: Path, policy: Path) -> None:
        self._command = [
            sys.executable,
            "-m",
            "touchbook",
            "serve",
            "--data",
            str(directory),
            "--json",
            "--port",
        ]
        self._environment = {**os.environ, "TOUCHBOOK_POLICY": str(policy), "TOUCHBOOK_CLOCK": "false"}
        self.process = self._started("0")

    def _started(self, port: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*self._command, port], stdout=subprocess.PIPE, env=self._environment)
        assert process.stdout is not None
        self.url = str(json.loads(process.stdout.readline())["url"])
        return process

    def killed(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._started(self.url.rpartition(":")[2])

    async def asked(self, secret: str, count: int, kills: Sequence[int]) -> list[dict[str, Any]]:
        """Every answer; after so many of them the server is killed."""
        answered = 0
        left = list(kills)
        places = asyncio.Semaphore(40)
        headers = {"Authorization": f"Bearer {secret}"}

        async def ask(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
            nonlocal answered
            body = {"ref": "user_id:0", "channel": "email", "purpose": "support", "id": f"q-{number}"}
            async with places:
                while True:
                    try:
                        answer = await client.post(
                            f"{self.url}/v1/contact:reserve", json=body, headers=headers
                        )
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
                        continue
                    if answer.status_code == 503:
                        await asyncio.sleep(0.05)
                        continue
                    assert answer.status_code == 200, answer.text
                    answered += 1
                    if left and answered >= left[0]:
                        left.pop(0)
                        await asyncio.to_thread(self.killed)
                    return dict(answer.json())

        async with httpx.AsyncClient(timeout=30) as client:
            return list(await asyncio.gather(*(ask(client, number) for number in range(count))))


JSON_WITHOUT_FRACTIONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(JSON_WITHOUT_FRACTIONS)
def test_what_was_asked_is_spelled_as_everything_is_that_a_digest_is_made_of(payload: Any) -> None:
    """The plain spelling beside the fast one."""
    assert spelled_whole(payload) == canonical(payload)
