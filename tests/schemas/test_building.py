"""Types are built when they are first used: a start pays for none, and threads that meet in one see it whole."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from touchbook.schemas.catalogue import fitting
from touchbook.schemas.touchpoints.commerce import OrderPlaced

THREADS = 8


def test_a_start_builds_no_type() -> None:
    program = """
from touchbook.schemas.catalogue import CATALOGUE, Catalogue
Catalogue()
print(*(name for name, model in CATALOGUE.items() if model.__pydantic_complete__))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_threads_that_use_a_type_first_at_once_build_it_once_and_all_get_it() -> None:
    built = []

    class Fresh(OrderPlaced):
        """A type that nobody has used yet, and that takes its time to build."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            built.append(source)
            time.sleep(0.05)
            return handler(source)

    start = Barrier(THREADS)

    def first_use(_: int) -> OrderPlaced:
        start.wait()
        return fitting(Fresh, {"order_id": "10482"}, promised=())

    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(first_use, range(THREADS)))

    assert [type(one) for one in read] == [Fresh] * THREADS
    assert built == [Fresh]
