"""What the servers need from this machine: programs, and a place where downloads are kept between runs."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import needs_or_skip

SECONDS_TO_INSTALL = 900
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian puts servers; not on everybody's PATH."""


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "touchbook-servers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Holds this lock of the cache: of several pytest processes one fetches, the others wait and find it there."""
    with (cache() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)


def program(name: str, package: str) -> str:
    """Its path. Where it is missing root installs Debian's package; without root, or without it, the test ends here."""
    if path := found(name):
        return path
    with one_at_a_time("apt"):
        if not found(name) and os.geteuid() == 0 and shutil.which("apt-get"):
            _install(package)
    return found(name) or needs_or_skip(f"{name} is not on this machine; install it (Debian: {package})")


def _install(package: str) -> None:
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package)
    if not succeeds(*install):
        succeeds("apt-get", "update", "--quiet")
        succeeds(*install)


def succeeds(*command: str) -> bool:
    return last_words(*command) is None


def last_words(*command: str, cwd: Path | None = None) -> str | None:
    """None if the command succeeded, else the line that says why it did not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {SECONDS_TO_INSTALL} seconds"
    if done.returncode == 0:
        return None
    lines = [line for line in _COLOUR.sub("", done.stdout + done.stderr).splitlines() if line.strip()]
    return next(
        (line for line in lines if "ERROR" in line or "Exception" in line),
        lines[-1] if lines else f"exit {done.returncode}",
    )
