"""`touchbook backup` and `touchbook restore`: a copy of everything that cannot be folded again, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchbook.cli.exits import Failed, WrongUse, remedy_for
from touchbook.cli.options import AsJson, Config, Data, one_machine, settings_of
from touchbook.cli.output import say, show_json, show_rows
from touchbook.errors import StoreUnavailable

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.streams.backup import Manifest


def backup(
    into: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to: an empty directory, or none yet, outside of the data."),
    ],
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the keyring goes, to be kept elsewhere.", show_default="DIR/keys"
        ),
    ] = None,
    with_master_key: Annotated[
        bool, typer.Option("--with-master-key", help="Copy the master key too, beside the keyring.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Back up a data directory, also beside a running server.

    Journal, keyring, access keys, what is set aside, receipts of erasures and the audit trail, as of one position.
    Projections are folded again by a restore. The master key and the list of destroyed keys need a safe place of their
    own.
    """
    from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE
    from touchbook.streams.backup import back_up
    from touchbook.streams.now import now

    settings = settings_of(config, data=data)
    one_machine(settings, "Kafka keeps the journal and its keys: back up its disks, and the master key apart")
    master_key = settings.master_key or settings.data / MASTER_KEY_FILE
    with _repeatable("backup", into, settings.data):
        manifest = back_up(
            settings.data,
            into,
            now(),
            keys=keys,
            master_key=master_key if with_master_key else None,
            destroyed_keys=settings.destroyed_keys,
            progress=lambda name: say(f"copying {name}"),
        )
    say(f"keep apart from it: {manifest['destroyed_keys']}; without it a restore brings back whom you erased")
    if not with_master_key:
        say(f"keep apart from it: {master_key}; without it nothing in a backup can be read")
    if as_json:
        show_json(manifest)
        return
    columns = ("made_at", "journal", "position", "keys_apart", "destroyed_keys")
    rows = [(name, manifest[name]) for name in columns]
    rows += [(name, of["bytes"]) for name, of in (*manifest["files"].items(), *manifest["keys"].items())]
    show_rows(("what", "value"), rows)


def restore(
    backup: Annotated[Path, typer.Argument(metavar="DIR", help="What `touchbook backup` made.")],
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where its keyring lies, if apart.", show_default="DIR/keys"),
    ] = None,
    master_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The master key, where the backup holds none.")
    ] = None,
    destroyed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The list of destroyed keys.",
            show_default="that of the settings, else that of the directory that was backed up",
        ),
    ] = None,
    without_destroyed: Annotated[
        bool,
        typer.Option(
            "--without-destroyed", help="The list is lost: bring back whom was erased after the backup."
        ),
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty data directory, with everybody erased since kept erased.

    Checks every file, destroys the keys that the list names, folds the projections and prints their digests. Cut short,
    repeat it as it was.
    """
    from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE
    from touchbook.streams.backup import Restore

    settings = settings_of(config, data=data, master_key=master_key)
    one_machine(settings, "Kafka keeps the journal and its keys: put its disks back, and `touchbook rebuild`")
    manifest = Restore(backup, settings.data).manifest()
    if settings.master_key is None and MASTER_KEY_FILE not in manifest["keys"]:
        raise WrongUse("--master-key: this backup holds no master key; name the file it was made with")
    if settings.master_key is not None and not settings.master_key.is_file():
        raise WrongUse(f"--master-key: there is no file {settings.master_key}; name the one it was made with")
    with _repeatable("restore", settings.data, backup):
        names = _list(settings, manifest, destroyed, without_destroyed)
        elsewhere = settings.destroyed_keys is not None
        asked = Restore(backup, settings.data, keys, names, elsewhere, without_destroyed)
        asked.bring(lambda name: say(f"restoring {name}"))
        told = _made_anew(settings)
        asked.finish()
    if settings.master_key is not None:
        say(
            f"its master key stays in {settings.master_key}: name that whenever it is opened (--master-key, "
            f"TOUCHBOOK_MASTER_KEY), or copy it to {settings.data / MASTER_KEY_FILE}"
        )
    done = {
        "data": str(settings.data),
        "journal": manifest["journal"],
        "made_at": manifest["made_at"],
        **told,
    }
    if as_json:
        show_json(done)
        return
    digests = done.pop("digests")
    show_rows(
        ("what", "value"), [*done.items(), *((f"digest of {one}", hex) for one, hex in digests.items())]
    )


@contextmanager
def _repeatable(command: str, into: Path, source: Path) -> Iterator[None]:
    """A disk that refuses ends the command with what to do next. Raises Failed."""
    from touchbook.streams.backends.sqlite import told_as_ours

    try:
        with told_as_ours():
            yield
    except StoreUnavailable as error:
        why = _why(error)
        remedy = (
            remedy_for(why)
            or f"look at its disk and that of {source} (room, quota, errors), owner and rights"
        )
        raise Failed(
            f"the {command} into {into} is not complete ({why}); {remedy}, and repeat `touchbook {command}` as it was; "
            f"{source} is unchanged"
        ) from error


def _why(error: BaseException) -> str:
    """The words of SQLite or the system, with the file where they come with one."""
    if error.__cause__ is not None:
        return _why(error.__cause__)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _list(
    settings: Settings, manifest: Manifest, destroyed: Path | None, without_destroyed: bool
) -> Path | None:
    """The list of destroyed keys to hold the keyring against; None where it is lost. One that the settings name
    elsewhere also takes over what another list names."""
    from touchbook.streams.destroyed import DestroyedKeys

    elsewhere = settings.destroyed_keys
    if destroyed is not None and not destroyed.is_file():
        raise WrongUse(f"--destroyed: there is no file {destroyed}; name the list of destroyed keys")
    if destroyed is None and elsewhere is not None and elsewhere.is_file():
        return elsewhere
    found = destroyed or Path(manifest["destroyed_keys"])
    if not found.is_file():
        if without_destroyed:
            return None
        raise WrongUse(
            f"--destroyed: the list of destroyed keys is not where it was ({found}); name it, or say "
            "--without-destroyed and everybody erased since the backup is back"
        )
    names = DestroyedKeys(found).read()  # raises FormatUnknown for another file
    if elsewhere is None:
        return found
    kept = DestroyedKeys(elsewhere)
    kept.append(sorted(set(names).difference(kept.read())))
    return elsewhere


def _made_anew(settings: Settings) -> dict[str, object]:
    from touchbook.cli.output import progress
    from touchbook.positions import token_of
    from touchbook.streams.rebuild import rebuild
    from touchbook.wiring import open_book

    book = open_book(settings)
    try:
        with progress("folding", "touchpoints") as tell:
            rebuild(
                settings.data,
                book.journal,
                book.folder,
                book.version,
                lambda done, head: tell(done, head, done),
            )
        waiting = book.erasures.finish()
        return {
            "position": token_of(book.journal.head()),
            "version": book.version,
            "destroyed_keys": len(book.keyring.destroyed()),
            "erasures_under_way": len(waiting),
            "digests": book.projections.digest(),
        }
    finally:
        book.close()
