"""Headers whose names are no UTF-8: brokers take them, and aiokafka fails at them, again at every fetch, so that
nothing behind such a record would ever be read.

Records are read by aiokafka's fast reader as always. Only the batch it fails at is read by aiokafka's other one,
written in Python, which is told to bear such names. What is used for it and is not public is named here alone.
"""

from __future__ import annotations

import struct
from types import FunctionType, MethodType
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py

_BATCH = struct.Struct(">qi4xb6xi")
"""How each batch begins: its first offset, its length from the twelfth byte on, its format, and how many offsets later
its last one is."""
_BEFORE_LENGTH_COUNTS = 12


def read_any_names(consumer: AIOKafkaConsumer) -> None:
    """Has a consumer that is started, and has no partitions yet, read names that are no UTF-8 as Python does file
    names: each byte that is none stands as a lone surrogate (`surrogateescape`)."""
    consumer._fetcher._proc_fetch_request = MethodType(_proc_fetch_request, consumer._fetcher)


class _Fetched(MemoryRecords):  # type: ignore[misc]
    """The batches of one partition that a fetch brought, and their bytes."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of these batches."""

    _records_iterator: Any

    def __init__(self, tp: Any, batches: _Fetched, *more: Any) -> None:
        super().__init__(tp, batches, *more)
        self._batches, self._fetched = batches, memoryview(batches.fetched)
        self._at, self._borne = 0, -1

    def __next__(self) -> Any:
        while True:
            try:
                return next(self._records_iterator)
            except UnicodeDecodeError:
                if self.next_fetch_offset <= self._borne:
                    raise  # it was not because of a name
                self._bear()
            except StopIteration:
                self._records_iterator = None  # as aiokafka does
                raise

    def _bear(self) -> None:
        """The batch that is to be read next is read in the other way, and those behind it as before."""
        while True:
            first, length, magic, later = _BATCH.unpack_from(self._fetched, self._at)
            begin, self._at = self._at, self._at + _BEFORE_LENGTH_COUNTS + length
            self._borne = first + later if magic >= 2 else first
            if self._borne >= self.next_fetch_offset:
                break
        self._records = _Before(_Bearing(self._fetched[begin : self._at]), self._batches)
        self._records_iterator = self._unpack_records()


class _Before:
    """One batch, and then others."""

    def __init__(self, first: _Bearing, others: _Fetched) -> None:
        self._first: _Bearing | None = first
        self._others = others

    def has_next(self) -> bool:
        return self._first is not None or bool(self._others.has_next())

    def next_batch(self) -> Any:
        first, self._first = self._first, None
        return self._others.next_batch() if first is None else first


class _Bearing(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch whose names may be any bytes."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Names(self._buffer)

    def _read_msg(self) -> Any:
        return super()._read_msg(decode_varint_py)


class _Names(bytearray):
    """Bytes of which nothing but names is decoded."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Names(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


_proc_fetch_request = FunctionType(
    fetcher.Fetcher._proc_fetch_request.__code__,
    {**vars(fetcher), "MemoryRecords": _Fetched, "PartitionRecords": _Records},
)
"""aiokafka's own, with these for those: of our consumers alone, not of whoever else uses aiokafka in this process."""
