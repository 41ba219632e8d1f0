"""Faults of a data directory's files, and losses of power, played by a library preloaded into the child: see shim.c."""

from __future__ import annotations

import atexit
import errno
import mmap
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.needs import needs_or_skip

SOURCE = Path(__file__).with_name("shim.c")
WRITE, SYNC, OPEN, RENAME, TRUNCATE, UNLINK = (1 << bit for bit in range(6))
CHANGES = WRITE | SYNC | OPEN | RENAME | TRUNCATE
"""What a full or failing disk refuses."""
NOTHING, FAIL, KILL_BEFORE, KILL_AFTER = range(4)
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)

_CONTROL = struct.Struct("=7q200s")
_PENDING = struct.Struct("=3q")
_SECTOR = 512


@cache
def library() -> Path:
    """The shim, compiled once for this process. Ends the test where it cannot be."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        needs_or_skip("a C compiler on Linux (gcc or cc), to make the disk fail")
    folder = tempfile.mkdtemp(prefix="touchbook-shim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Path(folder) / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        needs_or_skip(f"a C compiler that makes shared libraries: {done.stderr.strip().splitlines()[-1]}")
    return made


class Faults:
    """Switches faults on and off in whichever processes have the control file mapped."""

    def __init__(self, under: Path, scratch: Path) -> None:
        """`under`: the directory whose files are concerned. `scratch`: where the control file is made."""
        self.under = under
        self._file = scratch / f"control-{under.name}"
        self._file.write_bytes(bytes(mmap.PAGESIZE))
        with self._file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), mmap.PAGESIZE)

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTS_UNDER": str(self.under), "FAULTS_CONTROL": str(self._file)}

    def set(
        self,
        action: int,
        operations: int = CHANGES,
        *,
        error: int = 0,
        skip: int = 0,
        times: int = -1,
        name: str = "",
    ) -> None:
        """After `skip` operations of these kinds on files with `name` in theirs, the next `times` (all, if negative)
        fail with `error`, or the process is killed before or after the first."""
        self.clear()
        packed = _CONTROL.pack(NOTHING, error, operations, skip, times, 0, 0, name.encode())
        self._page[8 : len(packed)] = packed[8:]
        self._page[:8] = struct.pack("=q", action)  # last: from here on it acts

    def clear(self) -> None:
        self._page[:8] = bytes(8)

    @property
    def failed(self) -> int:
        """How many operations failed, or killed, since the last `set`."""
        return int(_CONTROL.unpack_from(self._page)[6])

    @property
    def seen(self) -> int:
        """How many operations there were of the kinds and files set."""
        return int(_CONTROL.unpack_from(self._page)[5])

    @contextmanager
    def failing(self, error: int, operations: int = CHANGES, **more: int | str) -> Iterator[None]:
        self.set(FAIL, operations, error=error, **more)  # type: ignore[arg-type]
        try:
            yield
        finally:
            self.clear()


class Op(NamedTuple):
    """One change of a file's content that was not forced to disk."""

    operation: int
    offset: int
    length: int
    bytes: bytes


