"""`make cluster`: the demo on many machines' parts, all on this one: a real Kafka, a real ClickHouse, two workers, a
replica. Ctrl-C ends all of it and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka

WORKERS = 2
PARTS = 4
DATABASE = "touchbook"


def main(arguments: list[str]) -> int:
    """Arguments are those of `touchbook demo`."""
    with ExitStack() as ended:
        folder = Path(ended.enter_context(tempfile.TemporaryDirectory(prefix="touchbook-cluster-")))
        print("starting Kafka and ClickHouse", file=sys.stderr)
        kafka = ended.enter_context(Kafka())
        clickhouse = ended.enter_context(ClickHouse())
        clickhouse.execute(f"CREATE DATABASE {DATABASE}")
        environment = {
            **os.environ,
            "TOUCHBOOK_JOURNAL": f"kafka://{kafka.bootstrap}",
            "TOUCHBOOK_PROJECTIONS": clickhouse.url(DATABASE),
            "TOUCHBOOK_MASTER_KEY": str(folder / "master.key"),
            "TOUCHBOOK_WORKER_PORT": "0",
        }
        touchbook = [sys.executable, "-m", "touchbook"]
        ensure = [
            *touchbook,
            "topics",
            "ensure",
            "--partitions",
            str(PARTS),
            "--data",
            str(folder / "ensure"),
        ]
        subprocess.run(ensure, env=environment, check=True)
        for number in range(WORKERS):
            work = [*touchbook, "work", "--data", str(folder / f"worker-{number}"), "--log-level", "warning"]
            ended.callback(_end, subprocess.Popen(work, env=environment, start_new_session=True))
        print(f"Kafka      {kafka.bootstrap}\nClickHouse {clickhouse.url(DATABASE)}", file=sys.stderr)
        demo = subprocess.Popen([*touchbook, "demo", *arguments], env=environment)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, _: _pass_on(demo, number))
        return demo.wait()


def _pass_on(demo: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        demo.send_signal(number)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
