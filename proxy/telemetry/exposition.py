"""How the numbers leave: the Prometheus text format 0.0.4, written here because a scrape must not hold up streams, and a
`prometheus_client` registry over the same families for those who want to embed or extend it.

`generate_latest` builds every line from objects again at each scrape; here all that is constant of a line is kept (`families`), and
the text comes in parts, so that the listener can let the event loop turn between them.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.telemetry.families import AnyFamily, Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _process_collectors(registry: CollectorRegistry) -> CollectorRegistry:
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


_PROCESS = _process_collectors(CollectorRegistry())  # reads /proc when it is asked; holds no numbers of its own


def parts(families: Iterable[AnyFamily]) -> Iterator[bytes]:
    """The families, then `process_*` and `python_info`."""
    for family in families:
        for text in family.exposition():
            yield text.encode()
    yield generate_latest(_PROCESS)


def registry(families: Iterable[AnyFamily]) -> CollectorRegistry:
    """A registry that collects the families, `process_*` and `python_info`."""
    out = CollectorRegistry()
    out.register(_Families(families))
    return _process_collectors(out)


class _Families(Collector):
    """The families as `prometheus_client` metrics."""

    def __init__(self, families: Iterable[AnyFamily]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            spec = family.spec
            match spec.kind:
                case Kind.COUNTER:
                    counter = CounterMetricFamily(spec.name.removesuffix("_total"), spec.help, labels=spec.labels)
                    for labels, slots in family.samples():
                        counter.add_metric(labels, slots[0])
                    yield counter
                case Kind.GAUGE:
                    gauge = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
                    for labels, slots in family.samples():
                        gauge.add_metric(labels, slots[0])
                    yield gauge
                case Kind.HISTOGRAM:
                    histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
                    bounds = [*map(repr, spec.bounds), "+Inf"]
                    for labels, slots in family.samples():
                        buckets = list(zip(bounds, accumulate(slots[:-1]), strict=True))
                        histogram.add_metric(labels, buckets, sum_value=slots[-1])
                    yield histogram
