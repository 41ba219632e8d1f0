"""`touchbook erase`: a customer erased for good, and the receipts of that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import FAILED, Failed, WrongUse
from touchbook.cli.options import AsJson, Config, Data, Key, To, one_place, settings_of
from touchbook.cli.output import say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.settings import Settings

PAGE = 500
Receipt = dict[str, Any]


def erase(
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="REF",
            help="The customer: a permanent id, or type:value, as user_id:42. With - it is read from standard input, "
            "which keeps an e-mail out of the process list and the shell's history.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Erase nobody: list the receipts, the newest first.")
    ] = False,
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Erase a customer for good: all his identifiers, everything that he did, here and in every restored backup.

    Where a server runs, ask it with --to and a key of role admin; --data is for a directory that no server writes.
    Cut short, it is completed by the same command or the next start. Ends with 1 while the last steps are under way.
    """
    one_place(data, to)
    if receipts == (ref is not None):
        raise WrongUse("REF, --receipts: expected a customer to erase, or --receipts to list what was erased")
    if ref is None:
        _show_receipts(list(_receipts(data, to, key, config)), as_json)
        return
    named = sys.stdin.readline().strip() if ref == "-" else ref
    _confirm(yes, as_json)
    receipt = _on_server(named, to, key) if to is not None else _here(named, settings_of(config, data=data))
    if as_json:
        show_json(receipt)
    else:
        _show(receipt)
    if receipt["state"] != "done":
        say("his keys are gone; the last steps are under way and go on by themselves: see --receipts")
        raise typer.Exit(FAILED)


def _confirm(yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise WrongUse("--yes: erasing cannot be undone; say --yes where nobody can be asked")
    typer.confirm("This cannot be undone. Erase this customer for good?", abort=True, err=True)


def _on_server(named: str, to: str, key: str | None) -> Receipt:
    from touchbook.cli.remote import Server
    from touchbook.sealing import new_key_id

    with Server(to, key) as server:
        return server.post("/v1/customers:erase", {**_body(named), "id": new_key_id()})


def _body(named: str) -> dict[str, str]:
    """E-mails and phone numbers are named as such, everything else as a reference."""
    from touchbook.cli.reading import PERSONAL

    type, _, value = named.partition(":")
    return {"type": type, "value": value} if type in PERSONAL else {"ref": named}


def _here(named: str, settings: Settings) -> Receipt:
    from touchbook.errors import JournalLocked, NotATouchbook
    from touchbook.streams.backends.sqlite_journal import FILE
    from touchbook.wiring import open_book

    if settings.journal is None and not (settings.data / FILE).is_file():
        raise NotATouchbook(str(settings.data))
    try:
        book = open_book(settings)
    except JournalLocked:
        raise Failed(
            f"a server writes the journal in {settings.data}; ask it: touchbook erase REF --to URL --key KEY"
        ) from None
    try:
        if settings.journal is not None:
            book.follower.start()
        body = _body(named)
        member = book.customers.id_of(named) if "ref" in body else book.customers.id_named(**body)
        book.erasures.finish()
        return book.erasures.erase(member)
    finally:
        book.close()


def _receipts(data: Path | None, to: str | None, key: str | None, config: Path | None) -> Iterator[Receipt]:
    cursor: str | None = None
    if to is not None:
        from touchbook.cli.remote import Server

        with Server(to, key) as server:
            while True:
                page = server.get("/v1/erasures", {"limit": PAGE, "cursor": cursor})
                yield from page["items"]
                if (cursor := page["next"]) is None:
                    return
    from touchbook.cli.upkeep import reading

    with reading(settings_of(config, data=data)) as book:
        while True:
            items, cursor = book.erasures.receipts.page(PAGE, cursor)
            yield from items
            if cursor is None:
                return


def _show_receipts(receipts: list[Receipt], as_json: bool) -> None:
    if as_json:
        show_json({"items": receipts})
        return
    columns = ("erasure", "state", "requested_at", "finished_at", "requested_by", "customer", "touchpoints")
    show_rows(columns, ([one[name] for name in columns] for one in receipts))


def _show(receipt: Receipt) -> None:
    rows: list[tuple[str, object]] = [(name, receipt[name]) for name in ("erasure", "state", "requested_at")]
    rows += [("finished_at", receipt["finished_at"]), ("customer", receipt["customer"])]
    rows += [("member", member) for member in receipt["members"]]
    rows += [("touchpoints no longer readable", receipt["touchpoints"])]
    rows += [("destroyed key", key) for key in receipt["destroyed_keys"]]
    rows += [(f"rows in {table}", count) for table, count in receipt["rows"].items()]
    rows += [("destroyed, was set aside", one) for one in receipt["set_aside"]]
    rows += [("still named by others", one) for one in receipt["named_by_others"]]
    rows += [(one["file"], one["done"]) for one in receipt["files"]]
    kept = receipt["destroyed_list"]
    rows += [("backups need", kept["file"]), ("sha256 of that", kept["sha256"])]
    rows += [("not reached", what) for what in receipt["not_reached"]]
    show_rows(("what", "value"), rows)
