"""The current ClickHouse without a server: chDB, asked as the driver asks a server. One for each process."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from clickhouse_driver.util.escape import escape_param, escape_params

from touchbook.projections.stores.clickhouse import NOTHING, Asked

_CONTEXT = SimpleNamespace()  # what the driver needs for the time zone of dates, of which there are none


@cache
def _session() -> Any:
    from chdb import session

    directory = TemporaryDirectory(prefix="chdb-")
    made: Any = session.Session(directory.name)  # type: ignore[no-untyped-call]

    def close() -> None:
        made.close()
        directory.cleanup()

    atexit.register(close)  # else it goes down after the threads that it needs for that
    return made


class ChDb:
    """An `Engine` over a database of this process."""

    def __init__(self, database: str) -> None:
        self.database = database
        _session().query(f"CREATE DATABASE IF NOT EXISTS {database}")

    @property
    def version(self) -> tuple[int, ...]:
        ((text,),) = self.execute("SELECT version()")
        return tuple(map(int, text.split(".")[:3]))

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        if asked:
            statement = statement % escape_params(dict(asked), _CONTEXT)
        _session().query(f"USE {self.database}")
        answer = str(_session().query(statement, "JSONCompactEachRow"))
        return [tuple(json.loads(line)) for line in answer.splitlines() if line]

    def stream(self, statement: str, asked: Asked = NOTHING) -> Iterator[tuple[Any, ...]]:
        yield from self.execute(statement, asked)

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        rows = zip(*columns.values(), strict=True)
        values = ", ".join(
            f"({', '.join(str(escape_param(_plain(value), _CONTEXT)) for value in row)})" for row in rows
        )
        self.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}")

    @contextmanager
    def session(self) -> Iterator[ChDb]:
        yield self

    def drop(self) -> None:
        _session().query(f"DROP DATABASE IF EXISTS {self.database}")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return list(map(_plain, value))  # an array, where a tuple would be one
    return int(value) if isinstance(value, bool) else value