class Power:
    """Remembers what a directory's files held when they were last forced to disk, and goes back to that.

    One process at a time may work on the directory. Files appear in their directory when that is forced to disk, as
    POSIX has it; what file systems promise beyond that is not counted on.
    """

    def __init__(self, under: Path, scratch: Path) -> None:
        self.under = under
        self._shadow = scratch / f"shadow-{under.name}"
        self.begin()

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTS_UNDER": str(self.under), "FAULTS_SHADOW": str(self._shadow)}

    def begin(self) -> None:
        """What the directory holds now is durable."""
        shutil.rmtree(self._shadow, ignore_errors=True)
        self._shadow.mkdir()
        self.under.mkdir(mode=0o700, exist_ok=True)
        lines = []
        for id, file in enumerate(sorted(self.under.iterdir()), start=1):
            shutil.copyfile(file, self._shadow / f"{id}.durable")
            lines.append(f"C {file.name} {id}\n")
        (self._shadow / "names").write_text("".join([*lines, "S\n"]))

    def survive(self) -> None:
        """The process was killed, the machine goes on: what the files hold stays, but is no more durable than before.

        What the killed process did not live to note is noted: its last operation may have been under way.
        """
        _, now, _ = self._names()
        for file in self.under.iterdir():
            id = now.get(file.name)
            content = file.read_bytes()
            if id is None or content == self._content(id, self._pending(id)):
                continue
            whole = _PENDING.pack(WRITE, 0, len(content)) + content
            (self._shadow / f"{id}.pending").write_bytes(_PENDING.pack(TRUNCATE, 0, len(content)) + whole)

    def lose(self, torn: random.Random | None = None) -> None:
        """The power went: the directory holds again what was durable, and of the rest nothing.

        With `torn`, some of the rest: the earlier changes of the directory up to some point, and of every file's
        changes any, whole or in part, since a disk writes in the order it likes.
        """
        durable, _, later = self._names()
        names = durable if torn is None else torn.choice([durable, *later])
        kept = {}
        for name, id in names.items():
            if not name.endswith("-shm"):  # the memory that processes share: it lives in none
                kept[name] = self._content(id, [] if torn is None else _some(self._pending(id), torn))
        for file in self.under.iterdir():
            file.unlink()
        for name, content in kept.items():
            (self.under / name).touch(mode=0o600)
            (self.under / name).write_bytes(content)
        self.begin()

    def _names(self) -> tuple[dict[str, int], dict[str, int], list[dict[str, int]]]:
        """Names to contents: those that are durable, those there are now, and each state between the two."""
        durable: dict[str, int] = {}
        now: dict[str, int] = {}
        later: list[dict[str, int]] = []
        for line in (self._shadow / "names").read_text().splitlines():
            kind, *parts = line.split()
            if kind == "S":
                durable, later = dict(now), []
                continue
            if kind == "C":
                now[parts[0]] = int(parts[1])
            elif kind == "L":
                now[parts[1]] = now[parts[0]]
            elif kind == "R":
                now[parts[1]] = now.pop(parts[0])
            elif kind == "U":
                now.pop(parts[0])
            later.append(dict(now))
        return durable, now, later

    def _pending(self, id: int) -> list[Op]:
        file = self._shadow / f"{id}.pending"
        found, place, ops = file.read_bytes() if file.exists() else b"", 0, []
        while place + _PENDING.size <= len(found):
            operation, offset, length = _PENDING.unpack_from(found, place)
            place += _PENDING.size
            size = length if operation == WRITE else 0
            if place + size <= len(found):  # else the kill fell into the note
                ops.append(Op(operation, offset, length, found[place : place + size]))
            place += size
        return ops

    def _content(self, id: int, ops: list[Op]) -> bytes:
        file = self._shadow / f"{id}.durable"
        content = bytearray(file.read_bytes() if file.exists() else b"")
        for op in ops:
            if op.operation == TRUNCATE:
                del content[op.length :]
                content.extend(bytes(op.length - len(content)))
            else:
                content.extend(bytes(max(0, op.offset - len(content))))
                content[op.offset : op.offset + len(op.bytes)] = op.bytes
        return bytes(content)


def _some(ops: list[Op], torn: random.Random) -> list[Op]:
    """In this order, but any of them: half of the time the first ones, else each by chance, some only in part."""
    first = torn.randint(0, len(ops)) if torn.random() < 0.5 else None
    kept = ops[:first] if first is not None else [op for op in ops if torn.random() < 0.7]
    return [_part(op, torn) if op.operation == WRITE and torn.random() < 0.1 else op for op in kept]


def _part(op: Op, torn: random.Random) -> Op:
    kept = torn.randint(0, len(op.bytes) // _SECTOR) * _SECTOR
    return op._replace(length=kept, bytes=op.bytes[:kept])
