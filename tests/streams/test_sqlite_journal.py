"""What only the SQLite journal and keyring can get wrong: files, locks, crashes, a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.streams.touchpoints import Clock, key_of, many, touchpoint
from touchbook.errors import (
    FormatUnknown,
    JournalLocked,
    JournalUnavailable,
    NotATouchbook,
    WrongMasterKey,
)
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.backends import sqlite_journal
from touchbook.streams.backends.sqlite import statement
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.journal import Appended

Open = Callable[..., SqliteJournal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Any] = []

    def open_journal(**settings: Any) -> SqliteJournal:
        keyring = SqliteKeyring.at(tmp_path)
        opened.append(keyring)
        journal = SqliteJournal.at(tmp_path, keyring, Clock(), **settings)
        opened.append(journal)
        return journal

    yield open_journal
    for one in reversed(opened):
        one.close()


def bytes_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


def set_meta(directory: Path, name: str, value: str) -> None:
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


# One writer


def test_a_second_writer_is_refused_until_the_first_is_gone(open_journal: Open, tmp_path: Path) -> None:
    first = open_journal()

    with pytest.raises(JournalLocked, match=str(tmp_path)):
        open_journal()

    first.close()
    assert open_journal().append([touchpoint()]).result(30) == [Appended("accepted", 1)]


def test_a_writer_in_another_process_is_refused_too(open_journal: Open, tmp_path: Path) -> None:
    open_journal()
    program = """
        from touchbook.errors import JournalLocked
        try:
            SqliteJournal.at(directory, SqliteKeyring.at(directory), lambda: 0)
        except JournalLocked:
            print("locked")
    """

    assert started(tmp_path, program).communicate(timeout=60)[0] == "locked\n"


def test_a_reader_in_another_process_is_woken_by_what_is_recorded_here(
    open_journal: Open, tmp_path: Path
) -> None:
    journal = open_journal()
    program = """
        journal = SqliteJournal.at(directory, SqliteKeyring.at(directory), lambda: 0, read_only=True)
        print(journal.head(), flush=True)
        print(journal.wait_beyond(0, 60), [journal.open(record).data for record in journal.read()])
    """
    reader = started(tmp_path, program)
    assert reader.stdout
    assert reader.stdout.readline() == "0\n"

    journal.append([touchpoint(data={"text": "hello"})]).result(30)

    assert reader.communicate(timeout=60)[0] == "True [{'text': 'hello'}]\n"


def test_a_journal_can_be_read_when_nobody_writes_it(open_journal: Open) -> None:
    writer = open_journal()
    writer.append(many(3)).result(30)
    writer.close()

    reader = open_journal(read_only=True)

    assert [reader.open(record).id for record in reader.read()] == ["0", "1", "2"]


def test_a_reader_finds_no_journal_where_there_is_none(open_journal: Open, tmp_path: Path) -> None:
    with pytest.raises(NotATouchbook):
        open_journal(read_only=True)
    with pytest.raises(NotATouchbook):
        SqliteKeyring.at(tmp_path / "nothing", create=False)

    assert not (tmp_path / "journal.sqlite").exists()
    assert not (tmp_path / "nothing").exists()


def test_a_creation_that_was_interrupted_is_finished_by_the_next_start(
    open_journal: Open, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.executescript(statement("journal_schema"))
    with pytest.raises(NotATouchbook):
        open_journal(read_only=True)

    assert open_journal().append([touchpoint()]).result(30) == [Appended("accepted", 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("format", "999"), ("identity_rules", '{"order": [], "default_region": null, "version": 999}')],
)
def test_a_journal_of_another_format_is_not_guessed_at(
    open_journal: Open, tmp_path: Path, name: str, value: str
) -> None:
    open_journal().close()
    set_meta(tmp_path, name, value)

    with pytest.raises(FormatUnknown, match="999"):
        open_journal()
    with pytest.raises(FormatUnknown, match="999"):
        open_journal(read_only=True)


# Sealed


def test_no_file_holds_clear_text_of_what_was_said_or_by_whom(open_journal: Open, tmp_path: Path) -> None:
    secrets = ["ann@example.test", "user-4711", "my cat is called Whiskers", "id-of-the-message", "Мурзик"]
    said = touchpoint(
        secrets[3],
        subject=Identifier("user_id", secrets[1]),
        identifiers=(Identifier("user_id", secrets[1]), Identifier("email", secrets[0])),
        data={"text": secrets[2], "extra": {"name": secrets[4]}},
    )
    journal = open_journal()
    journal.append([said]).result(30)
    assert (tmp_path / "journal.sqlite-wal").stat().st_size > 0

    while_written = bytes_of(tmp_path)
    journal.close()

    for written in (while_written, bytes_of(tmp_path)):
        assert said.key.encode() in written
        assert [secret for secret in secrets if secret.encode() in written] == []


def test_an_erasure_leaves_no_copy_of_a_key_in_any_file(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    journal.append(many(300, customers=300)).result(30)
    subjects = [record.subject for record in journal.read(limit=300)]
    with closing(sqlite3.connect(tmp_path / "keyring.sqlite")) as db:
        wrapped = dict(db.execute("SELECT owner, wrapped FROM data_keys").fetchall())
    assert all(wrapped[owner] in bytes_of(tmp_path) for owner in subjects)

    journal.erase(subjects[::2]).result(30)

    left = bytes_of(tmp_path)
    assert [owner for owner in subjects if wrapped[owner] in left] == subjects[1::2]


def test_the_keyring_holds_no_key_in_clear(open_journal: Open, tmp_path: Path) -> None:
    open_journal()
    keyring = SqliteKeyring.at(tmp_path)
    [(_, data_key)] = keyring.data_keys(["ann"])
    secret = keyring.identity_key.secret
    keyring.close()

    assert data_key not in bytes_of(tmp_path)
    assert secret not in bytes_of(tmp_path)


def test_the_master_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    SqliteKeyring.at(tmp_path / "data").close()

    assert stat.S_IMODE((tmp_path / "data" / "master.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_master_key_may_lie_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secrets" / "touchbook.key"
    SqliteKeyring.at(tmp_path / "one", elsewhere).close()
    made = elsewhere.read_text()

    SqliteKeyring.at(tmp_path / "two", elsewhere).close()

    assert elsewhere.read_text() == made
    assert not (tmp_path / "one" / "master.key").exists()


@pytest.mark.parametrize("content", ["00" * 32, "00" * 16, "not a key", "", None])
def test_a_wrong_or_missing_master_key_opens_nothing_and_is_not_replaced(
    tmp_path: Path, content: str | None
) -> None:
    SqliteKeyring.at(tmp_path).close()
    file = tmp_path / "master.key"
    file.unlink()
    if content is not None:
        file.write_text(content)

    with pytest.raises(WrongMasterKey, match=str(file)):
        SqliteKeyring.at(tmp_path)

    assert file.exists() == (content is not None)


def test_keyrings_opened_at_once_for_the_first_time_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keyrings = list(threads.map(lambda _: SqliteKeyring.at(tmp_path), range(8)))

    assert len({keyring.identity_key.secret for keyring in keyrings}) == 1
    [ann] = keyrings[0].data_keys(["ann"])
    assert {keyring.key(ann.key_id) for keyring in keyrings} == {ann.key}
    for keyring in keyrings:
        keyring.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "destroyed-keys.txt",
        "keyring.sqlite",
        "master.key",
    ]


def test_a_keyring_larger_than_its_cache_still_finds_every_key(tmp_path: Path) -> None:
    with closing(SqliteKeyring.at(tmp_path, cached_keys=10)) as keyring:
        owners = [str(n) for n in range(500)]
        keys = keyring.data_keys(owners)

        assert keyring.data_keys(owners) == keys
        assert [keyring.key(key_id) for key_id, _ in keys] == [key for _, key in keys]


# Failures


def test_a_full_disk_fails_what_is_at_hand_and_the_next_append_works(open_journal: Open) -> None:
    journal = open_journal()
    journal.append(many(10)).result(30)
    limit_pages(journal, 12)

    failing = journal.append([touchpoint("large", data={"text": "x" * 200_000})])

    with pytest.raises(JournalUnavailable, match="full"):
        failing.result(30)
    assert journal.head() == 10
    assert journal.append([touchpoint("large", data={"text": "x" * 200_000})]).result(30) == [
        Appended("accepted", 11)
    ]


def limit_pages(journal: SqliteJournal, pages: int) -> None:
    """The connection the writer has now cannot make the file larger; the one it opens after a failure can."""
    assert journal._writer
    assert journal._writer._db
    journal._writer._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_keyring_that_fails_keeps_nothing_of_what_it_should_have_sealed(tmp_path: Path) -> None:
    keyring = FailingKeyring.at(tmp_path)
    with closing(keyring), closing(SqliteJournal.at(tmp_path, keyring, Clock())) as journal:
        keyring.failing = True
        with pytest.raises(JournalUnavailable, match="the disk is gone"):
            journal.append(many(5)).result(30)
        with pytest.raises(JournalUnavailable, match="the disk is gone"):
            journal.erase(["ann"]).result(30)
        assert journal.read() == []

        keyring.failing = False
        assert [one.outcome for one in journal.append(many(5)).result(30)] == ["accepted"] * 5


class FailingKeyring(SqliteKeyring):
    failing = False

    def data_keys(self, owners: Sequence[str]) -> list[Any]:
        self._check()
        return super().data_keys(owners)

    def destroy(self, owners: Sequence[str]) -> list[str]:
        self._check()
        return super().destroy(owners)

    def _check(self) -> None:
        if self.failing:
            raise sqlite3.OperationalError("the disk is gone")


def test_a_failure_that_is_no_store_s_never_tells_what_was_said(open_journal: Open, tmp_path: Path) -> None:
    keyring = SqliteKeyring.at(tmp_path)

    def broken_clock() -> int:
        raise RuntimeError("user-4711")

    with closing(keyring), closing(SqliteJournal.at(tmp_path, keyring, broken_clock)) as journal:
        error = journal.append([touchpoint()]).exception(30)

    assert isinstance(error, JournalUnavailable)
    assert "user-4711" not in str(error)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_dies_fails_who_waits_and_who_comes(tmp_path: Path) -> None:
    keyring = SqliteKeyring.at(tmp_path)

    def deadly_clock() -> int:
        raise SystemExit

    with closing(keyring), closing(SqliteJournal.at(tmp_path, keyring, deadly_clock)) as journal:
        with pytest.raises(JournalUnavailable, match="stopped"):
            journal.append([touchpoint()]).result(30)
        with pytest.raises(JournalUnavailable, match="stopped"):
            journal.append([touchpoint()])


def test_what_another_program_locks_is_waited_for(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = journal.append([touchpoint()])
        assert journal.wait_beyond(0, 0.1) is False
        other.execute("ROLLBACK")

    assert waiting.result(30) == [Appended("accepted", 1)]


def test_what_was_answered_survives_kill_9_and_stands_there_once(open_journal: Open, tmp_path: Path) -> None:
    program = """
        journal = SqliteJournal.at(directory, SqliteKeyring.at(directory), lambda: 0)
        start = journal.head() // 2  # half of which is sent again
        while True:
            batch = many(20, since=start, customers=1_000_000)
            for answer, sent in zip(journal.append(batch).result(), batch, strict=True):
                print(answer.outcome, answer.position, sent.key)
            print("answered", flush=True)
            start += 20
    """
    answered: dict[str, int] = {}
    for _ in range(3):
        process = started(tmp_path, program)
        assert process.stdout
        said: list[str] = []
        while said.count("answered\n") < 30:
            said.append(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        said += process.communicate(timeout=60)[0].splitlines(keepends=True)
        for line in said:
            if line.endswith("\n") and line != "answered\n":
                outcome, position, key = line.split()
                assert outcome in ("accepted", "duplicate")
                assert answered.setdefault(key, int(position)) == int(position)

    journal = open_journal()
    records = journal.read(limit=1_000_000)

    assert [record.position for record in records] == list(range(1, len(records) + 1))
    stored = {record.key: record.position for record in records}
    assert len(stored) == len(records)
    assert {key: stored.get(key) for key in answered} == answered
    assert all(journal.open(record).key == record.key for record in records)


def started(directory: Path, program: str) -> subprocess.Popen[str]:
    """Another process at the same directory."""
    prelude = f"""
        from pathlib import Path
        from tests.streams.touchpoints import many
        from touchbook.streams.backends.sqlite_journal import SqliteJournal
        from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
        directory = Path({str(directory)!r})
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(program)
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)


