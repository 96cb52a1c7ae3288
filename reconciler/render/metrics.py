"""Gauges as text that reads the same as OpenMetrics and as the older Prometheus text format.

The two differ for counters, and in what the newer one adds as comments: so gauges alone are written, each text with no
quotes in its help. Amounts are decimals until they are written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.insight.metrics import Gauge


def render_metrics(gauges: Sequence[Gauge]) -> str:
    """Write gauges; raises ImportError without prometheus_client."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.registry import Collector

    class Given(Collector):
        def collect(self) -> list[GaugeMetricFamily]:
            families = []
            for gauge in gauges:
                family = GaugeMetricFamily(gauge.name, gauge.text, labels=gauge.labels, unit=gauge.unit)
                for sample in gauge.samples:
                    family.add_metric(sample.labels, float(sample.value))
                families.append(family)
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Given())
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # the library leaves it without types
    return text.decode()
