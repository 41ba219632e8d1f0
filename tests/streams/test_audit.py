"""The chain of the audit trail shows every change; and what is true of the trail in an SQLite file alone."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.shim import Power, library
from touchbook.errors import StoreUnavailable
from touchbook.streams.audit import MAIN, START, Written, chained, verified
from touchbook.streams.backends.sqlite_audit import FILE, SqliteAudit

CUSTOMER = "920edb43d65f5b1841bd15ba0c7e0b1f"


def a_trail(*chains: str) -> list[Written]:
    """A trail with an entry for each name given, of the chain of that name."""
    ends: dict[str, tuple[int, str]] = {}
    trail: list[Written] = []
    for position, chain in enumerate(chains, start=1):
        number, before = ends.get(chain, (0, trail[-1].hash if trail else START))
        text, hash = chained(chain, number + 1, before, "key-1", "Ines", "viewed", CUSTOMER, {}, position)
        ends[chain] = (number + 1, hash)
        trail.append(Written(position, text, hash))
    return trail


TEN = a_trail(*[MAIN] * 10)
TWO_CHAINS = a_trail("a", "a", "b", "a", "b", "b", "a", "c", "b", "a")


def moved(trail: Sequence[Written]) -> list[Written]:
    """At positions without gaps, as somebody would leave them who knows what he does."""
    return [one._replace(position=position) for position, one in enumerate(trail, start=1)]


def rehashed(one: Written, text: str) -> Written:
    """Another text with the hash that it should have."""
    return Written(one.position, text, hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize("trail", [TEN, TWO_CHAINS, TEN[:1], []])
def test_a_trail_as_it_was_written_is_whole(trail: list[Written]) -> None:
    verdict = verified(trail)
    assert (verdict.whole, verdict.entries, verdict.broken_at, verdict.why) == (True, len(trail), None, None)


def test_a_changed_entry_shows_where_it_stands() -> None:
    for place, one in enumerate(TEN):
        changed = one._replace(text=one.text.replace("viewed", "wandered"))
        verdict = verified([*TEN[:place], changed, *TEN[place + 1 :]])
        assert (verdict.broken_at, verdict.entries) == (place + 1, place)
        assert "it was changed" in str(verdict.why)


def test_a_changed_entry_with_a_new_hash_shows_at_the_next_one() -> None:
    for place, one in enumerate(TEN[:-1]):
        changed = rehashed(one, one.text.replace("viewed", "wandered"))
        assert verified([*TEN[:place], changed, *TEN[place + 1 :]]).broken_at == place + 2


@pytest.mark.parametrize("trail", [TEN, TWO_CHAINS])
def test_a_removed_entry_shows_unless_it_was_the_last_of_its_chain(trail: list[Written]) -> None:
    last = {trail.index(one) for one in trail if ends_its_chain(one, trail)}
    for place in range(len(trail)):
        left = moved([*trail[:place], *trail[place + 1 :]])
        assert verified(left).whole == (place in last)
        assert not verified(left, verified(trail).head).whole


def ends_its_chain(one: Written, trail: Sequence[Written]) -> bool:
    """Whether no other entry names it."""
    return not any(one.hash in other.text for other in trail)


@pytest.mark.parametrize("trail", [TEN, TWO_CHAINS])
def test_an_inserted_or_repeated_entry_shows(trail: list[Written]) -> None:
    for place in range(len(trail)):
        text, hash = chained(
            MAIN, place + 1, trail[place - 1].hash if place else START, "x", "X", "viewed", None, {}, 1
        )
        assert not verified(moved([*trail[:place], Written(0, text, hash), *trail[place:]]), only=MAIN).whole
        assert not verified(moved([*trail[:place], trail[place], *trail[place:]])).whole


@given(st.permutations(TEN))
def test_any_other_order_shows(order: list[Written]) -> None:
    assert verified(moved(order)).whole == (order == TEN)


def test_a_trail_that_was_cut_off_shows_by_the_head_told_before_and_by_nothing_else() -> None:
    for trail in (TEN, TWO_CHAINS):
        head = verified(trail).head
        for length in range(len(trail)):
            assert verified(trail[:length]).whole
            cut = verified(trail[:length], head)
            assert (cut.whole, cut.broken_at, cut.entries) == (False, None, length)
            assert "cut off" in str(cut.why)


def test_a_trail_written_anew_shows_by_the_head_told_before() -> None:
    anew = a_trail(*[MAIN] * 12)
    anew[0] = Written(1, *chained(MAIN, 1, START, "key-2", "Boris", "viewed", CUSTOMER, {}, 1))
    for place in range(1, 12):
        entry = chained(
            MAIN, place + 1, anew[place - 1].hash, "key-1", "Ines", "viewed", CUSTOMER, {}, place + 1
        )
        anew[place] = Written(place + 1, *entry)
    assert verified(anew).whole
    assert not verified(anew, verified(TEN).head).whole


def test_a_head_of_any_earlier_moment_is_contained() -> None:
    for length in range(len(TWO_CHAINS)):
        assert verified(TWO_CHAINS, verified(TWO_CHAINS[:length]).head).whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "not JSON",
        '{"chain":"main","number":1}',
        '{"chain":[],"number":1,"before":""}',
        TEN[3].text.replace('"number":4', '"number":"4"'),
        TEN[3].text.replace('"details":{}', '"details":{"a":[]}'),
        "[" * 100_000,
    ],
)
def test_what_is_no_entry_shows(text: str) -> None:
    verdict = verified([*TEN[:3], rehashed(TEN[3]._replace(position=4), text)])
    assert verdict.broken_at == 4
    assert not verdict.whole


# In an SQLite file


def append(audit: SqliteAudit, at: int) -> None:
    audit.append("key-1", "Ines Costa", "viewed", CUSTOMER, {"number": str(at)}, at)


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE audit SET text = replace(text, 'Ines', 'Olga') WHERE position = 4", 4),
        ("UPDATE audit SET hash = '00' WHERE position = 10", 10),
        ("DELETE FROM audit WHERE position = 4", 5),
        ("DELETE FROM audit WHERE position = 1", 2),
        ("INSERT INTO audit (position, text, hash) SELECT 11, text, hash FROM audit WHERE position = 10", 11),
        ("UPDATE audit SET position = 15 - position WHERE position IN (7, 8)", 7),
        ("UPDATE audit SET position = -position", -10),
    ],
)
def test_whoever_changes_the_file_is_found(tmp_path: Path, tampering: str, broken_at: int) -> None:
    with closing(SqliteAudit.at(tmp_path)) as audit:
        for at in range(10):
            append(audit, at)
        assert audit.verify().whole
        with closing(sqlite3.connect(tmp_path / FILE)) as stranger, stranger:
            if "15 - position" in tampering:
                stranger.execute("UPDATE audit SET position = 100 + position WHERE position IN (7, 8)")
                tampering = "UPDATE audit SET position = 115 - position WHERE position > 100"
            stranger.execute(tampering)

        verdict = audit.verify()

    assert verdict.broken_at == broken_at
    assert verdict.why


def test_an_entry_behind_one_that_was_changed_follows_what_stands_there(tmp_path: Path) -> None:
    with closing(SqliteAudit.at(tmp_path)) as audit:
        append(audit, 1)
        with closing(sqlite3.connect(tmp_path / FILE)) as stranger, stranger:
            stranger.execute("UPDATE audit SET text = replace(text, 'Ines', 'Olga')")
        append(audit, 2)
        assert audit.verify().broken_at == 1


def test_what_is_no_entry_is_passed_over_by_who_reads_and_found_by_who_verifies(tmp_path: Path) -> None:
    with closing(SqliteAudit.at(tmp_path)) as audit:
        append(audit, 1)
        with closing(sqlite3.connect(tmp_path / FILE)) as stranger, stranger:
            stranger.execute("INSERT INTO audit (text, hash) VALUES ('[1]', '')")
        assert [one.at for one in audit.read()] == [one.at for one in audit.latest()] == [1]
        assert audit.verify().broken_at == 2


def test_its_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    with closing(SqliteAudit.at(tmp_path / "new")) as audit:
        append(audit, 1)
        assert {file.stat().st_mode & 0o777 for file in (tmp_path / "new").iterdir()} == {0o600}


def test_an_entry_that_cannot_be_kept_is_told_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with closing(SqliteAudit.at(tmp_path)) as audit:
        append(audit, 1)
        audit._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreUnavailable, match="full"):
            list(map(partial(append, audit), range(2, 200)))
        audit._db.execute("PRAGMA max_page_count = 1000000")
        append(audit, 200)

        assert audit.verify().whole
        assert audit.latest(1)[0].at == 200


APPENDING = """
import sys
from pathlib import Path
from touchbook.streams.backends.sqlite_audit import SqliteAudit
audit = SqliteAudit.at(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    audit.append(sys.argv[2], "Ines Costa", "viewed", None, {"number": str(number)}, number)
    print(number, flush=True)
"""


def appending(directory: Path, who: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDING, str(directory), who]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def killed(process: subprocess.Popen[str], after: int) -> int:
    """Kills it once it acknowledged so many entries; the last it acknowledged."""
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    return told[-1]


def test_two_processes_that_are_killed_while_they_append_leave_a_whole_trail_with_all_acknowledged(
    tmp_path: Path,
) -> None:
    rng = random.Random(6)
    acknowledged = {}
    for turn in range(3):
        both = {who: appending(tmp_path, who) for who in (f"key-{turn}-a", f"key-{turn}-b")}
        ends: dict[str, int] = {}

        def end(who: str, process: subprocess.Popen[str], after: int, into: dict[str, int] = ends) -> None:
            into[who] = killed(process, after)

        threads = [
            threading.Thread(target=end, args=(who, process, rng.randrange(5, 60)))
            for who, process in both.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        acknowledged.update(ends)

    with closing(SqliteAudit.at(tmp_path)) as audit:
        assert audit.verify().why is None
        for who, last in acknowledged.items():
            numbers = [int(entry.details["number"]) for entry in reversed(audit.latest(10_000, who=who))]
            assert numbers in (list(range(1, last + 1)), list(range(1, last + 2)))  # one may be untold


def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path) -> None:
    power = Power(tmp_path / "book", tmp_path)
    with closing(SqliteAudit.at(tmp_path / "book")):
        pass
    power.begin()
    before = START
    for turn in range(3):
        process = appending(tmp_path / "book", f"key-{turn}", LD_PRELOAD=str(library()), **power.environment)
        last = killed(process, after=20)
        power.lose(random.Random(turn) if turn else None)
        with closing(SqliteAudit.at(tmp_path / "book")) as audit:
            verdict = audit.verify(before)
            assert verdict.why is None
            assert len(audit.latest(10_000, who=f"key-{turn}")) >= last
            before = verdict.head
        power.begin()