# Details


def test_large_bodies_are_read_a_stretch_at_a_time_and_none_is_left_out(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal()
    journal.append(many(20)).result(30)
    monkeypatch.setattr(sqlite_journal, "MAX_READ_BYTES", 3 * max(len(one.body) for one in journal.read()))
    found: list[int] = []
    while stretch := journal.read(found[-1] if found else 0):
        assert 1 <= len(stretch) <= 5
        found += [record.position for record in stretch]
    assert found == list(range(1, 21))


def test_a_batch_of_any_size_is_recorded_whole_and_in_order(open_journal: Open) -> None:
    for count in (1, 3, 4, 5, 31, 32, 33, 255, 256, 257, 1000):
        journal = open_journal()
        since = journal.head()
        journal.append(many(count, since=since)).result(30)
        assert [record.key for record in journal.read(since, 2000)] == [
            key_of(str(since + n)) for n in range(count)
        ]
        journal.close()


def test_each_batch_is_observed_once_it_is_durable(open_journal: Open) -> None:
    seen: list[tuple[float, int]] = []
    journal = open_journal(observe_append=lambda seconds, touchpoints: seen.append((seconds, touchpoints)))

    journal.append(many(3)).result(30)
    journal.append(many(5)).result(30)
    journal.close()

    assert [touchpoints for _, touchpoints in seen] == [3, 5]
    assert all(seconds > 0 for seconds, _ in seen)


def test_many_readers_at_once_read_the_same(open_journal: Open) -> None:
    journal = open_journal()
    journal.append(many(500)).result(30)

    with ThreadPoolExecutor(8) as threads:
        pages = list(threads.map(lambda _: journal.read(limit=500), range(40)))

    assert all(page == pages[0] for page in pages)


def test_two_journals_have_two_ids_and_keep_them(open_journal: Open, tmp_path: Path) -> None:
    one = open_journal()
    one.close()
    with (
        closing(SqliteKeyring.at(tmp_path)) as keyring,
        closing(SqliteJournal.at(tmp_path / "other", keyring, Clock())) as other,
    ):
        assert other.id != one.id
    assert open_journal().id == one.id
