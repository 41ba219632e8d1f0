"""The page of metrics."""

from __future__ import annotations

from tools.reference.server import an_application
from tools.reference.text import page

INTRODUCTION = """
`GET /metrics` gives these in Prometheus' text format; it needs no key and names no customer. Of items and requests at
the doors, at any time: received = accepted + duplicates + rejected + refused.

Counters have the label `source`, whose access key it was (`unknown` without a known one); rejected and refused also
`code`, the [reason](errors.md). `touchbook_lag_touchpoints` has the label `projection`.
"""


def metrics_page() -> str:
    with an_application() as (book, _):
        known = sorted(
            (f"{one.name}_total" if one.type == "counter" else one.name, one.type, one.documentation)
            for one in book.metrics.collect()
        )
    return page("Metrics", INTRODUCTION, *(f"## {name}\n\nA {kind}. {told}.\n" for name, kind, told in known))
