"""The worker's job written plainly in Quix Streams: `python -m benchmarks.plain.quix_worker FILE`, of settings.

As its manual has it: a StreamingDataFrame with state (RocksDB) whose changes go to a changelog topic, a BatchingSink
for ClickHouse, `to_topic` for what is published. What was chosen:

state      one key for each day and register of a subject, not one for the whole subject, which would be read and
           written whole for each record
batches    a checkpoint, which is one insert for each table and partition, after 10,000 records (what ClickHouse wants
           in an insert) or a second, by `commit_every` and `commit_interval` as the manual of the sinks says. Larger
           ones would make it wait longer at the end, as a long `consumer_poll_timeout` would.
           Of a row that changed more than once in a batch the last is written, in columns
topics     JSON by orjson, which is what Quix uses, without the journal's headers
otherwise  its defaults: librdkafka, idempotent, at least once
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from quixstreams import Application, message_context
from quixstreams.models.serializers.json import JSONSerializer
from quixstreams.sinks import BatchingSink, SinkBatch
from quixstreams.utils.json import dumps

from benchmarks.plain.stream_job import Change, Job, Tables, settings_of
from touchbook.streams.backends.kafka_records import record_of

GROUP = "quix"


class ClickHouseSink(BatchingSink):
    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables

    def write(self, batch: SinkBatch) -> None:
        self._tables.write(item.value for item in batch)


def main(arguments: Sequence[str]) -> None:
    settings = settings_of(arguments)
    job = Job(settings)
    app = Application(
        broker_address=job.place.bootstrap[0],
        consumer_group=f"{settings.topic_prefix}.{GROUP}",
        auto_offset_reset="earliest",
        commit_interval=1.0,
        commit_every=10_000,
        consumer_poll_timeout=0.1,
        state_dir=settings.data / GROUP,
        loglevel="ERROR",
    )
    journal = app.topic(job.place.topic("journal"), value_deserializer="bytes")
    as_json = JSONSerializer(dumps=lambda change: dumps(change.told))
    published = {
        table: app.topic(job.place.topic(f"{GROUP}.{table}"), key_serializer="str", value_serializer=as_json)
        for table in ("ledger", "registers")
    }

    def fold(value: Any, key: Any, timestamp: int, headers: Any, state: Any) -> list[Change]:
        at = message_context()
        return job.changes_of(record_of(at.partition, at.offset, timestamp, key, value, headers), state)

    changes = app.dataframe(journal).apply(fold, stateful=True, metadata=True, expand=True)
    changes = changes.set_headers(lambda *_: [])
    told = changes.filter(lambda change: change.told is not None)
    told.to_topic(lambda change, *_: published[change.table], key=lambda change: change.key)
    changes.sink(ClickHouseSink(Tables(settings)))
    app.run()


if __name__ == "__main__":
    main(sys.argv[1:])
