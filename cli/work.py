"""`touchbook work`: a worker. It takes its share of the journal's parts and of the ingress topics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from touchbook.cli.exits import WrongUse
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, settings_of
from touchbook.cli.output import show_json
from touchbook.cli.serve import log_to_stderr


def work(
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    data: Data = None,
    master_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the master key.", show_default="master.key in the data directory"
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", show_default="info")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Fold the journal on Kafka into ClickHouse, and admit what services publish straight to Kafka.

    Start as many as there is work for, each with a data directory of its own; they share the parts of the journal
    among them, and take over from one that ends. Stops on SIGTERM or Ctrl-C within ten seconds. Ends with 1 where it
    makes no progress though there is work: let whatever started it start it again. With --json, a line on stdout says
    that it works, {"state": "working", "build": …, "url": …}, and one that it ends, {"state": "ending", "because": …}.
    """
    settings = settings_of(
        config,
        data=data,
        journal=journal,
        projections=projections,
        master_key=master_key,
        log_level=log_level,
    )
    if settings.journal is None or settings.projections is None:
        raise WrongUse(
            "--journal, --projections: expected kafka://HOST:PORT and clickhouse://USER:PASSWORD@HOST:PORT/DATABASE; "
            "on one machine `touchbook serve` folds by itself"
        )
    log_to_stderr(settings.log_level)
    from touchbook.wiring_many import work as run

    sys.exit(run(settings, tell=show_json if as_json else lambda said: None))
