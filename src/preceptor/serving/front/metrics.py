"""Figures for Prometheus. Their labels are bounded: routes and models that there are, and reasons from a list."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from preceptor.serving.front.record import Record
from preceptor.serving.front.served import Served

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self, served: Served) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "preceptor_requests", "Requests that have ended.", ["route", "model", "status"], registry=registry
        )
        self._refusals = Counter("preceptor_refusals", "Requests refused by the front.", ["reason"], registry=registry)
        self._tokens = Counter("preceptor_tokens", "Tokens read and written.", ["model", "way"], registry=registry)
        self._first = Histogram(
            "preceptor_first_token_seconds",
            "From request to first token.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._whole = Histogram(
            "preceptor_request_seconds", "To the end.", ["model"], buckets=SECONDS, registry=registry
        )
        registry.register(_Load(served))

    def count(self, record: Record) -> None:
        """Count a request that has ended."""
        model = record.model or ""
        self._requests.labels(record.route, model, str(record.status)).inc()
        if record.refused is not None:
            self._refusals.labels(record.refused).inc()
        if record.model is None:
            return
        self._tokens.labels(model, "in").inc(record.prompt_tokens)
        self._tokens.labels(model, "out").inc(record.completion_tokens)
        self._whole.labels(model).observe(record.age)
        if record.first_token is not None:
            self._first.labels(model).observe(record.first_token)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self._registry)


class _Load(Collector):
    """What the engines have to do, looked at when it is asked for."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The figures of this moment."""
        active = GaugeMetricFamily("preceptor_slots_active", "Responses being written.", labels=["model"])
        waiting = GaugeMetricFamily("preceptor_queue_length", "Responses that wait for a slot.", labels=["model"])
        for load in self._served.loads():
            active.add_metric([load.model], load.active)
            waiting.add_metric([load.model], load.waiting)
        yield active
        yield waiting
