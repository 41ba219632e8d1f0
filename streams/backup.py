"""Backups: taken beside a running server, whole, and restored so that what was erased stays erased.

**The order.** Whatever a file refers to must be in a file that is copied later. What is set aside leaves for the
journal (a redrive), so it is copied before the journal: taken twice it is a duplicate, missed it would be lost. A key
is durable before anything is sealed with it, so the keyring is copied last: it holds the keys of everything copied
before, but for those destroyed meanwhile, which shall be missing. Each copy is one consistent look of SQLite's own; the
position of the backup is the last record in the copy of the journal.

**Keys apart.** The keyring lies in a folder of its own, and may be put elsewhere: without it a backup tells nothing.
The master key is copied only on request, the list of destroyed keys never: it is what an old keyring is held against.
Projections are not copied, they are folded again.

A backup is one when its manifest is there, which is written last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import touchbook
from touchbook.errors import (
    BackupDamaged,
    BackupUnfit,
    ListUnfit,
    NotATouchbook,
    RestoreUnfinished,
    WrongMasterKey,
)
from touchbook.schemas.times import rfc3339
from touchbook.streams.backends import (
    sqlite_audit,
    sqlite_control,
    sqlite_erasures,
    sqlite_journal,
    sqlite_keyring,
)
from touchbook.streams.backends.sqlite import copy_of
from touchbook.streams.backends.sqlite_keyring import destroyed_in
from touchbook.streams.destroyed import FILE as DESTROYED_FILE
from touchbook.streams.destroyed import DestroyedKeys
from touchbook.streams.files import (
    RESTORING,
    make_directory,
    sha256_of,
    sync,
    unfinished,
    write_once,
    write_whole,
)

MANIFEST = "manifest.json"
FORMAT = 1
KEYS = "keys"
FILES = (sqlite_control.FILE, sqlite_erasures.FILE, sqlite_audit.FILE, sqlite_journal.FILE)
"""In the order in which they are copied; the keyring follows."""
KEYRING, MASTER_KEY = sqlite_keyring.FILE, sqlite_keyring.MASTER_KEY_FILE

Progress = Callable[[str], None]
"""Told the name of each file before it is copied."""
Manifest = dict[str, Any]


def back_up(
    data: Path,
    into: Path,
    now: int,
    *,
    keys: Path | None = None,
    master_key: Path | None = None,
    destroyed_keys: Path | None = None,
    progress: Progress = lambda name: None,
) -> Manifest:
    """Copies a data directory, beside whoever writes it, and answers the manifest.

    The keyring goes into `keys`, or `into`/keys. A `master_key` is copied there too; one that lies in `keys` stays.
    `destroyed_keys` is the place of that list, which the manifest names. Raises NotATouchbook, RestoreUnfinished,
    WrongMasterKey where there is no such file, or BackupUnfit for a place inside of the data directory, or where
    something else lies in the way; a backup that was cut short does not, it is made anew.
    """
    if unfinished(data):
        raise RestoreUnfinished(str(data))
    if not (data / sqlite_journal.FILE).is_file():
        raise NotATouchbook(str(data))
    if master_key is not None and not master_key.is_file():
        raise WrongMasterKey(str(master_key), "there is no such file")
    for place in (into, keys or into):
        _outside(place, data, "outside of the data directory, whose loss it is made for")
    _make_room(into, keys)
    keys = keys or into / KEYS
    if master_key is not None:
        _keep_master_key(master_key, keys / MASTER_KEY)
    for name in (*FILES, KEYRING):
        progress(name)
        if (data / name).exists():
            copy_of(data / name, (keys if name == KEYRING else into) / name)
    sync(keys)
    sync(into)
    journal, position = sqlite_journal.described(into / sqlite_journal.FILE)
    copied = (KEYRING,) if master_key is None else (KEYRING, MASTER_KEY)
    manifest = {
        "format": FORMAT,
        "touchbook": touchbook.__version__,
        "made_at": rfc3339(now),
        "journal": journal,
        "position": position,
        "files": {name: _described(into / name) for name in FILES if (into / name).exists()},
        "keys": {name: _described(keys / name) for name in copied},
        "keys_apart": keys != into / KEYS,
        "destroyed_keys": str((destroyed_keys or data / DESTROYED_FILE).absolute()),
    }
    try:
        write_whole(into / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    except BaseException:  # nobody is told that it is complete, so it shall be none, and can be made anew
        with suppress(OSError):
            (into / MANIFEST).unlink(missing_ok=True)
        raise
    return manifest


@dataclass(frozen=True, slots=True)
class Restore:
    """What a restore is asked to do. `keys` is where the keyring of the backup lies, if apart.

    `destroyed` is the list of destroyed keys, which is copied into the data directory unless it is used where it is
    (`elsewhere`). It must name all that were destroyed before the backup, unless it is `outdated` and that is known.
    """

    backup: Path
    into: Path
    keys: Path | None = None
    destroyed: Path | None = None
    elsewhere: bool = False
    outdated: bool = False

    def manifest(self) -> Manifest:
        """Raises BackupDamaged for what is no whole backup, or one that this version does not know."""
        if not self.backup.is_dir():
            raise BackupDamaged(str(self.backup), "there is no such directory")
        try:
            manifest = json.loads((self.backup / MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            raise BackupDamaged(
                str(self.backup), f"it has no {MANIFEST}, so it was never completed"
            ) from None
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise BackupDamaged(str(self.backup), f"its {MANIFEST} is not what was written")
        if manifest.get("format") != FORMAT:
            raise BackupDamaged(str(self.backup), f"its format is another than {FORMAT}")
        return manifest

    def bring(self, progress: Progress = lambda name: None) -> Manifest:
        """Brings every file into the data directory, whole and checked against the manifest; cut short, it is repeated
        from the beginning. Projections are not there yet. Raises BackupDamaged; BackupUnfit for a directory that
        holds anything but what a restore of this backup brought; ListUnfit."""
        manifest = self.manifest()
        self._claim(manifest)
        if unfinished(self.into):
            for name, described in manifest["files"].items():
                progress(name)
                self._bring(self.backup / name, described)
            for name, described in manifest["keys"].items():
                progress(name)
                self._bring(self._keys_of(manifest) / name, described)
            if self.destroyed is not None:
                self._bring_list(self.destroyed)
            sync(self.into)
            self._note(manifest, complete=True)
        return manifest

    def finish(self) -> None:
        """It is a data directory like any other from now on.

        Not forced to disk: a note that a loss of power brings back says `complete`, which keeps nobody out, whereas a
        failure here would be told of a restore that is whole, and that nobody can repeat any more.
        """
        (self.into / RESTORING).unlink(missing_ok=True)

    def _claim(self, manifest: Manifest) -> None:
        _outside(self.into, self.backup, "outside of the backup")
        make_directory(self.into)
        try:
            begun = json.loads((self.into / RESTORING).read_text("utf-8"))
        except FileNotFoundError:
            if any(file for file in self.into.iterdir() if not file.name.startswith(f".{RESTORING}")):
                raise BackupUnfit(str(self.into), "an empty directory, or none") from None
            self._note(manifest, complete=False)
            return
        if begun["journal"] != manifest["journal"] or begun["made_at"] != manifest["made_at"]:
            raise BackupUnfit(str(self.into), "the same backup as the restore that was begun there")

    def _note(self, manifest: Manifest, complete: bool) -> None:
        noted = {"journal": manifest["journal"], "made_at": manifest["made_at"], "complete": complete}
        write_whole(self.into / RESTORING, json.dumps(noted) + "\n")

    def _keys_of(self, manifest: Manifest) -> Path:
        keys = self.keys or self.backup / KEYS
        if manifest["keys_apart"] and not (keys / KEYRING).is_file():
            why = f"its {KEYRING} was put elsewhere, and is not in {keys}"
            raise BackupDamaged(str(self.backup), why, "name the place with --keys")
        return keys

    def _bring_list(self, file: Path) -> None:
        named = DestroyedKeys(file).read()
        lacking = destroyed_in(self.into / KEYRING).difference(named)
        if lacking and not self.outdated:
            raise ListUnfit(str(file), len(lacking))
        target = self.into / DESTROYED_FILE
        if not self.elsewhere and not (target.exists() and target.samefile(file)):
            write_whole(target, file.read_text("ascii"))

    def _bring(self, source: Path, described: Manifest) -> None:
        if not source.is_file():
            raise BackupDamaged(str(self.backup), f"{source} is missing")
        target = self.into / source.name
        _copy(source, target)
        if sha256_of(target) != described["sha256"]:
            raise BackupDamaged(str(self.backup), f"{source} is not what was backed up")


def _outside(directory: Path, of: Path, expected: str) -> None:
    """Raises BackupUnfit, also where a file stands in its place."""
    if directory.exists() and not directory.is_dir():
        raise BackupUnfit(str(directory), "a directory, not a file")
    if directory.resolve().is_relative_to(of.resolve()):
        raise BackupUnfit(str(directory), f"a directory {expected}")


def _make_room(into: Path, keys: Path | None) -> None:
    """Only where a backup into the same place was cut short may its keyring lie there already: else it is that of
    another backup. A master key in a folder of the caller's is his."""
    cut_short = into.is_dir() and any(into.iterdir())
    if keys is None or keys.resolve() == (into / KEYS).resolve():
        _empty(into, {*FILES, KEYS})
        _empty(into / KEYS, {KEYRING, MASTER_KEY})
        return
    if keys.resolve() == into.resolve():
        raise BackupUnfit(str(keys), "another directory for the keyring than for the rest")
    _empty(into, set(FILES))
    _empty(keys, {KEYRING} if cut_short else set(), MASTER_KEY)


def _empty(directory: Path, ours: set[str], left: str | None = None) -> None:
    """Makes the directory, or clears it of a backup that was cut short; the file `left` stays."""
    make_directory(directory)
    found = [file for file in directory.iterdir() if file.name != left]
    for file in found:
        name = file.name.removesuffix("-journal").removesuffix("-wal").removesuffix("-shm")
        if name not in ours and not file.name.startswith((f".{MANIFEST}.", f".{MASTER_KEY}.")):
            raise BackupUnfit(str(directory), "an empty directory, or a backup that was cut short")
    for file in found:
        if file.is_file():
            file.unlink()


def _keep_master_key(source: Path, target: Path) -> None:
    write_once(target, source.read_text("ascii"))
    if target.read_bytes() != source.read_bytes():
        raise BackupUnfit(str(target.parent), f"no other {MASTER_KEY} there")


def _described(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _copy(source: Path, target: Path) -> None:
    """Whole when it returns, and readable by its owner only."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out, source.open("rb") as content:
        shutil.copyfileobj(content, out, 2**20)
        out.flush()
        os.fsync(out.fileno())
