"""Many machines on this one: workers, a replica of the API, and beside each what it is to be compared with.

The worker and the same job in Quix Streams and in Faust fold one journal, in turn, each in a process of its own, with
one broker and one ClickHouse; what each leaves there is compared with a fold of the whole journal. A replica's reads
stand beside those of the one-machine shape over the same touchpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.cluster_served import BATCH, SINGLY, fresh, read
from benchmarks.cluster_worked import Worked, ours, plain
from benchmarks.clusters import a_cluster
from benchmarks.load import Answered
from benchmarks.table import Row, cells, line, say

RECORDS, FEWER = 100_000, 5_000
READS, FEWER_READS = 20_000, 2_000
RATE = 1_000
SECONDS, FEWER_SECONDS = 20, 4
GOAL = "≥ 2 x Quix, ≥ 5 x Faust"


def rows(quick: bool = False) -> Iterator[Row]:
    with a_cluster(FEWER if quick else RECORDS) as cluster:
        worked, quix, faust = ours(cluster), plain(cluster, "quix"), plain(cluster, "faust")
        times = worked.rate / quix.rate, worked.rate / faust.rate
        against = (
            f"{times[0]:.1f} of Quix Streams (CPU {quix.cpu / worked.cpu:.1f}), "
            f"{times[1]:.1f} of Faust (CPU {faust.cpu / worked.cpu:.1f})"
        )
        met = times[0] >= 2 and times[1] >= 5
        yield _worked(f"a worker folds {cluster.records:,} records", worked, against, GOAL, met)
        yield _worked("  the same plainly, in Quix Streams", quix)
        yield _worked("  the same plainly, in Faust", faust)
        replica, alone = read(cluster, FEWER_READS if quick else READS)
        for what, many, one in (
            ("HTTP, context of a customer not asked for before, of a replica", replica.first, alone.first),
            ("HTTP, seven scores, warm, of a replica", replica.scores, alone.scores),
        ):
            yield _answered(what, many, f"{many.rate / one.rate:.2f} of one machine")
            yield _answered("  the same on one machine", one)
        batches, singles = fresh(cluster, RATE, FEWER_SECONDS if quick else SECONDS)
        yield _answered(
            f"publish → visible on a replica, {RATE:,}/s in batches of {BATCH}", batches, size=BATCH
        )
        yield _answered(f"  the same one by one, on {SINGLY:,} connections", singles)


def _worked(what: str, worked: Worked, against: str = "", goal: str = "", met: bool | None = None) -> Row:
    memory = f"{worked.memory / 2**20:,.0f} MiB at most"
    return Row(what, worked.rate, worked.cpu, against, goal=goal, met=met, measured=memory)


def _answered(what: str, answered: Answered, against: str = "", size: int = 1) -> Row:
    """Rate and CPU for each of `size` in a request, times for each request."""
    said = "" if answered.all_answered else f"answers: {answered.statuses}"
    half, most = answered.share(0.5), answered.share(0.99)
    return Row(what, answered.rate * size, answered.cpu / size, against, most, half, measured=said)


if __name__ == "__main__":
    for row in rows("--quick" in sys.argv):
        say(line(cells(row)))
