"""What has to be true in the end, held against what was acknowledged and against one machine that was told the same."""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from tests.api.serving import serving as served
from tests.books import a_book, folded
from tests.cluster.answers import Desk, Identifier, at_the_desk, differences, told
from tests.cluster.load import KIOSK, SHOP, Told
from tests.cluster.machines import SECONDS, Machines, Serving, Working
from tests.faults.check import Findings
from touchbook.api.app import create_app
from touchbook.errors import BodyUnreadable
from touchbook.positions import offset_of, position_in, token_of
from touchbook.projections.compacted import KINDS, Erased, Marker, decode
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.projections.stores.replica import ReplicaProjections
from touchbook.projections.stores.sqlite import serving
from touchbook.streams.admission import Item, Publisher, key_of
from touchbook.streams.backends.kafka_records import record_of
from touchbook.streams.backends.kafka_tails import KafkaTails, Standing
from touchbook.streams.backends.kafka_topics import read_control
from touchbook.streams.worker_gathering import LOOK_SECONDS
from touchbook.wiring import Book, now

AT_ONCE = 2_000
CLOSE = 100
LEDGER = """
SELECT type || ':' || value, signal, day, count, total FROM ledger JOIN identifiers ON identifiers.id = ledger.subject
"""
ALL = "SELECT type, value FROM identifiers"
MARK = re.compile(r"poison-[0-9]+-0\.[0-9]+(?:e-[0-9]+)?")


@dataclass(repr=False)
class Traced(Findings):
    """And where what is lost was lost."""

    traces: list[str] = field(default_factory=list)


def build_of(machines: Machines) -> str:
    """The build that serves."""
    said = [value for key, value in read_control(machines.place) if key == b"serving" and value is not None]
    return str(orjson.loads(said[-1])["build"])


def standing(machines: Machines, build: str) -> dict[tuple[str, int], Standing]:
    """How far the groups have come. In the ingress topics first: what was acknowledged there is in the journal."""
    found: dict[tuple[str, int], Standing] = {}
    for group, topics in (
        ("ingress", [f"ingress.{source}" for source in machines.ingress]),
        (build, ["journal"]),
    ):
        with KafkaTails(machines.place, f"{machines.prefix}-{group}") as tails:
            found |= tails.standing(
                [(machines.place.topic(one), part) for one in topics for part in range(machines.parts)]
            )
    return found


def lag(machines: Machines, build: str) -> int:
    """Records that nobody has acknowledged: of ingress topics, and of the journal."""
    return sum(one.lag for one in standing(machines, build).values())


def drained(machines: Machines, build: str, seconds: float = SECONDS) -> float:
    """Waits until nothing is behind; how long that took."""
    began = time.monotonic()
    while (left := lag(machines, build)) > 0:
        assert time.monotonic() - began < seconds, f"{left} records are still not acknowledged"
        time.sleep(0.2)
    return time.monotonic() - began


def visible(machines: Machines, desk: Desk, ref: str, seconds: float = SECONDS) -> None:
    """Returns once a replica shows everything that is in the journal; `ref` is anybody it knows."""
    topic = machines.place.topic("journal")
    with KafkaTails(machines.place) as tails:
        ends = tails.ends([(topic, part) for part in range(machines.parts)])
    heads = [token_of(position_in(part, end - 1)) for (_, part), end in ends.items() if end]
    deadline = time.monotonic() + seconds
    while "Preference-Applied" not in desk.read_at(ref, heads).headers:
        assert time.monotonic() < deadline, "a replica does not come to the end of the journal"


@contextmanager
def one_machine(sent: Told) -> Iterator[Book]:
    """A book that was told the same, each thing once, and nothing else, and where the same were erased."""
    with a_book(max_queue=100_000) as book:
        for way, publisher in (("door", SHOP), ("kafka", KIOSK)):
            ids = [id for id in sent.items if sent.ways[id] == way and id not in sent.waiting]
            _admit(book, [sent.items[id] for id in ids], publisher)
        folded(book)
        for name in sent.erased:
            assert book.erasures.erase(book.customers.id_of(f"user_id:{name}"))["state"] == "done"
        yield folded(book)


def _admit(book: Book, items: Sequence[Item], publisher: Publisher) -> None:
    for start in range(0, len(items), AT_ONCE):
        outcomes = book.admission.admit(items[start : start + AT_ONCE], publisher, now()).result(60)
        assert {one.outcome for one in outcomes} == {"accepted"}


