"""The server's metrics for Prometheus.

For each model: received = succeeded + failed + cancelled + in flight. Labels are names of loaded models, never input
from clients, so a client cannot create time series.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgecnn.protocol.refusal import STATUS, Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of this process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and nothing uses them
        self._registry = CollectorRegistry()
        self._pulled: list[tuple[str, str, str, Callable[[], float]]] = []
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # `process_*`: memory, CPU time, descriptors, start
        model = ["model"]
        self._received = self._counter("requests_received", "Inference requests to a model", model)
        self._succeeded = self._counter("requests_succeeded", "Requests with a result", model)
        self._failed = self._counter("requests_failed", "Requests with an error", [*model, "reason"])
        self._cancelled = self._counter("requests_cancelled", "Client disconnected before the response", model)
        self._in_flight = Gauge(
            "edgecnn_requests_in_flight", "Requests without a response", model, registry=self._registry
        )
        self._ready = Gauge("edgecnn_model_ready", "1 while the model is ready", model, registry=self._registry)
        self._preprocess = self._histogram("preprocess_seconds", "Reading, decoding and resizing", model, _SECONDS)
        self._queue = self._histogram("queue_seconds", "From submission to the start of the run", model, _SECONDS)
        self._inference = self._histogram("inference_seconds", "Run of the engine", model, _SECONDS)
        self._batch = self._histogram("batch_images", "Images per run", model, _IMAGES)
        self._refused = self._counter("http_refused", "Errors before the model was identified", ["status"])
        self._grpc_refused = self._counter(
            "grpc_refused", "Calls that failed before the model was identified", ["code"]
        )

    def pull(self, kind: Literal["gauge", "counter"], name: str, text: str, read: Callable[[], float]) -> None:
        """Add a metric whose value is read when a client reads the page."""
        self._pulled.append((kind, f"edgecnn_{name}", text, read))

    def register(self, collector: Collector) -> None:
        """Add metrics that an object returns when a client reads the page."""
        self._registry.register(collector)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of `pull`, for the registry."""
        for kind, name, text, read in self._pulled:
            family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            yield family(name, text, value=read())

    def of(self, model: str) -> "ModelMetrics":
        """Return the metrics of a model."""
        return ModelMetrics(self, model)

    def refused(self, status: int) -> None:
        """Count an HTTP error that belongs to no model."""
        self._refused.labels(str(status)).inc()

    def grpc_refused(self, code: str) -> None:
        """Count a failed call that belongs to no model; CANCELLED if the client disconnected or sent too much."""
        self._grpc_refused.labels(code).inc()

    def page(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"edgecnn_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"edgecnn_{name}", text, labels, registry=self._registry, buckets=buckets)


class ModelMetrics:
    """The metrics of one model. Each event of a request is one call, so that the counters balance."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._received = metrics._received.labels(model)
        self._succeeded = metrics._succeeded.labels(model)
        self._failed = {reason: metrics._failed.labels(model, reason) for reason in STATUS}
        self._cancelled = metrics._cancelled.labels(model)
        self._in_flight = metrics._in_flight.labels(model)
        self._ready = metrics._ready.labels(model)
        self._preprocess = metrics._preprocess.labels(model)
        self._queue = metrics._queue.labels(model)
        self._inference = metrics._inference.labels(model)
        self._batch = metrics._batch.labels(model)

    def received(self) -> None:
        """Count a new request."""
        self._received.inc()
        self._in_flight.inc()

    def succeeded(self, *, preprocess_s: float, queued_s: float, inference_s: float) -> None:
        """Count a request with a result."""
        self._succeeded.inc()
        self._in_flight.dec()
        self._preprocess.observe(preprocess_s)
        self._queue.observe(queued_s)
        self._inference.observe(inference_s)

    def failed(self, reason: Reason) -> None:
        """Count a request with an error."""
        self._failed[reason].inc()
        self._in_flight.dec()

    def cancelled(self) -> None:
        """Count a request whose client disconnected."""
        self._cancelled.inc()
        self._in_flight.dec()

    def ran(self, images: int) -> None:
        """Count a run of the engine."""
        self._batch.observe(images)

    def ready(self, *, is_ready: bool) -> None:
        """Record whether the model is ready."""
        self._ready.set(is_ready)
