"""The machine that was measured on, as far as it explains the figures. Nothing in it names whose machine it is."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import quantile

BUSY = 0.5
"""Load per core at the start from which on others share the machine noticeably."""
WRITES = 200


def described() -> dict[str, Any]:
    """JSON-ready: what a reader wants to know before the figures."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    flush = fsyncs()
    return {
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "commit": commit(),
        "processor": processor(),
        "cores": cores,
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fsync": f"{quantile(flush, 0.5):.2f} ms, p99 {quantile(flush, 0.99):.2f} ms",
        "load at start": f"{load:.2f}",
        "warning": f"the machine was busy: load {load:.2f} on {cores} cores" if load > BUSY * cores else "",
    }


def name_of(machine: dict[str, Any]) -> str:
    """A short name of this kind of machine for the names of files."""
    return re.sub("[^a-z0-9]+", "-", f"{machine['processor']} {machine['cores']} cores".lower()).strip("-")


def processor() -> str:
    """The processor's own name (Linux), without its marks and its clock."""
    try:
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    name = found[1] if found else platform.processor() or platform.machine()
    return re.sub(r"\((R|TM)\)|@.*", "", name).strip()


def fsyncs(directory: str | None = None) -> list[float]:
    """Milliseconds of each of some writes of 4 KiB and their fsync, appended to one file where books are measured."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(WRITES):
            file.write(bytes(4096))
            began = time.perf_counter()
            file.flush()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return took


def commit() -> str:
    """The commit measured, "+" where files differ from it; empty outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    return found.stdout.strip() + ("+" if changed.stdout else "")
