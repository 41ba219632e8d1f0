"""Plain files that must be whole and on the disk when we say so."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

RESTORING = "restore.json"
"""Lies in a directory that a restore is filling."""


def unfinished(directory: Path) -> bool:
    """Whether a restore into this directory was begun, and did not yet bring every file there."""
    try:
        return not json.loads((directory / RESTORING).read_text("utf-8"))["complete"]
    except FileNotFoundError:
        return False


def make_directory(directory: Path) -> None:
    """Its owner's only, with those above it that are missing. Its name is on the disk when this returns; where that
    fails it is not made, so that who tries again comes by here too."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:  # another process was first
        if not directory.is_dir():
            raise
    try:
        sync(directory.parent)
    except BaseException:
        with suppress(OSError):  # somebody may have put something there
            directory.rmdir()
        raise


def write_once(file: Path, text: str) -> None:
    """Durable, readable by its owner only, and whole from the first moment: if two processes start at once, the file of
    the one that linked it first stands."""
    make_directory(file.parent)
    draft = _draft(file, text)
    try:
        os.link(draft, file)
    except (FileExistsError, FileNotFoundError):  # another process was first, and may have cleared up
        if not file.exists():
            raise
    finally:
        draft.unlink(missing_ok=True)
        sync(file.parent)


def clear_drafts(file: Path) -> None:
    """Deletes what `write_once` left beside this file where it was killed: copies, maybe, of what it holds."""
    for draft in file.parent.glob(f".{file.name}.*"):
        draft.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Replaces the file, durably: there is always the old one or the new one."""
    draft = _draft(file, text)
    try:
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    sync(file.parent)


def sync(path: Path) -> None:
    """What is in a file, or was made, renamed or removed in a directory, is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(file: Path) -> str:
    """In hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _draft(file: Path, text: str) -> Path:
    draft = file.with_name(f".{file.name}.{os.getpid()}.{token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
