"""Metrics of the served versions: their bundles, predictions (see `prediction_counts`) and stages of a cascade.

Only the current version of a model has values. When another one is served, the counts begin again, as Prometheus
expects from counters.
"""

import platform
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgecnn import __version__
from edgecnn.server.models.model import Model
from edgecnn.server.models.prediction_counts import CONFIDENCES
from edgecnn.server.models.version import Version

_BOUNDS = [*(str(bound) for bound in CONFIDENCES[:-1]), "+Inf"]


class VersionMetrics(Collector):
    """Returns the metrics when a client reads the page."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield `edgecnn_build_info`, `_model_info`, `_predictions_total`, `_confidence` and `_cascade_*`."""
        build = {"version": __version__, "python": platform.python_version(), "machine": platform.machine()}
        yield _info("edgecnn_build_info", "This software", build)
        served = {name: model.current for name, model in self._models.items() if model.current is not None}
        yield _info("edgecnn_model_info", "The served bundle", *(_described(*each) for each in served.items()))
        predictions = CounterMetricFamily("edgecnn_predictions", "Predicted classes", labels=["model", "class"])
        confidence = HistogramMetricFamily("edgecnn_confidence", "Highest score of an image", labels=["model"])
        for name, version in served.items():
            for label, count in version.predictions.classes().items():
                predictions.add_metric([name, label], count)
            counts, total = version.predictions.confidences()
            confidence.add_metric([name], list(zip(_BOUNDS, counts, strict=True)), total)
        yield predictions
        yield confidence
        yield from _cascades(served)


def _cascades(served: Mapping[str, Version]) -> Iterator[Metric]:
    text = "Images by the graph of a cascade that answers them: fast or accurate"
    images = CounterMetricFamily("edgecnn_cascade_images", text, labels=["model", "stage"])
    text = "Share of images that ran again on the accurate graph when the cascade was made"
    sealed = GaugeMetricFamily("edgecnn_cascade_sealed_share", text, labels=["model"])
    for name, version in served.items():
        for stage, count in version.stage_images.items():
            images.add_metric([name, stage], count)
        if version.sealed_share is not None:
            sealed.add_metric([name], version.sealed_share)
    yield images
    yield sealed


def _described(name: str, version: Version) -> dict[str, str]:
    number, digest = version.label
    info = version.info
    engine = f"{info.engine} {info.version}"
    precision = version.bundle.manifest.precision
    return {
        "model": name,
        "version": number,
        "digest": digest,
        "precision": precision,
        "engine": engine,
        "device": info.device,
    }


def _info(name: str, text: str, *descriptions: dict[str, str]) -> GaugeMetricFamily:
    """Return a metric whose value is 1 for each description, which is in its labels."""
    family = GaugeMetricFamily(name, text, labels=list(descriptions[0]) if descriptions else None)
    for each in descriptions:
        family.add_metric(list(each.values()), 1)
    return family
