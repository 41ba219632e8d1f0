"""`touchbook audit`: who looked at whom, and whether the trail of it is whole. Works beside a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from touchbook.cli.exits import FAILED, Commands, Failed, WrongUse
from touchbook.cli.options import AsJson, Config, Data, settings_of
from touchbook.cli.output import say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.streams.audit import Audit, Entry, Verdict

HEAD_LETTERS = 64

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="List and verify who looked at whom, and did what."
)


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="A head that this told before: the trail must still contain it."),
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Verify that the audit trail is as it was written: nothing changed, removed, inserted or in another order.

    Tells its head, which covers all of it. Keep that elsewhere and give it the next time: it alone shows that the end
    was cut off, or all of it written anew. Ends with 1 where the trail is broken.
    """
    if head is not None and (len(head) != HEAD_LETTERS or set(head) - set("0123456789abcdef")):
        raise WrongUse(
            f"--head: expected {HEAD_LETTERS} hexadecimal digits, as `touchbook audit verify` tells them"
        )
    with _audit(settings_of(config, data=data)) as audit:
        verdict = audit.verify(head)
    told = {
        "whole": verdict.whole,
        "entries": verdict.entries,
        "head": verdict.head,
        "broken_at": verdict.broken_at,
        "why": verdict.why,
    }
    if as_json:
        show_json(told)
    else:
        show_rows(("what", "value"), told.items())
    if not verdict.whole:
        say(_what_to_do(verdict))
        raise typer.Exit(FAILED)


@app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most entries to show.")] = 50,
    before: Annotated[
        int | None,
        typer.Option(
            metavar="POSITION",
            min=1,
            help="Only those before this one: `next` of an earlier answer, to go on.",
        ),
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only what was done to the customer with this permanent id."),
    ] = None,
    who: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what was done with this access key.")
    ] = None,
    act: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only these acts, as viewed or revealed.")
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List who looked at whom, and did what, the newest first. It names customers by their permanent ids alone."""
    with _audit(settings_of(config, data=data)) as audit:
        found = audit.latest(limit + 1, before, who=who, act=act, customer=customer)
    more, found = len(found) > limit, found[:limit]
    if as_json:
        show_json({"items": [one.to_json() for one in found], "next": found[-1].position if more else None})
        return
    show_rows(("position", "at", "who", "name", "act", "customer", "details"), map(_cells, found))


@contextmanager
def _audit(settings: Settings) -> Iterator[Audit]:
    """Only what the trail needs is opened, so that a running server is no hindrance."""
    if settings.journal is not None:
        from touchbook.wiring_tools import shared_audit

        with shared_audit(settings) as shared:
            yield shared
        return
    from touchbook.streams.backends.sqlite_audit import FILE, SqliteAudit

    if not (settings.data / FILE).is_file():
        raise Failed(
            f"{settings.data} holds no audit trail: a server makes {FILE} at its first start. If it was there before, "
            "it was removed: put it back from a backup"
        )
    audit = SqliteAudit.at(settings.data)
    try:
        yield audit
    finally:
        audit.close()


def _what_to_do(verdict: Verdict) -> str:
    where, backup = "", "of the time that head is of"
    if verdict.broken_at is not None:
        where, backup = f" at position {verdict.broken_at}", f"that has more than {verdict.entries} entries"
    return (
        f"the audit trail is broken{where}: {verdict.why}. Keep it as it is, see who could write where it lies, and "
        f"compare it with a backup {backup}"
    )


def _cells(entry: Entry) -> list[object]:
    told = entry.to_json()
    details = " ".join(f"{name}={value}" for name, value in entry.details.items())
    return [*(told[name] for name in ("position", "at", "who", "name", "act", "customer")), details]
