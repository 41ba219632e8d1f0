"""The table that a run prints and keeps: its rows, its columns, and how two runs compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Row:
    """One line of the table, measured in one run with all the others.

    rate      per second of wall time; None for a figure that is no rate, which `measured` then words
    cpu       microseconds of CPU for each touchpoint or read: of this process, over HTTP the server's alone
    ratio     how many times a baseline of the same run, and which: "3.1 of a commit each"
    p50, p99  milliseconds
    goal      what was promised, in words; `met` says whether it held, None where nothing was promised
    measured  a figure with its unit that fits no column: "1.2 s", "84 MiB"
    """

    what: str
    rate: float | None
    cpu: float | None
    ratio: str = ""
    p99: float | None = None
    p50: float | None = None
    goal: str = ""
    met: bool | None = None
    measured: str = ""


HEAD = ("", "per second", "CPU us", "p50 ms", "p99 ms", "measured", "goal", "", "against")
WIDTHS = (66, 11, 9, 8, 8, 21, 31, 3)


def cells(row: Row) -> tuple[str, ...]:
    """What stands in the columns of `HEAD`."""
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return (
        row.what,
        "" if row.rate is None else f"{row.rate:,.0f}",
        "" if row.cpu is None else f"{row.cpu:,.1f}",
        *("" if one is None else f"{one:,.2f}" for one in (row.p50, row.p99)),
        row.measured,
        row.goal,
        met,
        row.ratio,
    )


def line(row: Sequence[str]) -> str:
    """One line of text; names to the left, figures to the right."""
    what, *rest = row
    columns = list(zip(rest[:-1], WIDTHS[1:], strict=True))
    padded = [f"{one:>{width}}" for one, width in columns[:5]] + [
        f"{one:<{width}}" for one, width in columns[5:]
    ]
    return " ".join([f"{what:<{WIDTHS[0]}}", *padded, rest[-1]]).rstrip()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def rows_of(saved: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of a kept run by what they measured; a baseline, which is indented, by the row that it stands under."""
    rows: dict[str, Row] = {}
    above = ""
    for row in (Row(**one) for one in saved["rows"]):
        if row.what.startswith(" "):
            rows[f"{above}: {row.what.strip()}"] = row
        else:
            above = row.what
            rows[above] = row
    return rows


def saved_as(machine: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, Any]:
    """A run as it is kept: JSON-ready."""
    return {"machine": dict(machine), "rows": [asdict(row) for row in rows]}


def save(path: Path, run: Mapping[str, Any]) -> None:
    """Writes the run as JSON, and beside it as a page that people read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_suffix(".md").write_text(page(run), "utf-8")


def page(run: Mapping[str, Any]) -> str:
    """The run as Markdown."""
    told = [f"- {name}: {value}" for name, value in run["machine"].items() if value != ""]
    rows = ["| " + " | ".join(cells(row)) + " |" for row in rows_of(run).values()]
    rule = "|" + "|".join(["---", *["---:"] * 4, *["---"] * 4]) + "|"
    head = "| " + " | ".join(HEAD) + " |"
    return "\n".join(["# Measured", "", *told, "", head, rule, *rows, ""])


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Two kept runs side by side: how many times the CPU, the rate and the p99 of before, row by row. CPU is what can
    be compared when the machine was busier in one of them."""
    old, lines = rows_of(before), [f"{'after / before':<{WIDTHS[0]}} {'rate':>7} {'CPU':>7} {'p99':>7}"]
    for what, row in rows_of(after).items():
        if what in old:
            then = old[what]
            pairs = ((row.rate, then.rate), (row.cpu, then.cpu), (row.p99, then.p99))
            times = " ".join(f"{one / other:7.2f}" if one and other else " " * 7 for one, other in pairs)
            lines.append(f"{what:<{WIDTHS[0]}} {times}".rstrip())
        else:
            lines.append(f"{what:<{WIDTHS[0]}} new")
    gone = [f"{what:<{WIDTHS[0]}} gone" for what in old if what not in rows_of(after)]
    return "\n".join([*lines, *gone])
