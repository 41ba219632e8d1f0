"""`python -m tests.servers up`: a Kafka and a ClickHouse to try things with, until it is interrupted or terminated."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("command", choices=["up"])
    parser.add_argument(
        "--dir", type=Path, help="where both keep their data; forgotten at the end if not given"
    )
    parser.add_argument("--kafka-port", type=int, default=0, help="a free one if not given")
    parser.add_argument("--clickhouse-port", type=int, default=0, help="a free one if not given")
    said = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    kafka = Kafka(said.dir and said.dir / "kafka", port=said.kafka_port)
    clickhouse = ClickHouse(said.dir and said.dir / "clickhouse", port=said.clickhouse_port)
    with kafka, clickhouse:
        print(json.dumps({"kafka": f"kafka://{kafka.bootstrap}", "clickhouse": clickhouse.url()}), flush=True)
        while kafka.running and clickhouse.running:
            time.sleep(0.2)
    sys.exit("one of the two ended by itself; its log says why")


if __name__ == "__main__":
    main()
