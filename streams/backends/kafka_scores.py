"""The compacted topic of scores, and in a file of this process what it says last of each customer."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from touchbook.streams.backends.followed import FollowedFile, Offsets
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_records import part_for
from touchbook.streams.backends.kafka_topics import SCORES
from touchbook.streams.backends.sqlite import connect, create_tables, insert, statement, transaction
from touchbook.streams.scores_topic import Digest, content_in, digest_of

FILE = "scores-told.sqlite"


class KafkaScores(FollowedFile):
    """See `scores_topic.Told`. The file is filled from the topic alone, so that it never knows better."""

    def __init__(self, directory: Path, place: KafkaPlace, producer: Producer, parts: int) -> None:
        """Opens DIR/scores-told.sqlite; `parts` is how many the topic has."""
        self._place, self._producer, self._parts = place, producer, parts
        self._db = connect(directory / FILE)
        create_tables(self._db, "scores_told_schema")
        self._offsets = Offsets(self._db)
        self._lock = threading.Lock()
        self._read_back: set[str] = set()
        self._follower: TopicFollower | None = None

    def start(self) -> None:
        self._follower = TopicFollower(self._place, [SCORES], self, "scores")
        self._follower.start()

    def stop(self) -> None:
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def close(self) -> None:
        self.stop()
        with self._lock:
            self._db.close()

    def caught_up(self, seconds: float) -> bool:
        return self._follower is not None and self._follower.caught_up(seconds)

    def of(self, customers: Collection[str]) -> dict[str, Digest]:
        with self._lock:
            return self._of(customers)

    def between(self, after: str, last: str) -> dict[str, Digest]:
        with self._lock:
            return dict(
                self._db.execute(statement("scores_told_between"), {"after": after, "last": last}).fetchall()
            )

    def read_back(self) -> set[str]:
        with self._lock:
            found, self._read_back = self._read_back, set()
            return found

    def tell(self, values: Mapping[str, bytes | None]) -> None:
        topic = self._place.topic(SCORES)
        rows = [Row(topic, part_for(who, self._parts), who.encode(), value) for who, value in values.items()]
        self._producer.send(rows).result()

    # What the follower brings

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        with self._lock:
            said = {
                record.key.decode("ascii", "replace"): record.value
                for record in self._offsets.beyond(records)
            }
            known = self._of(said)
            here = {
                who: None if value is None else digest_of(content_in(value)) for who, value in said.items()
            }
            with transaction(self._db):
                gone = json.dumps([who for who, digest in here.items() if digest is None])
                self._db.execute(statement("scores_told_drop"), (gone,))
                insert(self._db, "scores_told_put", [one for one in here.items() if one[1] is not None])
                self._offsets.write(offsets)
            self._read_back |= {who for who, digest in here.items() if known.get(who) != digest}

    def forget(self) -> None:
        with self._lock:
            self._db.executescript(statement("scores_told_forget"))

    def _of(self, customers: Collection[str]) -> dict[str, Digest]:
        return dict(self._db.execute(statement("scores_told_of"), (json.dumps(list(customers)),)).fetchall())
