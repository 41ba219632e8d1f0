"""ClickHouse over its native protocol: where it is, a few connections to it, and its errors in our words.

The only module that knows the driver. A connection of the driver's is for one thread at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ErrorCodes, NetworkError, ServerException, SocketTimeoutError
from clickhouse_driver.util.helpers import parse_url

from touchbook.errors import ClickHouseUnavailable, SettingUnfit
from touchbook.statements import statement_of

SETTING = "projections"
SHAPE = "clickhouse://USER:PASSWORD@HOST:PORT/DATABASE"
OPTIONS = (
    *("secure", "verify", "ca_certs", "certfile", "keyfile", "server_hostname", "check_hostname"),
    *("alt_hosts", "compression", "tcp_keepalive"),
)
"""Of the driver's options those that may follow the database in the URL."""
MOST_CONNECTIONS = 8
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 120.0
ROWS_A_BLOCK = 8_192
"""Rows that a stream holds at once."""
MEMORY_TO_SORT = 256 * 1024 * 1024
"""Bytes beyond which the server sorts on its disk."""

sql = partial(statement_of, "touchbook.projections")
Asked = Mapping[str, Any]
NOTHING: Asked = {}

# The driver tells of every failed attempt with a traceback, where we say once what is wrong.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)


class Asking(Protocol):
    """What runs ClickHouse's SQL. Raises StoreUnavailable."""

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        """All rows of the answer; `asked` fills the statement's %(name)s."""

    def stream(self, statement: str, asked: Asked = NOTHING) -> Iterator[tuple[Any, ...]]:
        """The same row by row, in the memory of a few."""

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """One block: all of it is in the table afterwards, or, after an error, all of it or nothing."""


class Engine(Asking, Protocol):
    """A server."""

    @property
    def version(self) -> tuple[int, ...]: ...

    def session(self) -> AbstractContextManager[Asking]:
        """What runs in it has one connection to itself: its temporary tables last as long."""


class ClickHouse:
    """One database. Any thread may ask; at most `connections` are open, and who comes beyond that waits."""

    def __init__(self, place: Place, connections: int = MOST_CONNECTIONS) -> None:
        self.place = place
        self._idle: list[Client] = []
        self._free = threading.BoundedSemaphore(connections)
        self._guard = threading.Lock()
        self._closed = False

    @classmethod
    def of(
        cls, url: str, connections: int = MOST_CONNECTIONS, answer_seconds: float = ANSWER_SECONDS
    ) -> ClickHouse:
        """Connects when it is first asked something. Raises SettingUnfit."""
        return cls(Place.of(url, answer_seconds), connections)

    def __repr__(self) -> str:
        return f"ClickHouse({self.place})"

    @cached_property
    def version(self) -> tuple[int, ...]:
        ((text,),) = self.execute("SELECT version()")
        return tuple(int(part) for part in str(text).split(".")[:3] if part.isdigit())

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        with self.session() as session:
            return session.execute(statement, asked)

    def stream(self, statement: str, asked: Asked = NOTHING) -> Iterator[tuple[Any, ...]]:
        with self.session() as session:
            yield from session.stream(statement, asked)

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        with self.session() as session:
            session.insert(table, columns)

    @contextmanager
    def session(self) -> Iterator[Session]:
        if not self._free.acquire(timeout=self.place.answer_seconds):
            raise ClickHouseUnavailable(f"no connection became free within {self.place.answer_seconds:g} s")
        session = Session(self._connection(), self.place)
        try:
            yield session
            self._give_back(session)
        finally:
            session.close()
            self._free.release()

    def close(self) -> None:
        """Closes what is idle now, and the others as soon as they are."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            _disconnect(client)

    def _connection(self) -> Client:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        return Client(self.place.host, **self.place.options)

    def _give_back(self, session: Session) -> None:
        with self._guard:
            if not self._closed and (client := session.unspoiled()) is not None:
                self._idle.append(client)


class Session:
    """One connection, for one thread. What failed on it, or was read in part, spoils it for others."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client: Client | None = client
        self._place = place
        self._spoiled = False

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        with self._telling() as client:
            rows: list[tuple[Any, ...]] = client.execute(statement, dict(asked) or None)
            return rows

    def stream(self, statement: str, asked: Asked = NOTHING) -> Iterator[tuple[Any, ...]]:
        settings = {"max_block_size": ROWS_A_BLOCK, "max_bytes_before_external_sort": MEMORY_TO_SORT}
        with self._telling() as client:
            yield from client.execute_iter(statement, dict(asked) or None, settings=settings)

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        with self._telling() as client:
            client.execute(statement, list(columns.values()), columnar=True)

    def unspoiled(self) -> Client | None:
        """The connection, for the next; this session is at its end."""
        client, self._client = self._client, None
        if self._spoiled or client is None:
            _disconnect(client)
            return None
        return client

    def close(self) -> None:
        client, self._client = self._client, None
        _disconnect(client)

    @contextmanager
    def _telling(self) -> Iterator[Client]:
        assert self._client is not None, "this session is at its end"
        try:
            yield self._client
        except BaseException as error:
            self._spoiled = True
            if isinstance(error, Error | OSError | EOFError):
                raise ClickHouseUnavailable(self._place.why(error)) from None  # its words may quote customers
            raise


