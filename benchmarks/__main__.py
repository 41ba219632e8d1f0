"""`python -m benchmarks`: measures, prints one table and keeps it in `benchmarks/results/`.

`--only AREA` (may be repeated) measures some areas, `--quick` a little of each, to see that they work; neither is kept
unless `--json FILE` names a file. `compare A B` sets two kept runs side by side.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.table import HEAD, Row, cells, compared, line, save, saved_as, say

AREAS = (
    "append",
    "doors",
    "fold",
    "overload",
    "scores",
    "contact",
    "sweep",
    "reads",
    "visible",
    "start",
    "optimised",
    "desk",
    "cluster",
)
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 where a goal is not met, which a run with `--quick` never says."""
    if arguments[:1] == ["compare"]:
        before, after = (json.loads(Path(file).read_text("utf-8")) for file in arguments[1:])
        say(compared(before, after))
        return 0
    asked = _parser().parse_args(arguments)
    here = machine.described()
    for name, value in here.items():
        if value:
            say(f"{name}: {value}")
    say("")
    say(line(HEAD))
    rows = []
    for row in _measured(asked.only or _there(), asked.quick):
        rows.append(row)
        say(line(cells(row)))
    missed = [row.what.strip() for row in rows if row.met is False]
    if asked.json or not (asked.only or asked.quick):
        file = asked.json or RESULTS / f"{time.strftime('%Y-%m-%d')}-{machine.name_of(here)}.json"
        save(file, saved_as(here, rows))
        say(f"\nkept in {file}")
    if missed:
        say(f"\nnot met: {'; '.join(missed)}")
    return 1 if missed and not asked.quick else 0


def _measured(areas: Sequence[str], quick: bool) -> Iterator[Row]:
    for area in areas:
        rows: Any = getattr(import_module(f"benchmarks.{area}"), "rows", None)
        if rows is None:
            continue
        yield from rows(quick) if inspect.signature(rows).parameters else rows()


def _there() -> list[str]:
    return [area for area in AREAS if find_spec(f"benchmarks.{area}")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    there = _there()
    parser.add_argument("--only", action="append", choices=there, metavar="AREA", help=", ".join(there))
    parser.add_argument("--quick", action="store_true", help="a little of each, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the run there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
