"""`touchbook keys`: who may publish and read. Works before the first start and beside a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import Commands
from touchbook.cli.options import AsJson, Config, Data, settings_of
from touchbook.cli.output import say, show_json, show_line, show_rows

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.streams.control import AccessKey, Control

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Create, list and revoke access keys.")

COLUMNS = ("id", "role", "source", "name", "channel", "origins", "created", "revoked")


@app.command()
def create(
    role: Annotated[str, typer.Option(help="publish, channel, read-scores, agent or admin.")],
    source: Annotated[
        str, typer.Option(metavar="NAME", help="The service that will use it; names all it publishes.")
    ],
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="The channel of its items that do not say.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A web origin that may send it from a browser, which makes the key public; may be repeated.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="The person who gets it: shown in the desk, and beside what he does there."),
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create an access key. It is shown once and kept nowhere."""
    with _control(settings_of(config, data=data), make=True) as control:
        key, secret = control.create_key(role, source, channel, tuple(origin or ()), name)
    if as_json:
        show_json({"key": secret, **_shown(key)})
        return
    show_line(secret)
    say(f"key {key.id} of role {role} for {source}; this is the only time it is shown")


@app.command("list")
def list_keys(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """List every access key ever made, without its secret."""
    with _control(settings_of(config, data=data)) as control:
        keys = [_shown(key) for key in control.list_keys()]
    if as_json:
        show_json({"items": keys})
        return
    show_rows(COLUMNS, ([*_cells(key)] for key in keys))


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `touchbook keys list`.")],
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an access key: from now on it opens nothing."""
    with _control(settings_of(config, data=data)) as control:
        key = _shown(control.revoke_key(id))
    if as_json:
        show_json(key)
        return
    show_rows(COLUMNS, [_cells(key)])


@contextmanager
def _control(settings: Settings, *, make: bool = False) -> Iterator[Control]:
    """Only what keys need is opened, so that a running server is no hindrance; `make` starts a new directory."""
    if settings.journal is not None:
        from touchbook.wiring_tools import shared_control

        with shared_control(settings) as shared:
            yield shared
        return
    from touchbook.streams.backends.sqlite_control import SqliteControl
    from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
    from touchbook.streams.now import now

    keyring = SqliteKeyring.at(
        settings.data, settings.master_key, create=make, destroyed_keys=settings.destroyed_keys
    )
    try:
        control = SqliteControl.at(settings.data, keyring, now)
        try:
            yield control
        finally:
            control.close()
    finally:
        keyring.close()


def _shown(key: AccessKey) -> dict[str, Any]:
    from touchbook.schemas.times import rfc3339

    return {
        "id": key.id,
        "role": key.role,
        "source": key.source,
        "name": key.name,
        "channel": key.channel,
        "origins": list(key.origins),
        "created_at": rfc3339(key.created_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }


def _cells(key: dict[str, Any]) -> list[object]:
    return [*list(key.values())[:5], " ".join(key["origins"]), key["created_at"], key["revoked_at"]]
