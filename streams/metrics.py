"""What operators watch, in Prometheus' form: one registry for each book, every name under `touchbook_`.

Counters speak of items. Every item that came to a door was accepted, a duplicate, or rejected (then it is set aside);
a whole request that was refused counts as one received and one refused. So at any time

    received = accepted + duplicates + rejected + refused
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

NOBODY = "unknown"
"""The source of a request whose key is missing or unknown."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_APPEND = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_VISIBLE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """Counts, times and levels of one book. Every method may be called from any thread and never raises."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._levels: dict[str, Level] = {}
        self._received = self._counter(
            "received", "Items that came to a door, and refused requests", "source"
        )
        self._accepted = self._counter("accepted", "Items recorded in the journal", "source")
        self._duplicates = self._counter("duplicates", "Items that were recorded before", "source")
        self._rejected = self._counter("rejected", "Items set aside, by reason", "source", "code")
        self._refused = self._counter(
            "refused", "Requests turned away as a whole, by reason", "source", "code"
        )
        self._retries = self._counter(
            "retries", "Requests that said in X-Retry-Count that they are retries", "source"
        )
        self._verdicts = self._counter("verdicts", "What the clock recorded, by type", "type")
        self._decisions = self._counter(
            "contact_decisions", "Answers whether customers may be contacted", "source", "decision"
        )
        self._append = Histogram(
            "touchbook_append_seconds", "From append to durable", registry=self._registry, buckets=_APPEND
        )
        self._visible = Histogram(
            "touchbook_visible_seconds",
            "From recorded in the journal to visible in reads",
            registry=self._registry,
            buckets=_VISIBLE,
        )

    def received(self, source: str, items: int) -> None:
        """`items` came in. Called together with what became of them, never before that is known."""
        self._received(source).inc(items)

    def accepted(self, source: str, items: int) -> None:
        self._accepted(source).inc(items)

    def duplicates(self, source: str, items: int) -> None:
        self._duplicates(source).inc(items)

    def rejected(self, source: str, code: str, items: int = 1) -> None:
        self._rejected(source, code).inc(items)

    def refused(self, source: str, code: str) -> None:
        """A whole request was turned away: one received and one refused."""
        self._received(source).inc()
        self._refused(source, code).inc()

    def retried(self, source: str) -> None:
        """A client said that this request is a retry."""
        self._retries(source).inc()

    def verdict(self, type: str) -> None:
        """The clock recorded one."""
        self._verdicts(type).inc()

    def decided(self, source: str, decision: str) -> None:
        """Somebody was told whether a customer may be contacted, or why not even that."""
        self._decisions(source, decision).inc()

    def observe_append(self, seconds: float) -> None:
        self._append.observe(seconds)

    def observe_visible(self, seconds: float) -> None:
        self._visible.observe(seconds)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """The gauge `touchbook_<name>`, read at each scrape and left out of one it fails in. Watched again, the newer
        reading counts."""
        self.watch_each(name, meaning, None, lambda: {"": read()})

    def watch_each(
        self, name: str, meaning: str, label: str | None, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """The same with a label: `read` gives a level for each of its values."""
        if name in self._levels:
            self._registry.unregister(self._levels[name])
        self._levels[name] = Level(f"touchbook_{name}", meaning, label, read)
        self._registry.register(self._levels[name])

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Each of them, as prometheus_client describes it."""
        return self._registry.collect()

    def total(self, name: str) -> int:
        """The sum of `touchbook_<name>_total` over all its labels."""
        samples = (sample for family in self._registry.collect() for sample in family.samples)
        return int(sum(sample.value for sample in samples if sample.name == f"touchbook_{name}_total"))

    def _counter(self, name: str, meaning: str, *labels: str) -> Callable[..., Counter]:
        """Answers the counter of each combination of labels: of sources and codes there are few, and it keeps them."""
        return cache(Counter(f"touchbook_{name}", meaning, labels, registry=self._registry).labels)


class Level(Collector):
    """A gauge that is read at each scrape, and left out of one it fails in."""

    def __init__(
        self, name: str, meaning: str, label: str | None, read: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name, self._meaning, self._read = name, meaning, read
        self._labels = [] if label is None else [label]

    def describe(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> list[GaugeMetricFamily]:
        try:
            levels = self._read()
        except Exception:  # a level that cannot be read must not take the other metrics with it
            return []
        (family,) = self.describe()
        for value, level in levels.items():
            family.add_metric([value] if self._labels else [], level)
        return [family]
