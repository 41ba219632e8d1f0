"""What the tests of faults share: a nursery of children with the shim, and a small disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery, nursery
from tests.faults.servers import Forked
from tests.faults.shim import library


@pytest.fixture(scope="session")
def shimmed() -> Iterator[Nursery]:
    """Its children have the shim, which does nothing until their environment says so."""
    with nursery({**os.environ, "LD_PRELOAD": str(library())}) as made:
        yield made


@pytest.fixture
def forked(shimmed: Nursery) -> Forked:
    return Forked(shimmed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    path = tmp_path / "small"
    path.mkdir()
    _mount("size=4m", path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def sealed_disk(small_disk: Path) -> Callable[[], None]:
    """Makes the small file system read-only, as it would be after an error of its disk."""
    return lambda: _mount("remount,ro", small_disk)


def _mount(options: str, path: Path) -> None:
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", options, "touchbook-tests", str(path)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is for root alone; the shim's ENOSPC is what everybody can test")
