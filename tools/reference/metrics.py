"""The page of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from tools.reference.server import an_application
from tools.reference.text import page
from touchbook.streams.worker_metrics import LEVELS, WorkerMetrics

INTRODUCTION = """
`GET /metrics` gives these in Prometheus' text format; it needs no key and names no customer. Of items and requests at
the doors, at any time: received = accepted + duplicates + rejected + refused.

Counters have the label `source`, whose access key it was (`unknown` without a known one); rejected and refused also
`code`, the [reason](errors.md). `touchbook_lag_touchpoints` has the label `projection`.
"""


OF_WORKERS = """
Workers give these on a port of their own ([`worker_port`](settings.md#worker_port)), on the loopback. Lag has the label
`part`: the partition, of ingress topics `source:partition`.
"""
RUNNING = (
    Metric(
        "touchbook_clock_lag_seconds",
        "For how long the oldest verdict that is due here waits; 0 where another process has the duty",
        "gauge",
    ),
    Metric("touchbook_clock_on_duty", "1 where this process records verdicts, else 0", "gauge"),
    Metric("touchbook_contact_decides", "Of a replica: 1 where it decides whom to contact, else 0", "gauge"),
    Metric("touchbook_contact_unseen", "Of a replica: decisions that its readers may not see yet", "gauge"),
    Metric(
        "touchbook_scores_topic_failures",
        "Of a replica: attempts to keep the topic of scores up that failed since it started",
        "gauge",
    ),
    Metric(
        "touchbook_scores_topic_waiting",
        "Of a replica: customers of whom the topic of scores does not say yet how they stand, up to 10000; 0 where "
        "another tells",
        "gauge",
    ),
    Metric("touchbook_staleness_seconds", "Of a replica: how old what it reads may be", "gauge"),
)
"""What only a server that serves with its clock, or among others, tells."""


def metrics_page() -> str:
    with an_application() as (book, _):
        known = [*book.metrics.collect(), *RUNNING]
    workers = WorkerMetrics()
    for name in LEVELS:
        workers.watch(name, dict)
    return page("Metrics", INTRODUCTION, *_told(known), OF_WORKERS, *_told(workers.collect()))


def _told(metrics: Iterable[Metric]) -> Iterator[str]:
    named = ((f"{one.name}_total" if one.type == "counter" else one.name, one) for one in metrics)
    for name, one in sorted(named, key=lambda found: found[0]):
        yield f"## {name}\n\nA {one.type}. {one.documentation}.\n"
