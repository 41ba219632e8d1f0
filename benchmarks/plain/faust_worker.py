"""The worker's job as a plain Faust agent: `python -m benchmarks.plain.faust_worker FILE`, of settings.

As its manual has it: its own transport, `async for` over the events of the journal, a table in memory whose changes go
to a changelog topic. That topic is compacted and holds each ledger day and register, so it is what is published, and
nothing is sent twice. Rows go to ClickHouse a thousand records at
a time, or after a second, in a thread beside the loop. It commits every second, which otherwise would only make it
wait longer at the end; all else as it comes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import faust

from benchmarks.plain.stream_job import Change, Job, Tables, settings_of
from touchbook.settings import Settings
from touchbook.streams.backends.kafka_records import record_of

GROUP = "faust"
ROWS = 1_000


class Kept:
    """A table as the job's state."""

    def __init__(self, table: Any) -> None:
        self.get = table.get
        self.set = table.__setitem__


def app_of(settings: Settings) -> faust.App:
    job, parts = Job(settings), settings.kafka_parts
    tables = Tables(settings)
    app = faust.App(
        f"{settings.topic_prefix}.{GROUP}",
        broker=f"kafka://{job.place.bootstrap[0]}",
        store="memory://",
        datadir=settings.data / GROUP,
        topic_partitions=parts,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        web_enabled=False,
    )
    journal = app.topic(
        job.place.topic("journal"), key_type=bytes, value_type=bytes, value_serializer="raw", partitions=parts
    )
    state = Kept(app.Table("rows", partitions=parts))
    waiting: list[Change] = []
    one = asyncio.Lock()

    async def write() -> None:
        async with one:
            rows = waiting[:]
            waiting.clear()
            if rows:
                await asyncio.to_thread(tables.write, rows)

    @app.agent(journal)
    async def fold(stream: Any) -> AsyncIterator[None]:
        folded = 0
        async for event in stream.events():
            at = event.message
            record = record_of(
                at.partition, at.offset, round(at.timestamp * 1000), at.key, at.value, at.headers
            )
            waiting.extend(job.changes_of(record, state))
            folded += 1
            if folded % ROWS == 0:
                await write()
            yield None

    @app.timer(1.0)  # type: ignore[untyped-decorator]
    async def write_the_rest() -> None:
        await write()

    return app


def main(arguments: Sequence[str]) -> None:
    faust.Worker(
        app_of(settings_of(arguments)), loglevel="ERROR", redirect_stdouts=False
    ).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1:])
