"""`touchbook set-aside`: what could not be accepted, and trying it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from touchbook.cli.exits import FAILED, Commands, RefusedByServer, WrongUse
from touchbook.cli.options import AsJson, Config, Data, Key, To, one_place, settings_of
from touchbook.cli.output import say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.cli.remote import Server
    from touchbook.wiring import Book

PAGE = 500

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="List what could not be accepted, and try it again."
)


class Tray(Protocol):
    """Where things are set aside: a data directory or a running server."""

    def page(self, limit: int, cursor: str | None) -> dict[str, Any]: ...

    def redrive(self, key: str) -> dict[str, Any]: ...


@app.command("list")
def list_items(
    limit: Annotated[int, typer.Option(min=1, help="Most items to show.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="`next` of an earlier answer, to go on from there.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --data: only what this source sent.")
    ] = None,
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List what is set aside, newest first, with the reason. Only --json shows what was sent."""
    with _tray(data, to, key, config, source) as tray:
        found = tray.page(min(limit, PAGE), cursor)
        while found["next"] and len(found["items"]) < limit:
            more = tray.page(min(limit - len(found["items"]), PAGE), found["next"])
            found = {"items": found["items"] + more["items"], "next": more["next"]}
    if as_json:
        show_json(found)
        return
    show_rows(
        ("key", "received", "source", "code", "reason"),
        (
            (item["key"], item["received_at"], item["source"], item["code"], item["reason"])
            for item in found["items"]
        ),
    )


@app.command()
def redrive(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys from `set-aside list`.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is set aside now.")] = False,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --all and --data: only what this source sent.")
    ] = None,
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Try what is set aside once more, with its own id and the time it was received.

    With --data no server may write there; ask a running one with --to and a key of role admin. Ends with 1 if
    anything was rejected again; that stays set aside.
    """
    if bool(keys) == all_:
        raise WrongUse("KEY, --all: expected keys of items, or --all for everything")
    with _tray(data, to, key, config, source, writing=True) as tray:
        outcomes = [{"key": one, **tray.redrive(one)} for one in keys or _all_keys(tray)]
    kept = sum(one["outcome"] == "rejected" for one in outcomes)
    if as_json:
        show_json({"items": outcomes})
    else:
        columns = ("key", "outcome", "position", "code", "message")
        show_rows(columns, ([one[name] for name in columns] for one in outcomes))
    if kept:
        say(f"{kept} of {len(outcomes)} were rejected again and stay set aside")
        raise typer.Exit(FAILED)


def _all_keys(tray: Tray) -> list[str]:
    """Taken before the first is tried, so that what is set aside meanwhile does not keep this going for ever."""
    keys: list[str] = []
    cursor: str | None = None
    while True:
        page = tray.page(PAGE, cursor)
        keys += (item["key"] for item in page["items"])
        cursor = page["next"]
        if cursor is None:
            return keys


@contextmanager
def _tray(
    data: Path | None,
    to: str | None,
    key: str | None,
    config: Path | None,
    source: str | None,
    writing: bool = False,
) -> Iterator[Tray]:
    one_place(data, to)
    if to is not None:
        from touchbook.cli.remote import Server

        if source is not None:
            raise WrongUse("--source: with --to the key decides whose items are shown; leave it out")
        with Server(to, key) as server:
            yield _OnServer(server)
        return
    settings = settings_of(config, data=data)
    if writing:
        from touchbook.cli.sending import writing as opened
    else:
        from touchbook.cli.upkeep import reading as opened
    with opened(settings) as book:
        yield _InDirectory(book, source)


class _OnServer:
    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, limit: int, cursor: str | None) -> dict[str, Any]:
        return self._server.get("/v1/set-aside", {"limit": limit, "cursor": cursor})

    def redrive(self, key: str) -> dict[str, Any]:
        from touchbook.cli.remote import segment

        try:
            return self._server.post(f"/v1/set-aside/{segment(key)}:redrive")
        except RefusedByServer as error:
            if error.status != 422:
                raise
            return {"outcome": "rejected", "position": None, "code": error.code, "message": error.said}


class _InDirectory:
    def __init__(self, book: Book, source: str | None) -> None:
        self._book = book
        self._source = source

    def page(self, limit: int, cursor: str | None) -> dict[str, Any]:
        items, following = self._book.control.list_set_aside(self._source, limit, cursor)
        return {"items": [item.to_json() for item in items], "next": following}

    def redrive(self, key: str) -> dict[str, Any]:
        from touchbook.positions import token_of

        outcome = self._book.admission.redrive(key).result()
        return {
            "outcome": outcome.outcome,
            "position": None if outcome.position is None else token_of(outcome.position),
            "code": outcome.code or None,
            "message": outcome.message or None,
        }
