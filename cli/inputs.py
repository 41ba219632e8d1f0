"""Files of touchpoints, read line by line: JSON lines of CloudEvents or Segment calls, a JSON array, CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from touchbook.cli.columns import Columns
from touchbook.cli.exits import Failed
from touchbook.schemas.strict_json import JsonInvalid, decode

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

BOM = b"\xef\xbb\xbf"
DELIMITERS = ",;\t|"
csv.field_size_limit(2**22)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that holds no item at all, so it cannot be sent."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """One item and where it stood: the line (of an array: the place in it), from 1. `size` is about its bytes, `read`
    the bytes read so far."""

    number: int
    item: dict[str, Any] | Unreadable
    size: int
    read: int


def json_lines(file: BinaryIO) -> Iterator[Line]:
    """An item per line; a line may also hold an array of items. A file that is one array or object over many lines is
    read whole."""
    lines = _Counted(file)
    for number, text in enumerate(lines, 1):
        text = text.removeprefix(BOM) if number == 1 else text
        if not text.strip():
            continue
        try:
            value = decode(text)
        except JsonInvalid as error:
            if _begins_something_long(text):
                yield from _whole(b"".join(chain([text], lines)), lines)
                return
            yield Line(number, Unreadable("json_invalid", str(error)), len(text), lines.read)
            continue
        items = value if isinstance(value, list) else [value]
        for place, item in enumerate(items, 1):
            where = place if isinstance(value, list) and number == 1 else number
            yield Line(where, _item(item), len(text) // len(items), lines.read)


def csv_lines(file: BinaryIO, columns_of: Callable[[Sequence[str]], Columns]) -> Iterator[Line]:
    """An item per row; the first row, read at once, names the columns. The delimiter is the one of , ; tab | that it
    has most of. Raises `Failed` for what is no CSV in UTF-8."""
    lines = _Counted(file)
    texts = _texts(lines)
    header = next(texts, "").removeprefix("\ufeff")
    rows = csv.reader(chain([header], texts), delimiter=max(DELIMITERS, key=header.count), strict=True)
    return _rows(rows, columns_of([name.strip() for name in _next(rows) or []]), lines)


def _rows(rows: CsvReader, columns: Columns, lines: _Counted) -> Iterator[Line]:
    while True:
        before, number = lines.read, rows.line_num + 1
        if (cells := _next(rows)) is None:
            return
        if cells:
            yield Line(number, _row(columns, cells), lines.read - before, lines.read)


def _next(rows: CsvReader) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise Failed(
            f"line {rows.line_num} is no CSV ({error}); correct it and publish the file again"
        ) from None


def _row(columns: Columns, cells: Sequence[str]) -> dict[str, Any] | Unreadable:
    if len(cells) != len(columns):
        return Unreadable(
            "row_invalid", f"expected {len(columns)} cells, as the header has, not {len(cells)}"
        )
    return columns.item(cells)


def _item(value: Any) -> dict[str, Any] | Unreadable:
    if isinstance(value, dict):
        return value
    return Unreadable("object_expected", "expected a JSON object: a CloudEvent or a Segment call")


def _begins_something_long(text: bytes) -> bool:
    """An array or object that goes on over the next lines, as pretty-printed ones do."""
    return text.strip() == b"{" or text.lstrip().startswith(b"[")


def _whole(text: bytes, lines: _Counted) -> Iterator[Line]:
    try:
        value = decode(text)
    except JsonInvalid as error:
        raise Failed(f"{error}; expected a JSON array, or one JSON object per line") from None
    items = value if isinstance(value, list) else [value]
    for place, item in enumerate(items, 1):
        yield Line(place, _item(item), len(text) // len(items), lines.read)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise Failed(f"line {number} is not UTF-8; convert the file and publish it again") from None


class _Counted:
    """The lines of a file, and how many bytes of it were read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            self.read += len(line)
            yield line
