"""Counters, shown to Prometheus. Plain integers on the hot path; the library comes in when somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Metrics:
    """What one process has done since it started."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    updates: int = 0
    groups: int = 0
    races_lost: int = 0
    queue_refusals: int = 0
    storage_failures: int = 0


class _TraitbaseCollector(Collector):
    def __init__(self, metrics: Metrics, waiting_updates: int) -> None:
        self._metrics = metrics
        self._waiting_updates = waiting_updates

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        answers = CounterMetricFamily("traitbase_http_answers", "HTTP answers", labels=["endpoint", "status"])
        for (endpoint, status), count in sorted(metrics.answers.items()):
            answers.add_metric([endpoint, str(status)], count)
        yield answers
        ignored = CounterMetricFamily("traitbase_values_ignored", "Values ignored, by reason", labels=["reason"])
        for reason, count in sorted(metrics.ignored.items()):
            ignored.add_metric([reason], count)
        yield ignored
        for name, text, value in (
            ("traitbase_updates", "Updates applied and durable", metrics.updates),
            ("traitbase_write_groups", "Transactions of the group-commit writer", metrics.groups),
            (
                "traitbase_write_races_lost",
                "Groups applied again because another process was faster",
                metrics.races_lost,
            ),
            (
                "traitbase_queue_refusals",
                "Requests answered 503 because the write queue was full",
                metrics.queue_refusals,
            ),
            ("traitbase_storage_failures", "Groups that the storage refused", metrics.storage_failures),
        ):
            yield CounterMetricFamily(name, text, value)
        text = "Updates that wait to be written"
        yield GaugeMetricFamily("traitbase_queue_waiting_updates", text, self._waiting_updates)


def exposition(metrics: Metrics, waiting_updates: int, *, of_one_process: bool) -> bytes:
    """Return the metrics in Prometheus' text format. `of_one_process`: with what the system says about this one."""
    registry = CollectorRegistry()
    registry.register(_TraitbaseCollector(metrics, waiting_updates))
    if of_one_process:
        ProcessCollector(registry=registry)
    return generate_latest(registry)