def compared(machines: Machines, sent: Told, replicas: Sequence[Serving], agent: str, admin: str) -> Traced:
    """Everything. Nobody publishes, nothing is behind, and the replicas run."""
    found = Traced()
    found.other += sent.surprises
    build = build_of(machines)
    with one_machine(sent) as book:
        expected = book.projections.digest()
        found.other += [
            f"{topic}, part {part}: {one.committed} is committed of {one.end}"
            for (topic, part), one in standing(machines, build).items()
            if one.lag or (one.committed or 0) > one.end
        ]
        _compare_store(found, machines, sent, build, expected)
        _compare_topics(found, machines, build)
        for replica in replicas:
            with at_the_desk(replica.url, agent, admin) as desk:
                visible(machines, desk, _anybody(book))
        _compare_aside(found, replicas[0], sent, agent, admin)
        for replica in replicas:
            _compare_replica(found, machines, replica, book, expected)
        _compare_answers(found, book, replicas, agent)
    return found


def _compare_store(
    found: Traced, machines: Machines, sent: Told, build: str, expected: dict[str, str]
) -> None:
    with closing(ClickHouse.of(machines.projections)) as clickhouse:
        table = Build(build).tables["entries"]
        counted = dict(clickhouse.execute(f"SELECT key, count() FROM {table} FINAL GROUP BY key"))
        digests = ClickHouseReader(clickhouse, build).digest()
    keys = {
        key_of(SHOP.source if sent.ways[id] == "door" else KIOSK.source, id): id for id in sent.acknowledged
    }
    found.lost += [id for key, id in keys.items() if key not in counted]
    found.traces += _traced(machines, build, {key for key in keys if key not in counted})
    found.doubled += [keys.get(key, key) for key, times in counted.items() if times > 1]
    found.other += [f"{key} was never sent" for key in counted if key not in keys]
    found.other += [
        f"ClickHouse: another digest of {name}" for name in expected if digests[name] != expected[name]
    ]


def _traced(machines: Machines, build: str, lost: Collection[str]) -> Iterator[str]:
    """For whoever looks for the cause: where in the journal that stands which nobody folded, and how far everybody
    says that he came."""
    if not lost:
        return
    with closing(ClickHouse.of(machines.projections)) as clickhouse:
        said = clickhouse.execute(
            f"SELECT part, max(position) FROM {Build(build).tables['positions']} GROUP BY part"
        )
    folded = {part: offset_of(position) + 1 for part, position in said}
    in_journal: set[str] = set()
    for (topic, part), one in standing(machines, build).items():
        told = f"{topic}, part {part}: records from {one.first} to {one.end}, committed {one.committed}"
        if topic != machines.place.topic("journal"):
            yield told
            continue
        places = dict(_places(machines, part, one, lost))
        in_journal |= places.keys()
        yield f"{told}, folded {folded.get(part)}, missing {list(_stretches(sorted(places.values())))}"
    yield f"not in the journal at all: {len(lost) - len(in_journal)}"
    for worker in (one for one in machines.processes if isinstance(one, Working)):
        lines = worker.log.read_text(errors="replace").splitlines()
        yield f"{worker.name}:"
        yield from (line for line in lines if "worker_reading" in line or "CRITICAL" in line)


def _places(machines: Machines, part: int, one: Standing, keys: Collection[str]) -> Iterator[tuple[str, int]]:
    """At which offsets these touchpoints stand."""
    with KafkaTails(machines.place) as tails:
        for raw in tails.records(machines.place.topic("journal"), part, one.first, one.end):
            with suppress(BodyUnreadable):
                record = record_of(part, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers)
                if record.key in keys:
                    yield record.key, raw.offset


def _stretches(offsets: Sequence[int]) -> Iterator[str]:
    """Those that stand close together, as one."""
    for place, offset in enumerate(offsets):
        if place == 0 or offset - offsets[place - 1] > CLOSE:
            first = offset
        if place + 1 == len(offsets) or offsets[place + 1] - offset > CLOSE:
            yield f"{first}-{offset}"


def _compare_topics(found: Findings, machines: Machines, build: str) -> None:
    """Of every row what was written last is what stands furthest, for brokers keep only that, and nothing is left of
    who was erased. Whoever owns a part looks now and then whether somebody wrote what was old, and puts it right."""
    deadline = time.monotonic() + 2 * LOOK_SECONDS
    while (stale := list(_written_late(machines, build))) and time.monotonic() < deadline:
        time.sleep(0.5)
    found.other += stale


