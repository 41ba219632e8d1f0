"""Backup and restore on a disk that loses power, fails or is full: told complete is complete, and the rest is said."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from tests.backup.books import filled
from tests.books import a_book
from tests.cli.commands import answer
from tests.faults.check import digests_of
from tests.faults.servers import Directory, Forked, Run
from tests.faults.shim import ERRNOS, FAIL, OPEN, SYNC, Faults, Power, library
from touchbook.cli.exits import FAILED
from touchbook.errors import BackupDamaged, RestoreUnfinished
from touchbook.streams.backup import Restore
from touchbook.streams.files import unfinished, write_once, write_whole

pytestmark = pytest.mark.timeout(600)

SOME = [
    pytest.param(False, id="some"),
    pytest.param(True, id="every", marks=pytest.mark.long),
]
NEVER = 2**62
UNFORCED = "import os; os.fsync = lambda descriptor: None; from touchbook.cli import main; main()"


@dataclass
class Place:
    """A data directory and, in folders of their own, its backup, the backup's keys, and what is restored."""

    home: Path
    run: Run
    digests: dict[str, str]
    commands: int = 0

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def backup(self) -> Path:
        return self.home / "backup"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def new(self) -> Path:
        return self.home / "new"

    def back_up(self, run: Run | None = None) -> tuple[int, str]:
        return self.told(
            run, self.data, "backup", self.backup, "--keys", self.keys, "--with-master-key", "--json"
        )

    def restore(self, run: Run | None = None) -> tuple[int, str]:
        return self.told(run, self.new, "restore", self.backup, "--keys", self.keys, "--json")

    def restored(self) -> dict[str, str]:
        """The digests of what is restored from the backup, somewhere else."""
        told = answer("restore", self.backup, "--keys", self.keys, "--data", self.home / "elsewhere")
        shutil.rmtree(self.home / "elsewhere")
        return dict(told["digests"])

    def clear(self) -> None:
        """As it was before anything was backed up."""
        for made in (self.backup, self.keys, self.new):
            shutil.rmtree(made, ignore_errors=True)

    def told(self, run: Run | None, data: Path, *arguments: object) -> tuple[int, str]:
        """The exit code of a command and what it told."""
        self.commands += 1
        scratch = self.home / f"said-{self.commands}"
        scratch.mkdir()
        done = Directory(data, scratch).command(run or self.run, *arguments)
        return done.child.wait(), done.err.read_text()


@pytest.fixture
def place(tmp_path: Path, forked: Forked) -> Place:
    return Place(tmp_path, forked, filled(tmp_path / "data"))


def unforced(power: Power) -> Run:
    """Starts the command so that Python's fsync does nothing; SQLite's own goes on."""

    def run(arguments: list[object], out: Path, err: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **power.environment, "LD_PRELOAD": str(library())}
        with out.open("w") as said, err.open("a") as told:
            return subprocess.Popen(
                [sys.executable, "-c", UNFORCED, *map(str, arguments)],
                stdout=said,
                stderr=told,
                env=environment,
            )

    return run


def content(directory: Path) -> dict[str, bytes]:
    """Of every file but the memory that processes share."""
    return {
        file.name: file.read_bytes()
        for file in directory.iterdir()
        if not file.name.endswith(("-shm", "-wal"))
    }


def says_what_to_do(told: str, command: str, error: int = 0) -> None:
    """`error`: the errno that was injected, else the disk is really full. SQLite tells a full disk only where it
    writes, and an error elsewhere."""
    last = told.strip().splitlines()[-1]
    assert "Traceback" not in told
    assert f"repeat `touchbook {command}` as it was" in last
    assert "free space there" in last or (error != 0 and "room, quota, errors" in last)
    assert "free space there" not in last or error in (0, errno.ENOSPC)


def failing(faults: Faults, done: Callable[[], tuple[int, str]], step: int) -> Iterator[int]:
    """Lets what `done` does to the files fail at its n-th operation, alone or with all after it, for every `step`-th n
    from the last one back. Gives the errno, which changes every time."""
    faults.set(FAIL, skip=NEVER)
    assert done()[0] == 0
    for turn, skip in enumerate(range(faults.seen - 1, -1, -step)):
        error = ERRNOS[turn % len(ERRNOS)]
        faults.set(FAIL, error=error, skip=skip, times=-1 if turn % 2 else 1)
        yield error
    faults.clear()


