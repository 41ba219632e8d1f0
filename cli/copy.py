"""`touchbook copy`: the journal of one machine, moved up to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from touchbook.cli.exits import WrongUse
from touchbook.cli.options import AsJson, Config, Data, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows


def copy(
    from_: Annotated[
        Path, typer.Option("--from", metavar="DIR", help="The data directory to copy, of one machine.")
    ],
    journal: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="kafka://HOST:PORT[,…]",
            help="The journal on Kafka.",
            show_default="setting journal",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Parts of the new journal, for ever.", show_default="8"),
    ] = None,
    master_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the master key of what is copied; every process of the copy needs the same.",
            show_default="master.key in DIR",
        ),
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy a journal of one machine into Kafka: touchpoints, keys, access keys, receipts, what was set aside, and
    the audit trail.

    Makes the topics. Customers keep their permanent ids, and digests of both sides are equal once workers have folded
    the copy. Cut short, it goes on where it was. Works beside a server that goes on writing: stop the doors, run it
    once more for the rest, and start replicas on the copy.
    """
    settings = settings_of(
        config,
        data=data,
        journal=journal,
        kafka_parts=partitions,
        master_key=master_key or from_ / "master.key",
    )
    if settings.journal is None:
        raise WrongUse("--to: expected kafka://HOST:PORT")
    from touchbook.wiring_tools import copy_journal

    with progress("Copying", "touchpoints") as tell:
        copied = copy_journal(settings, from_, lambda done, head: tell(done, head, done))
    if as_json:
        show_json(copied._asdict())
        return
    show_rows(("what", "copied"), copied._asdict().items())
    say(
        "give every worker and replica the same master key, and compare with `touchbook digest` on both sides"
    )
