"""Keeping an API replica's local file up with the compacted topics, of the build that serves now.

A build that is not here yet is filled into a file of its own beside the one that is read, from the beginning of its
topics, and takes its place when it is in step and tells all that the other told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from touchbook.errors import StoreUnavailable
from touchbook.positions import offset_of, part_of, position_in
from touchbook.projections.stores.replica import (
    NOTHING,
    Place,
    ReplicaFile,
    ReplicaProjections,
    topics_of,
)
from touchbook.projections.stores.sqlite import clear, discard, make_serving
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Followed, Read, TopicFollower
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.backends.kafka_topics import JOURNAL, described
from touchbook.streams.follow import LONGEST_PAUSE, OnFolded

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often brokers are asked where the journal ends, and which build serves."""
SHORT_SECONDS = 0.05
KEPT_LOOKS = 600
_NOWHERE = Place(0, 0)


class TopicsFollowed(Protocol):
    """A thread that fills a store from topics; see `TopicFollower`."""

    @property
    def stopped_because(self) -> str | None: ...

    @property
    def failing_because(self) -> str | None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def caught_up(self, timeout: float) -> bool: ...


class Source(Protocol):
    """Where the topics are."""

    def follow(self, topics: Sequence[str], store: Followed) -> TopicsFollowed: ...

    def heads(self) -> Mapping[int, int]:
        """The last position of each part of the journal that has one. Raises StoreUnavailable."""

    def close(self) -> None: ...


class KafkaSource:
    """See `Source`."""

    def __init__(self, place: KafkaPlace) -> None:
        self._place = place
        self._tails = KafkaTails(place)
        self._parts = 0

    def follow(self, topics: Sequence[str], store: Followed) -> TopicFollower:
        return TopicFollower(self._place, topics, store, "replica")

    def heads(self) -> dict[int, int]:
        self._parts = self._parts or described(self._place).parts
        asked = [(self._place.topic(JOURNAL), part) for part in range(self._parts)]
        return {part: position_in(part, end - 1) for (_, part), end in self._tails.ends(asked).items() if end}

    def close(self) -> None:
        self._tails.close()