# ---- loss of power ----


@pytest.mark.parametrize("where", ["backup", "keys"])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_backup_that_was_told_complete_survives_the_loss_of_all_that_was_not_forced_to_disk(
    place: Place, forked: Forked, where: str, seed: int | None
) -> None:
    power = Power(place.home / where, place.home)
    code, told = place.back_up(replace(forked, environment=power.environment))
    assert code == 0, told
    power.lose(None if seed is None else random.Random(seed))
    assert place.restored() == place.digests


@pytest.mark.parametrize("where", ["backup", pytest.param("keys", marks=pytest.mark.thorough)])
def test_the_loss_of_power_bites_a_backup_that_does_not_wait_for_the_disk(place: Place, where: str) -> None:
    """The same with os.fsync left out must be no backup any more, or the test above proves nothing."""
    power = Power(place.home / where, place.home)
    code, told = place.back_up(unforced(power))
    assert code == 0, told
    power.lose()
    with pytest.raises(BackupDamaged):
        Restore(place.backup, place.new, place.keys).bring()


def opens_with(place: Place) -> dict[str, str]:
    """The digests of what was restored, read as a server would; it must be whole before anything is repaired."""
    assert not unfinished(place.new)
    with a_book(place.new) as book:
        assert [book.journal.open(record).data for record in book.journal.read()]
    return digests_of(place.new)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_restore_that_was_told_complete_survives_it_too(
    place: Place, forked: Forked, seed: int | None
) -> None:
    place.back_up()
    power = Power(place.new, place.home)
    powered = replace(forked, environment=power.environment)
    code, told = place.restore(powered)
    assert code == 0, told
    power.lose(None if seed is None else random.Random(seed))

    assert opens_with(place) == place.digests
    server, _ = Directory(place.new, place.home).served(forked)
    assert server.end() == 0, server.err.read_text()
    assert digests_of(place.new) == place.digests


def test_the_loss_of_power_bites_a_restore_that_does_not_wait_for_the_disk(place: Place) -> None:
    place.back_up()
    power = Power(place.new, place.home)
    code, told = place.restore(unforced(power))
    assert code == 0, told
    power.lose()
    assert content(place.new).get("master.key") != content(place.keys)["master.key"]


@pytest.mark.parametrize("command", ["backup", "keys", "restore", "keys create"])
def test_the_names_of_new_directories_are_forced_to_disk_too(
    place: Place, forked: Forked, command: str
) -> None:
    """Else a loss of power takes the whole directory, however durable what lies in it."""
    if command == "restore":
        place.back_up()
    parent = place.home / "disk"
    parent.mkdir()
    faults = Faults(parent, place.home)
    run = replace(forked, environment=faults.environment)
    deep = parent / "new" / "one"

    def ran() -> int:
        one = replace(place)
        arguments: dict[str, tuple[Path, list[object]]] = {
            "backup": (place.data, ["backup", deep, "--keys", place.keys]),
            "keys": (place.data, ["backup", place.backup, "--keys", deep]),
            "restore": (deep, ["restore", place.backup, "--keys", place.keys]),
            "keys create": (deep, ["keys", "create", "--role", "admin", "--source", "tests"]),
        }
        data, words = arguments[command]
        code, _ = one.told(run, data, *words)
        shutil.rmtree(place.home / f"said-{one.commands}")
        return code

    with faults.failing(errno.EIO, SYNC):
        assert ran() == FAILED
        assert not list(parent.iterdir()), "else who repeats it finds it there, and does not wait for it"
    assert ran() == 0


# ---- disks that fail ----


@pytest.mark.parametrize("write", [write_once, write_whole])
@pytest.mark.parametrize("refused", ["fsync", "replace", "link"])
def test_a_file_that_could_not_be_written_leaves_no_draft_of_what_it_was_to_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None], refused: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, refused, fail)
    with suppress(OSError):  # each uses one of the last two
        write(tmp_path / "master.key", "secret")
    assert [file.name for file in tmp_path.iterdir()] in ([], ["master.key"])


