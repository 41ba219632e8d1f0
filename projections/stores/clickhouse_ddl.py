"""The tables in ClickHouse: those of the database come in numbered steps, those of a build from templates.

A step is applied once and never changed afterwards. A build's tables are never altered: another shape is another
projection version, hence another build.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from string import Formatter

from touchbook.errors import FormatUnknown
from touchbook.projections.stores.clickhouse import Engine, sql

TABLES = (
    *("identifiers", "ledger", "registers", "claims", "thread_messages", "contacts", "entries", "keys"),
    *("positions", "erasures"),
)
"""Of each build. Identifiers are written first: of whom none is stored, nothing else is."""
PACKS_SINCE = (20, 3)
"""From this version of the server on columns can be packed in other ways than the table's, and stretches of a table
that hold nothing of a time be passed over."""


@dataclass(frozen=True)
class Build:
    """One set of projections: its name, and the names of its tables."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name):
            raise ValueError("expected the name of a build: letters, digits, - and _")

    @cached_property
    def tables(self) -> Mapping[str, str]:
        suffix = self.name.replace("-", "_")
        return {table: f"{table}_{suffix}" for table in TABLES}

    def sql(self, name: str, **filled: str) -> str:
        """The statement in `sql/clickhouse/<name>.sql` over the tables of this build."""
        text = sql(f"clickhouse/{name}")
        pieces = {piece for _, piece, _, _ in Formatter().parse(text) if piece is not None}
        shared = {piece: self.sql(piece) for piece in pieces & {"visible_identifiers"}}
        return text.format(**self.tables, **shared, **filled)


def migrate(engine: Engine) -> list[int]:
    """Applies the numbered steps that this database lacks, in order, and answers which they were. Raises FormatUnknown
    for a database that a later version of the code has changed. Several processes may do it at once."""
    engine.execute(sql("clickhouse/migrations"))
    applied = {number for (number,) in engine.execute(sql("clickhouse/read_migrations"))}
    steps = _steps()
    if applied and max(applied) > max(steps):
        raise FormatUnknown("the ClickHouse database", str(max(applied)), str(max(steps)))
    missing = [number for number in steps if number not in applied]
    for number in missing:
        engine.execute(sql(f"clickhouse/{steps[number]}"))
        engine.insert("migrations", {"number": [number], "applied_at": [_now()]})
    return missing


def make_build(engine: Engine, build: str) -> Build:
    """Its tables, empty if they are new."""
    made = Build(build)
    packs = engine.version >= PACKS_SINCE
    shapes = {
        "word": "LowCardinality(String)" if packs else "String",
        "packed": "CODEC(ZSTD(1))" if packs else "",
        "by_time": ", INDEX by_time recorded_at TYPE minmax GRANULARITY 16" if packs else "",
    }
    for table in TABLES:
        engine.execute(made.sql(f"make_{table}", **shapes))
    _note(engine, build, dropped=False)
    return made


def drop_build(engine: Engine, build: str) -> None:
    """Its tables and all they hold."""
    _note(engine, build, dropped=True)
    for table in Build(build).tables.values():
        engine.execute(f"DROP TABLE IF EXISTS {table}")


def builds(engine: Engine) -> Sequence[str]:
    """The names of those that were made and not dropped."""
    return [build for (build,) in engine.execute(sql("clickhouse/read_builds"))]


def _note(engine: Engine, build: str, *, dropped: bool) -> None:
    engine.insert("builds", {"build": [build], "dropped": [int(dropped)], "changed_at": [time.time_ns()]})


def _steps() -> dict[int, str]:
    """Number → name of the file, in order."""
    folder = resources.files("touchbook.projections") / "sql" / "clickhouse"
    names = sorted(file.name.removesuffix(".sql") for file in folder.iterdir() if file.name[:3].isdigit())
    return {int(name[:3]): name for name in names}


def _now() -> int:
    return time.time_ns() // 1_000_000
