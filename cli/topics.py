"""`touchbook topics`: what a journal on Kafka stands on, made and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from touchbook.cli.exits import FAILED, Commands, WrongUse
from touchbook.cli.options import AsJson, Config, Data, JournalAt, settings_of
from touchbook.cli.output import say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.streams.backends.kafka_topics import TopicReport

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Make and check the topics of a journal on Kafka.")


@app.command()
def ensure(
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Parts of a new journal: the most workers that can share its folding. Never changed afterwards.",
            show_default="8",
        ),
    ] = None,
    ingress: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Also the topic that this source publishes to; may be repeated."),
    ] = None,
    journal: JournalAt = None,
    master_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the master key.", show_default="master.key in the data directory"
        ),
    ] = None,
    phone_region: Annotated[
        str | None, typer.Option(metavar="XX", help="Country of phone numbers without +, fixed at creation.")
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make the topics that are not there, and compare those that are with what they should be.

    The first time it also makes the journal's identity key, and the master key if its file is not there: keep that file
    safe, and give it to every process. Changes nothing that is there. Ends with 1 where something differs.
    """
    settings = settings_of(
        config,
        data=data,
        journal=journal,
        kafka_parts=partitions,
        master_key=master_key,
        phone_region=phone_region,
    )
    if settings.journal is None:
        raise WrongUse("--journal: expected kafka://HOST:PORT; one machine has no topics")
    from touchbook.streams.control import OURS
    from touchbook.wiring_tools import ensure_topics

    if OURS in (ingress or ()):
        raise WrongUse(f"--ingress: expected another source than {OURS}, which is the server's own")

    reports = ensure_topics(settings, ingress or ())
    if as_json:
        show_json({"topics": [_told(one) for one in reports]})
    else:
        rows = [
            (one.topic, one.state, difference) for one in reports for difference in (one.differences or ("",))
        ]
        show_rows(("topic", "state", "what differs, and what to do"), rows)
    if any(one.state == "differs" for one in reports):
        say("nothing that was there has been changed")
        raise typer.Exit(FAILED)


def _told(report: TopicReport) -> dict[str, object]:
    return {"topic": report.topic, "state": report.state, "differences": list(report.differences)}
