"""What commands write. Results go to stdout: JSON where asked for, a table on a terminal, else plain lines of cells
with tabs between them. Everything else goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import typer


def say(message: str) -> None:
    """A message for whoever runs the command."""
    typer.echo(printable(message), err=True)


def show_json(value: Any) -> None:
    """One line of JSON in UTF-8, whatever the locale."""
    typer.echo(json.dumps(value, ensure_ascii=False).encode())


def show_line(*cells: object) -> None:
    """One plain line, in UTF-8 whatever the locale."""
    typer.echo("\t".join(_cell(cell) for cell in cells).encode())


def show_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    one_of_several: bool = False,
) -> None:
    """A table on a terminal, plain lines without a header elsewhere; where it is one of several, its header too, below
    its title or an empty line, since nothing else would say where it begins."""
    if not sys.stdout.isatty():
        if one_of_several:
            show_line(title or "")
            show_line(*columns)
        for row in rows:
            show_line(*row)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(title), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    Console().print(table)


def printable(text: str) -> str:
    """Without what would steer a terminal: texts of customers are shown, never obeyed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))


class Progress(Protocol):
    """Told how far a command is: `done` of `total` (any unit, for the bar and the ETA), and how many were counted."""

    def __call__(self, done: int, total: int | None, count: int) -> None: ...


@contextmanager
def progress(doing: str, counted: str) -> Iterator[Progress]:
    """A bar with count, rate and ETA on stderr while the block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]:,} " + counted),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    began = time.monotonic()
    with bar:
        task = bar.add_task(doing, total=None, count=0, rate=0.0)

        def tell(done: int, total: int | None, count: int) -> None:
            rate = count / max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, count=count, rate=rate)

        yield tell
