"""The promises of the audit trail, kept by every adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.streams.sharing import Shared
from touchbook.streams.audit import START, Audit, Entry
from touchbook.streams.backends.kafka_audit import KafkaAudit
from touchbook.streams.backends.sqlite_audit import SqliteAudit

PATIENCE = 30.0
MARTA = "920edb43d65f5b1841bd15ba0c7e0b1f"
VERA = "dfd8d1c6928537d7de1fd8261a3bb9c7"
Open = Callable[[], Audit]


class SqliteShelf:
    """Where what a test appends lies. Opened again, it is another process' look at the same."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._directory = directory
        self._opened: list[Audit] = []

    def open(self) -> Audit:
        self._opened.append(SqliteAudit.at(self._directory))
        return self._opened[-1]

    def close(self) -> None:
        for audit in self._opened:
            audit.close()


class KafkaShelf(SqliteShelf):
    """The same through a real broker: each process with a directory of its own."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(directory, request)
        self._shared = Shared(request.getfixturevalue("kafka"), directory)

    def open(self) -> Audit:
        folder = self._shared.folder(f"audit-{len(self._opened)}")
        self._opened.append(KafkaAudit.at(folder, self._shared.place, self._shared.producer))
        return self._opened[-1]

    def close(self) -> None:
        super().close()
        self._shared.close()


@pytest.fixture(params=[SqliteShelf, pytest.param(KafkaShelf, marks=pytest.mark.server)])
def open_audit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with closing(request.param(tmp_path, request)) as shelf:
        yield shelf.open


@pytest.fixture
def audit(open_audit: Open) -> Audit:
    return open_audit()


def seen(
    audit: Audit, customer: str | None = MARTA, who: str = "key-ines", at: int = 1_000, act: str = "viewed"
) -> None:
    audit.append(who, "Ines Costa", act, customer, {}, at)


def entries(audit: Audit, count: int) -> list[Entry]:
    """So many entries, the oldest first, as soon as they can be read."""
    deadline = time.monotonic() + PATIENCE
    while len(found := audit.read(limit=10_000)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == count
    return found


def test_what_was_appended_is_read_as_it_was_said_the_oldest_first(audit: Audit) -> None:
    audit.append("key-ines", "Ines Costa", "viewed", MARTA, {}, 1_000)
    audit.append("key-ines", "Ines «Иня» Costa", "revealed", MARTA, {"identifier": "\ud800"}, 900)
    audit.append("key-boris", "Борис", "signed_in", None, {}, 2_000)

    first, second, third = entries(audit, 3)

    assert (first.who, first.name, first.act, first.customer, first.at) == (
        "key-ines", "Ines Costa", "viewed", MARTA, 1_000,
    )  # fmt: skip
    assert (second.name, dict(second.details), second.at) == (
        "Ines «Иня» Costa",
        {"identifier": "\\ud800"},
        900,
    )
    assert (third.name, third.customer) == ("Борис", None)
    assert first.position < second.position < third.position
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert audit.read(first.position, 1) == [second]


def test_a_trail_without_entries_is_whole(audit: Audit) -> None:
    verdict = audit.verify()
    assert (verdict.whole, verdict.entries, verdict.head) == (True, 0, START)
    assert audit.read() == audit.latest() == []


def test_every_entry_moves_the_head_and_an_earlier_head_stays_contained(audit: Audit) -> None:
    heads = [audit.verify().head]
    for at in range(3):
        seen(audit, at=at)
        heads.append(audit.verify(heads[-1]).head)

    assert len(set(heads)) == 4
    assert all(audit.verify(head).whole for head in heads)
    stranger = audit.verify("ab" * 32)
    assert not stranger.whole
    assert "head told before" in str(stranger.why)
    assert stranger.broken_at is None


def test_the_newest_are_told_first_of_an_agent_an_act_or_a_customer(audit: Audit) -> None:
    seen(audit, MARTA, "key-ines", at=1)
    seen(audit, VERA, "key-ines", at=2)
    seen(audit, MARTA, "key-boris", at=3)
    seen(audit, MARTA, "key-ines", at=4, act="revealed")
    entries(audit, 4)

    def times(newest: list[Entry]) -> list[int]:
        return [one.at for one in newest]

    assert times(audit.latest()) == [4, 3, 2, 1]
    assert times(audit.latest(2)) == [4, 3]
    assert times(audit.latest(before=audit.latest(2)[-1].position)) == [2, 1]
    assert times(audit.latest(who="key-ines")) == [4, 2, 1]
    assert times(audit.latest(who="key-ines", act="viewed")) == [2, 1]
    assert times(audit.latest(who="key-ines", customer=MARTA)) == [4, 1]
    assert times(audit.latest(customer=MARTA, act="viewed")) == [3, 1]
    assert times(audit.latest(act="revealed")) == [4]
    assert audit.latest(who="nobody") == []


def test_many_threads_of_two_processes_append_at_once_and_the_trail_is_whole(open_audit: Open) -> None:
    both = (open_audit(), open_audit())
    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(seen, both[turn % 2], at=turn) for turn in range(160)]:
            done.result()

    for audit in both:
        assert {one.at for one in entries(audit, 160)} == set(range(160))
        verdict = audit.verify()
        assert (verdict.entries, verdict.why) == (160, None)


def test_another_process_goes_on_where_one_ended(open_audit: Open) -> None:
    first = open_audit()
    seen(first, at=1)
    head = first.verify().head
    first.close()

    second = open_audit()
    seen(second, at=2)

    assert [one.at for one in entries(second, 2)] == [1, 2]
    verdict = second.verify(head)
    assert (verdict.entries, verdict.why) == (2, None)


def test_it_may_be_closed_again(audit: Audit) -> None:
    audit.close()
    audit.close()
