"""The list of destroyed keys: what makes an erasure hold against every backup of the keyring.

It holds random names of keys, never whose they were: who returns after an erasure starts anew, under a new key. It must
outlive the data directory and lie in no backup of the keyring, since it is what a restored keyring is held against.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from touchbook.errors import FormatUnknown
from touchbook.sealing import new_key_id
from touchbook.streams.files import sha256_of, write_once

FILE = "destroyed-keys.txt"
HEADER = "touchbook destroyed keys, list "
_NAME = re.compile(rb"[0-9a-f]{32}")


class DestroyedKeys:
    """Names of keys, one a line, only ever appended to; several keyrings may share one.

    A place in it is a number of bytes: what was read up to there need not be read again.
    """

    def __init__(self, file: Path) -> None:
        """Makes it if it is not there. Raises FormatUnknown for a file that is no such list."""
        self.file = file = file.absolute()
        if not file.exists():
            write_once(file, f"{HEADER}{new_key_id()}\n")
        with file.open("rb") as content:
            first = content.readline().decode("ascii", "replace").rstrip("\n")
        if not first.startswith(HEADER):
            raise FormatUnknown(
                str(file), "another", f"files that begin with {HEADER!r}", "name the list itself"
            )
        self.id = first.removeprefix(HEADER)

    def size(self) -> int:
        return self.file.stat().st_size

    def read(self, after: int = 0) -> list[str]:
        """The names beyond a place. A line that a crash cut short is no name: nobody was told that it was kept."""
        with self.file.open("rb") as content:
            content.seek(after)
            return [line.decode() for line in content.read().split(b"\n") if _NAME.fullmatch(line)]

    def append(self, key_ids: Iterable[str]) -> int:
        """Durable when it returns, with the place after them; all of them, or none that is ever read."""
        lines = "".join(f"{key_id}\n" for key_id in key_ids).encode()
        descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.fstat(descriptor).st_size
            if lines and os.pread(descriptor, 1, before - 1) != b"\n":
                lines = b"\n" + lines  # ends a line that a crash cut short
            try:
                while lines:
                    lines = lines[os.write(descriptor, lines) :]
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def digest(self) -> str:
        """SHA-256 of the file, in hex."""
        return sha256_of(self.file)
