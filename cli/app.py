"""All commands together."""

from __future__ import annotations

from typing import Annotated

import typer

import touchbook
from touchbook.cli import (
    audit,
    backup,
    config,
    copy,
    demo,
    doctor,
    erase,
    keys,
    policy,
    publish,
    reading,
    scorecard,
    serve,
    set_aside,
    tail,
    topics,
    upkeep,
    work,
)
from touchbook.cli.exits import MEANING, Commands
from touchbook.cli.output import show_line

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=MEANING,
    help="Touchbook: the book of every touchpoint between a company and its customers.",
)


def _version(asked: bool) -> None:
    if asked:
        show_line(f"touchbook {touchbook.__version__}")
        raise typer.Exit


@app.callback()
def _touchbook(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


app.command()(demo.demo)
app.command()(serve.serve)
app.command()(work.work)
app.command()(publish.publish)
app.command()(reading.timeline)
app.command()(reading.score)
app.command()(tail.tail)
app.command()(doctor.doctor)
app.command()(upkeep.rebuild)
app.command()(upkeep.digest)
app.command()(erase.erase)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(copy.copy)
app.add_typer(scorecard.app, name="scorecard")
app.add_typer(policy.app, name="policy")
app.add_typer(set_aside.app, name="set-aside")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(topics.app, name="topics")
app.add_typer(config.app, name="config")
