"""The benchmarks run, say what they measured, and are kept so that runs can be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.table import Row, cells, compared, page, rows_of, saved_as

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_quick_run_measures_a_real_server_and_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "run.json"
    printed = run("--quick", "--only", "visible", "--json", str(kept))

    saved = json.loads(kept.read_text("utf-8"))
    (row,) = rows_of(saved).values()
    assert row.rate is not None
    assert row.rate > 0
    assert row.cpu is not None
    assert row.cpu > 0
    assert row.met is not None
    assert row.p99 is not None
    assert row.p50 is not None
    assert row.p99 >= row.p50 > 0
    assert row.what in printed
    assert {"processor", "cores", "memory", "fsync", "python", "sqlite"} <= saved["machine"].keys()
    assert row.what in kept.with_suffix(".md").read_text("utf-8")
    assert row.what in run("compare", str(kept), str(kept))


def test_comparing_tells_how_many_times_what_was_before() -> None:
    before = saved_as({}, [Row("reads", 100.0, 20.0, p99=4.0), Row("gone", 1.0, 1.0)])
    after = saved_as({}, [Row("reads", 200.0, 10.0, p99=1.0), Row("came", 1.0, 1.0)])

    _, reads, came, gone = compared(before, after).splitlines()
    assert reads.split() == ["reads", "2.00", "0.50", "0.25"]
    assert came.split() == ["came", "new"]
    assert gone.split() == ["gone", "gone"]


def test_baselines_of_one_name_belong_each_to_the_row_above_them() -> None:
    rows = [
        Row("reads", 1.0, 1.0),
        Row("  plainly", 2.0, 1.0),
        Row("writes", 3.0, 1.0),
        Row("  plainly", 4.0, 1.0),
    ]

    run = saved_as({}, rows)

    assert list(rows_of(run).values()) == rows
    assert [line.count("plainly") for line in page(run).splitlines()[-4:]] == [0, 1, 0, 1]


def test_a_row_says_in_words_whether_its_goal_was_met() -> None:
    assert [cells(Row("reads", 1.0, 1.0, met=met))[7] for met in (True, False, None)] == ["yes", "NO", ""]
