"""A backup is one consistent look, keys apart; a restore brings it back, and nobody who was erased since."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backup.books import filled
from tests.books import NOON, a_book
from tests.cli.commands import answer, key_for, listening, run, started
from touchbook.cli.exits import FAILED, WRONG_USE
from touchbook.errors import BackupDamaged, BackupUnfit, KeyDestroyed, RestoreUnfinished
from touchbook.streams import backup as module
from touchbook.streams.backends.sqlite_audit import SqliteAudit
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.backup import MANIFEST, Restore, back_up

forked = multiprocessing.get_context("fork")


def test_restored_everything_is_there_and_the_digests_are_the_same(tmp_path: Path) -> None:
    digests = filled(tmp_path / "data")
    key = key_for(tmp_path / "data", "admin")
    with closing(SqliteAudit.at(tmp_path / "data")) as audit:
        audit.append(key_id := "a1b2", "Ines Costa", "viewed", None, {}, NOON)
        head = audit.verify().head

    made = answer("backup", tmp_path / "backup", "--data", tmp_path / "data", "--with-master-key")
    told = answer("restore", tmp_path / "backup", "--data", tmp_path / "new")

    assert told["digests"] == digests
    assert (told["journal"], made["position"]) == (made["journal"], 5)
    with a_book(tmp_path / "new") as book:
        assert book.control.find_key(key)
        assert [item.item["messageId"] for item in book.control.list_set_aside()[0]] == ["m"]
        assert book.journal.open(book.journal.read()[0]).data["text"] == "words of p0"
        assert book.journal.head() == 5
        assert [entry.who for entry in book.audit.read()] == [key_id]
        assert book.audit.verify(head).whole


def test_the_keyring_goes_elsewhere_and_no_master_key_or_list_goes_anywhere(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    master = (tmp_path / "data" / "master.key").read_bytes().strip()

    answer("backup", tmp_path / "backup", "--keys", tmp_path / "safe", "--data", tmp_path / "data")

    assert sorted(file.name for file in (tmp_path / "safe").iterdir()) == ["keyring.sqlite"]
    there = sorted(file.name for file in (tmp_path / "backup").iterdir())
    assert there == ["audit.sqlite", "control.sqlite", "erasures.sqlite", "journal.sqlite", "manifest.json"]
    assert not any(
        master in file.read_bytes() for folder in ("safe", "backup") for file in (tmp_path / folder).iterdir()
    )
    unopened = run("restore", tmp_path / "backup", "--keys", tmp_path / "safe", "--data", tmp_path / "new")
    assert (unopened.exit_code, "--master-key" in unopened.stderr) == (WRONG_USE, True)
    opened = answer(
        "restore", tmp_path / "backup", "--keys", tmp_path / "safe", "--data", tmp_path / "new",
        "--master-key", tmp_path / "data" / "master.key",
    )  # fmt: skip
    assert opened["position"] == "j1.5"
    assert not (tmp_path / "new" / "master.key").exists()


def test_who_was_erased_after_the_backup_stays_erased(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    answer("backup", tmp_path / "backup", "--data", tmp_path / "data", "--with-master-key")
    receipt = answer("erase", "user_id:p2", "--yes", "--data", tmp_path / "data")
    shutil.move(receipt["destroyed_list"]["file"], tmp_path / "list.txt")

    lost = run("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert (lost.exit_code, "--without-destroyed" in lost.stderr) == (WRONG_USE, True)
    told = answer(
        "restore", tmp_path / "backup", "--data", tmp_path / "new", "--destroyed", tmp_path / "list.txt"
    )

    assert told["destroyed_keys"] == 1
    with a_book(tmp_path / "new") as book:
        records = book.journal.read()
        with pytest.raises(KeyDestroyed):
            book.journal.open(records[2])
        assert book.journal.open(records[3])
        book.keyring.key(records[3].key_id)
    everything = b"".join(file.read_bytes() for file in (tmp_path / "new").iterdir())
    assert (b"words of p2" in everything, b"words of p3" in everything) == (False, True)


def test_without_the_list_one_must_say_so_and_they_are_back(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    answer("backup", tmp_path / "backup", "--data", tmp_path / "data", "--with-master-key")
    answer("erase", "user_id:p2", "--yes", "--data", tmp_path / "data")
    (tmp_path / "data" / "destroyed-keys.txt").unlink()

    answer("restore", tmp_path / "backup", "--data", tmp_path / "new", "--without-destroyed")

    with a_book(tmp_path / "new") as book:
        assert book.customers.find("user_id:p2")


def test_a_list_elsewhere_is_used_where_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    env = {"TOUCHBOOK_DESTROYED_KEYS": str(tmp_path / "safe.txt")}
    answer("backup", tmp_path / "backup", "--data", tmp_path / "data", "--with-master-key", env=env)
    answer("erase", "user_id:p2", "--yes", "--data", tmp_path / "data", env=env)

    answer("restore", tmp_path / "backup", "--data", tmp_path / "new", env=env)

    assert not (tmp_path / "new" / "destroyed-keys.txt").exists()
    with a_book(tmp_path / "new", destroyed_keys=tmp_path / "safe.txt") as book, pytest.raises(KeyDestroyed):
        book.journal.open(book.journal.read()[2])


def test_a_keyring_copied_back_by_hand_loses_what_the_list_names(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    shutil.copy(tmp_path / "data" / "keyring.sqlite", tmp_path / "before")
    answer("erase", "user_id:p2", "--yes", "--data", tmp_path / "data")
    for file in (tmp_path / "data").glob("keyring.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "before", tmp_path / "data" / "keyring.sqlite")

    with a_book(tmp_path / "data") as book, pytest.raises(KeyDestroyed):
        book.journal.open(book.journal.read()[2])


def test_nothing_that_lies_in_the_way_is_touched(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "backup", NOON)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")

    for into in ("backup", "full"):
        with pytest.raises(BackupUnfit):
            back_up(tmp_path / "data", tmp_path / into, NOON)
    with pytest.raises(BackupUnfit):
        Restore(tmp_path / "backup", tmp_path / "full").bring()
    with pytest.raises(BackupUnfit):
        Restore(tmp_path / "backup", tmp_path / "data").bring()
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("name", ["journal.sqlite", "control.sqlite", "keys/keyring.sqlite"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_backup_that_is_not_whole_is_refused(tmp_path: Path, name: str, how: str) -> None:
    filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "backup", NOON)
    file = tmp_path / "backup" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content) if how == "changed" else file.unlink()

    with pytest.raises(BackupDamaged, match=Path(name).name):
        Restore(tmp_path / "backup", tmp_path / "new").bring()
    with pytest.raises(RestoreUnfinished):
        SqliteKeyring.at(tmp_path / "new")


def test_without_its_manifest_it_is_no_backup(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "backup", NOON)
    (tmp_path / "backup" / MANIFEST).unlink()

    assert run("restore", tmp_path / "backup", "--data", tmp_path / "new").exit_code == FAILED
    assert not (tmp_path / "new").exists()
    assert back_up(tmp_path / "data", tmp_path / "backup", NOON)["position"] == 5, "it may be made anew there"


def cut_short(place: Any, name: str, after: int, work: Any) -> None:
    """Does the work in a process that is killed when it calls this function for the `after`-th time."""
    left = [after]

    def die() -> None:
        whole = getattr(place, name)

        def counted(*given: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*given, **more)

        setattr(place, name, counted)
        work()

    process = forked.Process(target=die)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("name", "after"), [("copy_of", 1), ("copy_of", 3), ("copy_of", 4), ("sync", 1), ("write_whole", 1)]
)
def test_a_backup_cut_short_is_none_and_can_be_repeated(tmp_path: Path, name: str, after: int) -> None:
    digests = filled(tmp_path / "data")
    cut_short(module, name, after, lambda: back_up(tmp_path / "data", tmp_path / "backup", NOON))
    with pytest.raises(BackupDamaged):
        Restore(tmp_path / "backup", tmp_path / "new").bring()

    answer("backup", tmp_path / "backup", "--data", tmp_path / "data", "--with-master-key")

    assert answer("restore", tmp_path / "backup", "--data", tmp_path / "new")["digests"] == digests


@pytest.mark.parametrize(
    ("name", "after"), [("_copy", 1), ("_copy", 3), ("_copy", 5), ("write_whole", 1), ("write_whole", 2)]
)
def test_a_restore_cut_short_can_be_repeated_and_nobody_opens_it_before(
    tmp_path: Path, name: str, after: int
) -> None:
    digests = filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "backup", NOON, master_key=tmp_path / "data" / "master.key")
    restore = Restore(
        tmp_path / "backup", tmp_path / "new", destroyed=tmp_path / "data" / "destroyed-keys.txt"
    )
    cut_short(module, name, after, restore.bring)
    if (name, after) != ("write_whole", 1):
        with pytest.raises(RestoreUnfinished):
            SqliteKeyring.at(tmp_path / "new")
        with pytest.raises(RestoreUnfinished):
            back_up(tmp_path / "new", tmp_path / "copy of half", NOON)

    assert answer("restore", tmp_path / "backup", "--data", tmp_path / "new")["digests"] == digests
    assert not (tmp_path / "new" / "restore.json").exists()


def test_beside_a_server_that_is_killed_a_backup_holds_all_that_was_answered_before_it_began(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    key = key_for(data, "publish")
    answered: list[int] = []
    server = started("serve", "--data", data, "--port", 0, "--json")
    url = listening(server)

    def load() -> None:
        with (
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client,
            suppress(httpx.HTTPError),
        ):
            for n in range(100_000):
                batch = [
                    {"type": "track", "event": "walk", "userId": f"u{n}", "messageId": f"{n}-{k}"}
                    for k in range(20)
                ]
                if client.post("/v1/batch", json={"batch": batch}).status_code == 200:
                    answered.append(n)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        for number in range(3):
            while len(answered) < 10 * (number + 1):
                time.sleep(0.01)
            before = len(answered)
            backing = started(
                "backup", tmp_path / f"b{number}", "--data", data, "--with-master-key", "--json"
            )
            if number == 1:
                time.sleep(0.4)
                backing.kill()
                backing.communicate()
                assert server.poll() is None
                continue
            if number == 2:
                time.sleep(0.4)
                server.kill()
            out, err = backing.communicate(timeout=60)
            assert backing.returncode == 0, err
            manifest = json.loads(out)
            told = answer("restore", tmp_path / f"b{number}", "--data", tmp_path / f"r{number}")
            assert told["position"] == f"j1.{manifest['position']}"
            with a_book(tmp_path / f"r{number}") as book:
                records = book.journal.read(limit=100_000)
                ids = {book.journal.open(record).id for record in records}
            assert {f"{n}-{k}" for n in answered[:before] for k in range(20)} <= ids
            assert [record.position for record in records] == list(range(1, manifest["position"] + 1))
    finally:
        server.kill()
        server.communicate()
        loading.join()
