"""The server's metrics for Prometheus.

For each model: received = succeeded + failed + cancelled + in flight. Labels are names of loaded models, never input
from clients, so a client cannot create time series.

Requests are counted in plain numbers, in the event loop's thread: prometheus_client's own counters take a lock for each
of ten changes, which is a twentieth of the time of a small request.
"""

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgecnn.protocol.refusal import STATUS, Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_IMAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Metrics(Collector):
    """The metrics of this process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and nothing uses them
        self._registry = CollectorRegistry()
        self._models: dict[str, ModelMetrics] = {}
        self._refused: Counter[str] = Counter()
        self._grpc_refused: Counter[str] = Counter()
        self._pulled: list[tuple[str, str, str, Callable[[], float]]] = []
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # `process_*`: memory, CPU time, descriptors, start

    def pull(self, kind: Literal["gauge", "counter"], name: str, text: str, read: Callable[[], float]) -> None:
        """Add a metric whose value is read when a client reads the page."""
        self._pulled.append((kind, f"edgecnn_{name}", text, read))

    def register(self, collector: Collector) -> None:
        """Add metrics that an object returns when a client reads the page."""
        self._registry.register(collector)

    def of(self, model: str) -> "ModelMetrics":
        """Return the metrics of a model."""
        return self._models.setdefault(model, ModelMetrics())

    def refused(self, status: int) -> None:
        """Count an HTTP error that belongs to no model."""
        self._refused[str(status)] += 1

    def grpc_refused(self, code: str) -> None:
        """Count a failed call that belongs to no model; CANCELLED if the client disconnected or sent too much."""
        self._grpc_refused[code] += 1

    def page(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of requests and those of `pull`, for the registry."""
        yield from self._of_models()
        yield _counter("http_refused", "Errors before the model was identified", "status", self._refused)
        text = "Calls that failed before the model was identified"
        yield _counter("grpc_refused", text, "code", self._grpc_refused)
        for kind, name, text, read in self._pulled:
            family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            yield family(name, text, value=read())

    def _of_models(self) -> Iterator[Metric]:
        models = self._models
        received = {name: each.received_count for name, each in models.items()}
        succeeded = {name: each.succeeded_count for name, each in models.items()}
        cancelled = {name: each.cancelled_count for name, each in models.items()}
        in_flight = GaugeMetricFamily("edgecnn_requests_in_flight", "Requests without a response", labels=["model"])
        ready = GaugeMetricFamily("edgecnn_model_ready", "1 while the model is ready", labels=["model"])
        failed = CounterMetricFamily("edgecnn_requests_failed", "Requests with an error", labels=["model", "reason"])
        for name, each in models.items():
            failures = each.failed_counts
            in_flight.add_metric([name], received[name] - succeeded[name] - cancelled[name] - sum(failures.values()))
            ready.add_metric([name], each.is_ready)
            for reason, count in failures.items():
                failed.add_metric([name, reason], count)
        yield _counter("requests_received", "Inference requests to a model", "model", received)
        yield _counter("requests_succeeded", "Requests with a result", "model", succeeded)
        yield failed
        yield _counter("requests_cancelled", "Client disconnected before the response", "model", cancelled)
        yield in_flight
        yield ready
        for index, (name, text, _) in enumerate(_HISTOGRAMS):
            family = HistogramMetricFamily(f"edgecnn_{name}", text, labels=["model"])
            for model, each in models.items():
                family.add_metric([model], *each.histograms[index].values())
            yield family


class Histogram:
    """Counts of values up to each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def values(self) -> tuple[list[tuple[str, float]], float]:
        """Return the buckets as Prometheus defines them, each with the values of the lower ones, and the sum."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self._counts), strict=True)), self._sum


_HISTOGRAMS = (
    ("preprocess_seconds", "Reading, decoding and resizing", _SECONDS),
    ("queue_seconds", "From submission to the start of the run", _SECONDS),
    ("inference_seconds", "Run of the engine", _SECONDS),
    ("batch_images", "Images per run", _IMAGES),
)


class ModelMetrics:
    """The metrics of one model. Each event of a request is one call, so that the counters balance.

    Attributes:
        received_count: new requests.
        succeeded_count: requests with a result.
        failed_counts: requests with an error, by reason.
        cancelled_count: requests whose client disconnected.
        is_ready: whether the model is ready.
        histograms: in the order of `_HISTOGRAMS`.
    """

    def __init__(self) -> None:
        self.received_count = self.succeeded_count = self.cancelled_count = 0
        self.failed_counts: dict[Reason, int] = dict.fromkeys(STATUS, 0)
        self.is_ready = False
        self.histograms = [Histogram(bounds) for _, _, bounds in _HISTOGRAMS]
        self._preprocess, self._queue, self._inference, self._batch = self.histograms

    def received(self) -> None:
        """Count a new request."""
        self.received_count += 1

    def succeeded(self, *, preprocess_s: float, queued_s: float, inference_s: float) -> None:
        """Count a request with a result."""
        self.succeeded_count += 1
        self._preprocess.observe(preprocess_s)
        self._queue.observe(queued_s)
        self._inference.observe(inference_s)

    def failed(self, reason: Reason) -> None:
        """Count a request with an error."""
        self.failed_counts[reason] += 1

    def cancelled(self) -> None:
        """Count a request whose client disconnected."""
        self.cancelled_count += 1

    def ran(self, images: int) -> None:
        """Count a run of the engine."""
        self._batch.observe(images)

    def ready(self, *, is_ready: bool) -> None:
        """Record whether the model is ready."""
        self.is_ready = is_ready


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"edgecnn_{name}", text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
