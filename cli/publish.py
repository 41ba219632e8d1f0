"""`touchbook publish`: a file of touchpoints, through a server's door or straight into a journal."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from touchbook.cli.exits import FAILED, WrongUse
from touchbook.cli.options import AsJson, Config, Data, Key, To, one_place, settings_of
from touchbook.cli.output import say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.cli.remote import OnWait
    from touchbook.cli.sending import Counts
    from touchbook.streams.admission import Publisher


def publish(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, a JSON array, or CSV; - reads stdin.")
    ],
    to: To = None,
    key: Key = None,
    data: Data = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Whose touchpoints these are. With --to it is the key's own source."
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --data: the channel of items that do not say.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="json|csv", help="What FILE is.", show_default="by its name and options"
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=FIELD",
            help="CSV: a column is type, id, time, channel, identifiers.user_id (or another kind) or a field of the "
            "data; may be repeated. Columns that are not mapped keep their names; COLUMN= leaves one out.",
        ),
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV: a YAML file of `column: field` lines; --map wins."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="CSV: a field that all rows have; may be repeated."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=5000, help="Most items sent at once.")] = 500,
    patience: Annotated[
        float,
        typer.Option(min=0, help="Seconds to go on trying while the server does not answer or is busy."),
    ] = 30.0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Publish a file of CloudEvents, Segment calls or CSV rows.

    What has an id, or a time to make one from, may be sent again at any time: it is recorded once. CSV rows without an
    id get one made from what they say. `sentAt` is ignored: it is not the moment this file is sent. Ends with 1 if any
    line was rejected (and set aside) or not sent (no item at all, or too large); both are listed with line and code.
    """
    from touchbook.cli.columns import Columns, mapping_in, pairs
    from touchbook.cli.inputs import csv_lines, json_lines
    from touchbook.cli.remote import Server
    from touchbook.cli.sending import Counts, Door, Straight, Taker, send_all, writing

    one_place(data, to)
    counts = Counts()
    with ExitStack() as open_things:
        opened = open_things.enter_context(nullcontext(sys.stdin.buffer) if file == "-" else _open(file))
        constants = pairs(set_ or [], "--set")
        mapping = {**(mapping_in(columns) if columns else {}), **pairs(map_ or [], "--map")}
        if _is_csv(form, file, bool(mapping or constants)):
            lines = csv_lines(opened, lambda header: Columns(header, mapping, constants, source))
        else:
            lines = json_lines(opened)
        if to is not None:
            if channel is not None:
                raise WrongUse(
                    "--channel: with --to it is the key's own; let the items say another one themselves"
                )
            server = open_things.enter_context(Server(to, key))
            taker: Taker = Door(server, patience, _told_once())
        else:
            publisher = _publisher(source, channel)
            taker = Straight(open_things.enter_context(writing(settings_of(config, data=data))), publisher)
        send_all(lines, taker, batch, source, counts, _size(opened))
    _show(counts, as_json)
    if counts.rejected or counts.not_sent:
        raise typer.Exit(FAILED)


def _is_csv(form: str | None, file: str, has_columns: bool) -> bool:
    if form not in (None, "json", "csv"):
        raise WrongUse("--format: expected json or csv")
    if form == "json" and has_columns:
        raise WrongUse("--format: --map, --columns and --set are for CSV; leave them out")
    return form == "csv" or (form is None and (has_columns or file.lower().endswith((".csv", ".tsv"))))


def _open(file: str) -> BinaryIO:
    try:
        return open(file, "rb")
    except OSError as error:
        raise WrongUse(f"FILE: {file} cannot be read ({error.strerror})") from None


def _size(file: BinaryIO) -> int | None:
    """How many bytes there are to read; None where nobody knows."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _publisher(source: str | None, channel: str | None) -> Publisher:
    from touchbook.streams.admission import Publisher
    from touchbook.streams.control import SOURCE_NAME

    if source is None:
        raise WrongUse(
            "--source: with --data, say whose touchpoints these are; or publish through a server with --to"
        )
    for option, name in (("--source", source), ("--channel", channel)):
        if name is not None and not SOURCE_NAME.fullmatch(name):
            raise WrongUse(f"{option}: expected a name like web-shop, {SOURCE_NAME.pattern}")
    return Publisher(source=source, channel=channel)


def _told_once() -> OnWait:
    """Says why it waits, once for each reason: a server that restarts is news, its every second is not."""
    told: set[str] = set()

    def on_wait(why: str, seconds: float) -> None:
        if why not in told:
            told.add(why)
            say(f"the server takes nothing now ({why}); trying again, from now on in silence")

    return on_wait


def _show(counts: Counts, as_json: bool) -> None:
    lists = {"rejected": counts.rejected, "not_sent": counts.not_sent}
    if as_json:
        show_json({**counts.told, **{f"{name}_lines": lines for name, lines in lists.items()}})
        return
    for name, lines in lists.items():
        if lines:
            show_rows(("", "line", "code", "message"), ([name, *line.values()] for line in lines))
    show_rows(("what", "touchpoints"), counts.told.items())