@dataclass(frozen=True)
class Place:
    """Where a database is, and how to get in."""

    host: str
    database: str
    answer_seconds: float
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, url: str, answer_seconds: float = ANSWER_SECONDS) -> Place:
        """Raises SettingUnfit, which never quotes the URL."""
        with _telling_of_the_setting():
            told = urlsplit(url)
            if told.scheme not in ("clickhouse", "clickhouses") or not told.hostname:
                raise SettingUnfit(SETTING, f"expected {SHAPE}")
            unknown = {name for name, _ in parse_qsl(told.query)} - {*OPTIONS}
            if unknown:
                raise SettingUnfit(SETTING, f"expected of the options behind ? only {', '.join(OPTIONS)}")
            host, options = parse_url(url)
        soon = min(CONNECT_SECONDS, answer_seconds)
        seconds = {
            "connect_timeout": soon,
            "sync_request_timeout": soon,
            "send_receive_timeout": answer_seconds,
        }
        return cls(host, options.get("database", "default"), answer_seconds, {**options, **seconds})

    def __str__(self) -> str:
        return f"{self.host}:{self.options.get('port', 'default port')}/{self.database}"

    def why(self, error: BaseException) -> str:
        """What went wrong, from our own words: the server's quote statements, hence customers."""
        if isinstance(error, ServerException):
            return _REASONS.get(error.code, f"it answered error {error.code}, {_name_of(error.code)}")
        if isinstance(error, SocketTimeoutError | TimeoutError):
            return f"it did not answer in time at {self}"
        if isinstance(error, NetworkError | OSError | EOFError):
            return f"it cannot be reached at {self}, or the connection broke"
        return f"the connection failed: {type(error).__name__}"


_REASONS: Mapping[int | None, str] = {
    **dict.fromkeys((192, 193, 194, 516), f"it refuses the user or the password in `{SETTING}`"),
    ErrorCodes.UNKNOWN_DATABASE: f"it has no such database as `{SETTING}` names: make it with CREATE DATABASE",
    ErrorCodes.UNKNOWN_TABLE: "a table is missing: this build was dropped, or never made; `touchbook rebuild` with the "
    "settings of this process makes another from the journal",
    252: "it has too many parts to merge, more than it keeps up with",
    ErrorCodes.MEMORY_LIMIT_EXCEEDED: "it may not use as much memory as this takes (max_memory_usage)",
    243: "its disk is full",
    164: f"the user in `{SETTING}` may only read",
}
_NAMES: Mapping[int, str] = {code: name for name, code in vars(ErrorCodes).items() if name.isupper()}


def _name_of(code: int | None) -> str:
    return _NAMES.get(code or 0, "which this version of the driver does not name")


@contextmanager
def _telling_of_the_setting() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise SettingUnfit(SETTING, f"expected {SHAPE}, each part percent-encoded") from None


def _disconnect(client: Client | None) -> None:
    if client is not None:
        with suppress(Exception):
            client.disconnect()