def _written_late(machines: Machines, build: str) -> Iterator[str]:
    with KafkaTails(machines.place) as tails:
        for kind in KINDS:
            topic = machines.place.topic(f"{kind}.{build}")
            for (_, part), end in tails.ends([(topic, part) for part in range(machines.parts)]).items():
                furthest: dict[bytes, Any] = {}
                last: dict[bytes, Any] = {}
                erased: dict[str, int] = {}
                for key, value in tails.read(topic, part, 0, end):
                    told = last[key] = decode(kind, key, value)
                    if isinstance(told, Erased):
                        erased[told.subject] = max(told.position, erased.get(told.subject, 0))
                    elif told is not None and not isinstance(told, Marker):
                        known = furthest.get(key)
                        furthest[key] = told if known is None or known.position <= told.position else known
                for key, told in furthest.items():
                    gone = told.position < erased.get(told.subject, 0)
                    if last[key] is not None if gone else last[key] is None or last[key][:-1] != told[:-1]:
                        yield f"{kind}, part {part}: an old row was written last: {key!r}"


def _compare_aside(found: Findings, replica: Serving, sent: Told, agent: str, admin: str) -> None:
    with at_the_desk(replica.url, agent, admin) as desk:
        items = desk.pages("/v1/set-aside", "admin")
    raws = Counter(orjson.dumps(one["raw"], option=orjson.OPT_SORT_KEYS) for one in items)
    marks = Counter(mark for raw in raws.elements() if (mark := MARK.search(raw.decode())))
    poison = Counter(mark[0] for mark in marks.elements())
    others = Counter(
        one["raw"]["data"]["other"]
        for one in items
        if one["code"] == "id_reused" and "other" in one["raw"]["data"]
    )
    expected: list[tuple[str, int]] = []
    for mark, acknowledged in sent.poison.items():
        if acknowledged or poison[mark] > 1:
            expected.append((f"poison {mark}", poison[mark]))
    for id, item in sent.reused.items():
        expected.append((f"what reused {id}", others[item.raw["data"]["other"]]))
    for raw in sent.rejected:
        expected.append((raw, raws[orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)]))
    found.lost += [f"set aside: {what}" for what, times in expected if times < 1]
    found.doubled += [f"set aside: {what}" for what, times in expected if times > 1]


def _compare_replica(
    found: Findings, machines: Machines, replica: Serving, book: Book, expected: dict[str, str]
) -> None:
    """Its own copy."""
    with closing(ClickHouse.of(machines.projections)) as clickhouse:
        own = ReplicaProjections(replica.directory, lambda build: ClickHouseReader(clickhouse, build))
        digests = own.digest()
        own.close()
    different = [name for name in expected if digests[name] != expected[name]]
    found.other += [f"{replica.name}: another digest of {name}" for name in different]
    if "ledger" in different:
        mine, his = _ledger(book.settings.data), _ledger(replica.directory)
        for row in mine.keys() | his.keys():
            counted, should = his.get(row, (0, 0)), mine.get(row, (0, 0))
            if counted < should:
                found.lost.append(f"{replica.name}: {row} {counted} instead of {should}")
            elif counted > should:
                found.doubled.append(f"{replica.name}: {row} {counted} instead of {should}")


def _ledger(directory: Path) -> dict[tuple[str, str, int], tuple[int, int]]:
    with closing(sqlite3.connect(serving(directory) or "")) as db:
        return {(who, signal, day): (count, total) for who, signal, day, count, total in db.execute(LEDGER)}


def identifiers_in(directory: Path) -> list[Identifier]:
    with closing(sqlite3.connect(serving(directory) or "")) as db:
        return [(type, value) for type, value in db.execute(ALL)]


def _anybody(book: Book) -> str:
    return next(f"{type}:{value}" for type, value in identifiers_in(book.settings.data) if type == "user_id")


def _compare_answers(found: Findings, book: Book, replicas: Sequence[Serving], agent: str) -> None:
    """Cards and scores of everybody, and all that is told of some."""
    everybody = identifiers_in(book.settings.data)
    some = sorted(everybody)[:: max(len(everybody) // 12, 1)]
    days = [(datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%d") for ago in (0, 300)]
    _, own = book.control.create_key("agent", "desk")
    with served(create_app(book)) as url, at_the_desk(url, own) as desk:
        expected = told(desk, everybody, days, deep=False), told(desk, some, days)
    for replica in replicas:
        with at_the_desk(replica.url, agent) as desk:
            answers = told(desk, everybody, days, deep=False), told(desk, some, days)
        for one, other in zip(answers, expected, strict=True):
            where = list(differences(one, other))
            found.other += [f"{replica.name}: {line}" for line in where]