class ReplicaFollower:
    """See `Following`. `folded` counts what was taken since the start; where in the journal that is, `shows` knows."""

    def __init__(
        self,
        directory: Path,
        place: KafkaPlace,
        serving: Callable[[], str | None],
        projections: ReplicaProjections,
        observe_visible: Callable[[float], None] = lambda seconds: None,
        *,
        source: Callable[[KafkaPlace], Source] = KafkaSource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`serving` names the build that serves, and is asked again and again. `observe_visible` is told how long a
        record was recorded before readers could see it, once for each stretch that became visible."""
        self._directory = directory
        self._serving = serving
        self._observe_visible = observe_visible
        self._source = source(place)
        self._clock = clock
        self._closing = threading.Event()
        self._moved = threading.Condition()
        self._listeners: list[OnFolded] = []
        self._folded = 0
        self._build = _Build(ReplicaFile(projections.file), self._source, self._took)
        self._places: dict[int, Place] = {}
        self._heads: Mapping[int, int] = {}
        self._looks: deque[tuple[float, Mapping[int, int]]] = deque(maxlen=KEPT_LOOKS)
        self._looked = self._in_step = 0.0
        self._thread = threading.Thread(target=self._run, name="replica", daemon=True)
        self.stopped_because: str | None = None
        self.failing_because: str | None = None

    def start(self) -> None:
        clear(self._directory)  # what a start before this one did not come to the end of
        self._took(self._build)
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """May be called again."""
        self._closing.set()
        with self._moved:
            self._moved.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._build.close()
        self._source.close()

    @property
    def folded(self) -> int:
        return self._folded

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def unreadable(self) -> int:
        """Workers fold, and count what they cannot."""
        return 0

    @property
    def lag(self) -> int:
        """Records that were in the journal when brokers were last asked, and that readers cannot see yet."""
        with self._moved:
            return sum(
                max(offset_of(head) - offset_of(self._told(part).position), 0)
                for part, head in self._heads.items()
            )

    def staleness(self) -> float:
        """At most how many seconds what readers see is behind the journal; 0 when it is in step."""
        with self._moved:
            self._note_steps()
            behind = [part for part, head in self._heads.items() if self._told(part).position < head]
            since = self._clock() - self._in_step
            if not behind:
                return 0.0 if since < 2 * LOOK_SECONDS else since  # brokers cannot be asked
            # All of a part that was recorded until its newest marker is here.
            by_markers = self._clock() - min(self._told(part).recorded_at for part in behind) / 1000
            return max(min(since, by_markers), 0.0)

    def shows(self, position: int) -> bool:
        return self._told(part_of(position)).position >= position

    def wait(self, position: int, timeout: float) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: self.shows(position) or self._closing.is_set(), timeout)
            return self.shows(position)

    def listen(self, listener: OnFolded) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # What is known

    def _told(self, part: int) -> Place:
        return self._places.get(part, _NOWHERE)

    def _note_steps(self) -> None:
        """Where all that the journal held at a time is here by now, readers see what was acknowledged by then."""
        while self._looks and all(
            self._told(part).position >= head for part, head in self._looks[0][1].items()
        ):
            self._in_step = self._looks.popleft()[0]

    def _look(self) -> None:
        asked = self._clock()
        if asked - self._looked < LOOK_SECONDS / 2:
            return
        self._looked = asked
        try:
            heads = self._source.heads()
        except StoreUnavailable as error:
            self.failing_because = str(error)
            return
        with self._moved:
            self._heads = heads
            self._looks.append((asked, heads))
            self._note_steps()
        self.failing_because = self._build.failing_because
        self.stopped_because = self._build.stopped_because

    def _took(self, build: _Build) -> None:
        """Something was taken into a build, or it serves from now on."""
        if build is not self._build:
            return
        with self._moved:
            seen, self._places = self._places, build.places
            self._folded += 1
            self._moved.notify_all()
        for listener in list(self._listeners):
            listener(self._folded)
        now = self._clock()
        for part, place in build.places.items():
            if place != seen.get(part, place):
                self._observe_visible(max(now - place.recorded_at / 1000, 0.0))

    # The thread

    def _run(self) -> None:
        self._build.follow()
        pause = 0.0
        while not self._closing.wait(pause):
            self._look()
            pause = LOOK_SECONDS
            wanted = self._serving()
            if wanted is None or wanted == self._build.name:
                continue
            try:
                self._go_over_to(wanted)
            except _NotWanted:
                continue
            except (
                Exception
            ) as error:  # a full disk, say: what is read goes on, and nothing is lost by trying again
                self.failing_because = f"{type(error).__name__}: {error}"
                log.warning("build %s could not be filled here: %s", wanted, self.failing_because)
                pause = LONGEST_PAUSE

    def _go_over_to(self, name: str) -> None:
        """Fills the build beside the one that is read, and has it read once it tells all that the other does."""
        log.info("filling build %s", name)
        path = ReplicaFile.fresh(self._directory, name)
        before, build = self._build, _Build(ReplicaFile(path), self._source, self._took)
        try:
            build.file.hurry()
            build.follow()
            self._until(lambda: build.caught_up(LOOK_SECONDS), build)
            build.unfollow()
            build.file.settle()
            build.follow()
            self._until(lambda: build.caught_up(LOOK_SECONDS) and build.covers(self._places), build)
            before.unfollow()
            self._until(lambda: build.covers(self._places), build)
            make_serving(self._directory, path)
        except BaseException:
            build.close()
            discard(path)
            before.follow()
            raise
        self._build = build
        before.close()
        self._took(build)
        log.info("build %s is read from now on", name)

    def _until(self, reached: Callable[[], bool], build: _Build) -> None:
        while not reached():
            self._look()
            if self._closing.wait(SHORT_SECONDS) or self._serving() != build.name:
                raise _NotWanted
            if build.file.broken or build.stopped_because:
                raise StoreUnavailable(
                    build.stopped_because or build.failing_because or "the file is damaged"
                )


class _NotWanted(Exception):
    """The build that is being filled need not be filled any more."""


class _Build:
    """A build's file, who fills it, and how far it is told there. See `Followed`."""

    def __init__(self, file: ReplicaFile, source: Source, took: Callable[[_Build], None]) -> None:
        self.file = file
        self.name = file.build
        self.places = file.folded()
        self._source = source
        self._took = took
        self._follower: TopicsFollowed | None = None

    def follow(self) -> None:
        if self._follower is None and self.name != NOTHING:
            self._follower = self._source.follow(topics_of(self.name), self)
            self._follower.start()

    def unfollow(self) -> None:
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def close(self) -> None:
        self.unfollow()
        self.file.close()

    def caught_up(self, timeout: float) -> bool:
        return self._follower is not None and self._follower.caught_up(timeout)

    def covers(self, places: Mapping[int, Place]) -> bool:
        return all(
            self.places.get(part, _NOWHERE).position >= place.position for part, place in places.items()
        )

    @property
    def stopped_because(self) -> str | None:
        return self._follower.stopped_because if self._follower else None

    @property
    def failing_because(self) -> str | None:
        return self._follower.failing_because if self._follower else None

    def offsets(self) -> Mapping[At, int]:
        return self.file.offsets()

    def in_step_at(self) -> int:
        return self.file.in_step_at()

    def in_step(self, at: int) -> None:
        self.file.in_step(at)

    def forget(self) -> None:
        self.file.forget()
        self._moved_on()

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        self.file.apply(records, offsets)
        self._moved_on()

    def _moved_on(self) -> None:
        self.places = self.file.folded()
        self._took(self)
