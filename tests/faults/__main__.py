"""`python -m tests.faults --cycles N [--seed S] [--kinds kill,point,power,torn]`: as many cycles as you have time for.

A cycle is a server under load that ends badly, and the next one over the same directory. Prints a line of figures for
each kind and one for all; the exit code is 1 if anything was lost, doubled or otherwise wrong. A run repeats with its
seed as far as the machine's timing allows.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.cycles import Cycles
from tests.faults.nursery import nursery
from tests.faults.points import points_of
from tests.faults.scenarios import Points
from tests.faults.servers import Executed, Forked
from tests.faults.shim import Power, library

KINDS = ("kill", "point", "power", "torn")
MOST_FOR_REFERENCE = 3_000
"""Touchpoints up to which the slow, obvious fold is compared too: its cost grows with their square."""

Kind = Callable[[Forked, Path, int, int], Cycles]


def kill(forked: Forked, scratch: Path, times: int, seed: int) -> Cycles:
    """At random, a process of its own."""
    cycles = Cycles(scratch / "book", scratch, Executed(), seed)
    for _ in range(times):
        cycles.cycle()
        cycles.look()
    return cycles


def point(forked: Forked, scratch: Path, times: int, seed: int) -> Cycles:
    """At the named points of append and fold, each at any of its first hits."""
    rnd = random.Random(seed)
    points = Points(forked, scratch, seed)
    cycles = points.cycles("points")
    at = points_of("publish")
    for number in range(times):
        one = at[number % len(at)]
        with points.armed(one._replace(hit=rnd.randint(1, one.hit)), cycles.path) as run:
            cycles.cycle(run=run, until_gone=True)
        cycles.look()
    return cycles


def power(forked: Forked, scratch: Path, times: int, seed: int, *, torn: bool = False) -> Cycles:
    """A loss of power: nothing remains of what was not forced to disk."""
    rnd = random.Random(seed)
    lost = Power(scratch / "book", scratch)
    cycles = Cycles(scratch / "book", scratch, replace(forked, environment=lost.environment), seed)
    for _ in range(times):
        cycles.cycle()
        lost.lose(rnd if torn else None)
        cycles.look()
    return cycles


def torn(forked: Forked, scratch: Path, times: int, seed: int) -> Cycles:
    """A loss of power: any part remains of what was not forced to disk."""
    return power(forked, scratch, times, seed, torn=True)


KIND: Mapping[str, Kind] = {"kill": kill, "point": point, "power": power, "torn": torn}


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    asked.add_argument("--cycles", type=int, default=50, help="how many in all (50)")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)} (all)")
    given = asked.parse_args()
    kinds = given.kinds.split(",")
    if unknown := set(kinds) - KIND.keys():
        asked.error(f"--kinds: expected some of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    if given.cycles < len(kinds):
        asked.error(f"--cycles: expected {len(kinds)} or more, one for each kind")
    try:
        preload = {"LD_PRELOAD": str(library())}
    except (pytest.skip.Exception, pytest.fail.Exception) as why:
        print(f"without losses of power and without points: {why}", file=sys.stderr)
        preload, kinds = {}, [kind for kind in kinds if kind == "kill"]
    done = []
    with ExitStack() as stack:
        forked = Forked(stack.enter_context(nursery({**os.environ, **preload})))
        for place, kind in enumerate(kinds):
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"touchbook-{kind}-")))
            times = given.cycles // len(kinds) + (place < given.cycles % len(kinds))
            cycles = KIND[kind](forked, scratch, times, given.seed + place)
            cycles.finish(reference=len(cycles.sent.items) <= MOST_FOR_REFERENCE)
            print(f"{kind:6} {cycles.told()}", flush=True)
            if cycles.found:
                print(f"{kind:6} {cycles.found}", flush=True)
            done.append(cycles)
    opening = [seconds for cycles in done for seconds in cycles.directory.opening]
    print(
        f"all    cycles {sum(one.done for one in done)}, "
        f"acknowledged {sum(len(one.sent.positions) + len(one.sent.aside) for one in done)}, "
        f"lost {sum(len(one.found.lost) for one in done)}, "
        f"doubled {sum(len(one.found.doubled) for one in done)}, "
        f"otherwise wrong {sum(len(one.found.other) for one in done)}, "
        f"mean time to open {statistics.mean(opening):.2f} s"
    )
    return any(one.found for one in done)


if __name__ == "__main__":
    raise SystemExit(main())