def test_a_journal_that_cannot_be_read_is_not_said_to_be_missing(place: Place, forked: Forked) -> None:
    faults = Faults(place.data, place.home)
    run = replace(forked, environment=faults.environment)
    with faults.failing(errno.EIO, OPEN, name="journal.sqlite-wal"):
        code, told = place.told(run, place.data, "digest")
    assert code == FAILED
    assert "holds no journal" not in told
    assert "check its disk" in told
    assert place.told(run, place.data, "digest")[0] == 0


@pytest.mark.parametrize(("where", "step"), [("backup", 38), ("keys", 14), ("data", 25)])
@pytest.mark.parametrize("every", SOME)
def test_a_backup_that_the_disk_refuses_is_none_and_can_be_repeated(
    place: Place, forked: Forked, where: str, step: int, every: bool
) -> None:
    faults = Faults(place.home / where, place.home)
    run = replace(forked, environment=faults.environment)
    before, refused = content(place.data), 0
    for error in failing(faults, partial(place.back_up, run), 1 if every else step):
        place.clear()
        code, told = place.back_up(run)
        if code:
            refused += 1
            assert code == FAILED
            assert faults.failed, told
            says_what_to_do(told, "backup", error)
            with pytest.raises(BackupDamaged):
                Restore(place.backup, place.new, place.keys).bring()
            faults.clear()
            code, told = place.back_up(run)
            assert code == 0, told
        Restore(place.backup, place.new, place.keys).bring()
        assert content(place.data) == before
    assert refused
    assert place.restored() == place.digests


@pytest.mark.parametrize("every", SOME)
def test_a_restore_that_the_disk_refuses_serves_nobody_half_and_can_be_repeated(
    place: Place, forked: Forked, every: bool
) -> None:
    place.back_up()
    faults = Faults(place.new, place.home)
    run = replace(forked, environment=faults.environment)
    before, refused = [content(one) for one in (place.data, place.backup, place.keys)], 0
    for error in failing(faults, partial(place.restore, run), 1 if every else 210):
        shutil.rmtree(place.new)
        code, told = place.restore(run)
        if code:
            refused += 1
            assert code == FAILED
            assert faults.failed, told
            says_what_to_do(told, "restore", error)
            if unfinished(place.new):
                with pytest.raises(RestoreUnfinished):
                    digests_of(place.new)
            faults.clear()
            code, told = place.restore(run)
            assert code == 0, told
        assert digests_of(place.new) == place.digests
        assert not [file for file in place.new.iterdir() if file.name.startswith(".")]
    assert refused
    assert [content(one) for one in (place.data, place.backup, place.keys)] == before


def nearly_full(disk: Path, room: int) -> Path:
    """Takes all but so many bytes of a file system; the file to delete again."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - room))
    return ballast


def test_a_file_system_that_is_really_full_refuses_a_backup_and_takes_it_when_there_is_room(
    place: Place, small_disk: Path
) -> None:
    on_it = replace(place, home=small_disk)
    shutil.copytree(place.data, on_it.data)
    ballast = nearly_full(small_disk, 2**16)

    code, told = on_it.back_up()

    assert code == FAILED
    says_what_to_do(told, "backup")
    with pytest.raises(BackupDamaged):
        Restore(on_it.backup, place.new, on_it.keys).bring()
    ballast.unlink()
    assert on_it.back_up()[0] == 0
    assert on_it.restored() == place.digests


def test_a_file_system_that_is_really_full_refuses_a_restore_and_takes_it_when_there_is_room(
    place: Place, small_disk: Path
) -> None:
    place.back_up()
    on_it = replace(place, home=small_disk)
    shutil.copytree(place.backup, on_it.backup)
    shutil.copytree(place.keys, on_it.keys)
    ballast = nearly_full(small_disk, 2**16)

    code, told = on_it.restore()

    assert code == FAILED
    says_what_to_do(told, "restore")
    with pytest.raises(RestoreUnfinished):
        digests_of(on_it.new)
    ballast.unlink()
    assert on_it.restore()[0] == 0
    assert digests_of(on_it.new) == place.digests
