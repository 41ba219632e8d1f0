"""What operators watch of a worker, on a port of its own that only this machine can reach."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric

from touchbook.streams.metrics import CONTENT_TYPE, Level

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_VISIBLE = (*_SECONDS, 300, 1800)
_RECORDS = (1, 10, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000)


LEVELS = {
    "lag_records": ("part", "Records of the journal, by partition, that this worker has not acknowledged"),
    "ingress_lag_records": ("part", "The same of ingress topics"),
    "cached_subjects": (
        "rows",
        "Subjects met since the start whose rows were at hand, and those who were looked up in ClickHouse",
    ),
}
"""What is read at each scrape: name → (label, meaning)."""


class WorkerMetrics:
    """Counts, times and levels of one worker. Every method may be called from any thread and never raises."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._levels: dict[str, Level] = {}
        self._counters = {
            name: Counter(f"touchbook_worker_{name}", meaning, registry=self._registry)
            for name, meaning in (
                ("records", "Records of the journal that were saved"),
                ("duplicates", "Records whose touchpoint was recorded before, and which were skipped"),
                ("reused", "Records set aside because their id was used before with other content"),
                ("unreadable", "Records that could not be folded"),
                ("published_rows", "Rows written to the compacted topics"),
                ("repaired", "Subjects whose rows were published again after a stale owner had written"),
                ("ingress_accepted", "Records of ingress topics that went into the journal"),
                ("rebalances", "How often partitions of the journal were given out anew"),
                ("failures", "Attempts to save that failed and were repeated"),
            )
        }
        self._set_aside = Counter(
            "touchbook_worker_ingress_rejected",
            "Records of ingress topics that were set aside",
            ["source", "code"],
            registry=self._registry,
        )
        self._pack = self._histogram("pack_records", "Records in a pack", _RECORDS)
        self._gather = self._histogram("gather_records", "Records saved in one write", _RECORDS)
        self._folding = self._histogram("fold_seconds", "Folding what is saved in one write", _SECONDS)
        self._saving = self._histogram("save_seconds", "Saving and publishing one write", _SECONDS)
        self._store = self._histogram("store_seconds", "ClickHouse taking the rows of one write", _SECONDS)
        self._visible = self._histogram(
            "visible_seconds", "From recorded in the journal to saved and published", _VISIBLE
        )

    def count(self, name: str, by: int = 1) -> None:
        """Adds to `touchbook_worker_<name>_total`."""
        self._counters[name].inc(by)

    def rejected(self, source: str, code: str, records: int) -> None:
        self._set_aside.labels(source, code).inc(records)

    def packed(self, records: int) -> None:
        self._pack.observe(records)

    def folded(self, seconds: float) -> None:
        self._folding.observe(seconds)

    def stored(self, seconds: float) -> None:
        self._store.observe(seconds)

    def saved(self, records: int, seconds: float, oldest: float, newest: float) -> None:
        """A write of so many records; how long ago the oldest and the newest of them were recorded, in seconds."""
        self._gather.observe(records)
        self._saving.observe(seconds)
        self._counters["records"].inc(records)
        self._visible.observe(max(oldest, 0.0))
        self._visible.observe(max(newest, 0.0))

    def total(self, name: str) -> int:
        """What `touchbook_worker_<name>_total` stands at."""
        samples = (one for family in self._counters[name].collect() for one in family.samples)
        return int(sum(one.value for one in samples if one.name.endswith("_total")))

    def watch(self, name: str, read: Callable[[], Mapping[str, float]]) -> None:
        """The gauge `touchbook_worker_<name>`, one of LEVELS, read at each scrape and left out of one it fails in."""
        if name in self._levels:
            self._registry.unregister(self._levels[name])
        label, meaning = LEVELS[name]
        self._levels[name] = Level(f"touchbook_worker_{name}", meaning, label, read)
        self._registry.register(self._levels[name])

    def collect(self) -> Iterable[Metric]:
        """Each of them, as prometheus_client describes it."""
        return self._registry.collect()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"touchbook_worker_{name}", meaning, registry=self._registry, buckets=buckets)


class WorkerDoor:
    """`/healthz`, `/readyz` and `/metrics` over HTTP, on the loopback. Port 0 takes any that is free."""

    def __init__(
        self,
        port: int,
        metrics: WorkerMetrics,
        alive: Callable[[], str | None],
        ready: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`alive` says why it is not, if so; `ready` what keeps it from folding, by name, empty if nothing does."""
        routes: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/healthz": lambda: _told({"stopped": why} if (why := alive()) else {}),
            "/readyz": lambda: _told(ready()),
            "/metrics": lambda: (200, CONTENT_TYPE, metrics.text()),
        }

        class Answering(BaseHTTPRequestHandler):
            server_version, sys_version = "touchbook", ""
            timeout = 5.0

            def do_GET(self) -> None:
                answer = routes.get(self.path.partition("?")[0], lambda: _told({"route": "unknown"}, 404))
                status, content_type, body = answer()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """A probe every few seconds is no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="worker-door", args=(0.1,), daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _told(wrong: Mapping[str, Any], status: int = 503) -> tuple[int, str, bytes]:
    said = {"status": "ok"} if not wrong else {"status": "failing", **wrong}
    return (status if wrong else 200), "application/json", json.dumps(said).encode()
