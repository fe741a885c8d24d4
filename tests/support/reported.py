"""Content of pages without training: bundles with other classes, metrics of random logits, and recorded networks."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.manifest import DataReference, FileEntry, tensor_specs
from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics, measure
from edgecnn.pipeline.inspection.graph import inspect_bundle
from edgecnn.pipeline.reporting.networks import Failure, NetworksContent, TrainedNetwork, Variant, candidates_of
from edgecnn.pipeline.training.checkpoint import FORMAT, CheckpointRecord, Compute, Epoch
from edgecnn.pipeline.training.recipes import TrainingOptions
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site
from edgecnn.tuning.measuring.benchmark import Benchmark, Failed, Measured
from edgecnn.tuning.measuring.estimates import Speed

HOSTILE = '</script><img src=x onerror="alert(1)">'
CLASSES = (HOSTILE, "猫 🐈", "قطة", "a long class name with several words in it", "dog")
"""Class names with HTML and in several scripts."""

DATA = DataReference("digits", "test", 200, "a" * 64)


def many_classes(count: int) -> tuple[str, ...]:
    """Return names of many classes, the first ones as in `CLASSES`."""
    return (*CLASSES, *(f"class {number}" for number in range(len(CLASSES), count)))


def random_metrics(labels: Sequence[str], *, images: int = 200, seed: int = 0) -> ClassificationMetrics:
    """Return the metrics of random logits. The last class has no images."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, len(labels) - 1, images)
    logits = generator.normal(size=(images, len(labels))).astype(np.float32)
    logits[np.arange(images), targets] += 2
    return measure(logits, targets, tuple(labels))


def with_classes(bundle: Bundle, labels: tuple[str, ...]) -> Bundle:
    """Return a bundle with other classes in its manifest only."""
    image, logits = tensor_specs(bundle.manifest.image_shape, len(labels))
    manifest = dataclasses.replace(bundle.manifest, labels=labels, input=image, output=logits)
    return dataclasses.replace(bundle, manifest=manifest)


def networks_content(
    bundle: Bundle, labels: tuple[str, ...] = CLASSES, *, names: Sequence[str] = ("lenet", "net.py:make")
) -> NetworksContent:
    """Return a comparison of networks with recorded figures; `bundle` serves as the bundle of every network."""
    networks = tuple(_trained(name, number, bundle, labels) for number, name in enumerate(names))
    variants = [variant for network in networks for variant in network.variants]
    benchmark = Benchmark(
        site=this_site(),
        measured_at="2026-01-02T03:04:05+00:00",
        yardstick_ms=(1.0,),
        peaks={},
        results=tuple(
            _measured(variant, engine, 0.1 * (number + 1) * (1 + which))
            for number, variant in enumerate(variants)
            for which, engine in enumerate(("onnxruntime", "openvino"))
        ),
        failed=(Failed("resnet18-int8", Setting("openvino"), "not enough memory"),),
        is_busy=True,
    )
    return NetworksContent(
        data=DATA,
        networks=networks,
        failures=(Failure(HOSTILE, "train", f"the loss became nan {HOSTILE}"),),
        benchmark=benchmark,
        candidates=candidates_of(variants, benchmark),
        command="edgecnn compare-networks lenet",
        created="2026-01-02T03:04:05+00:00",
        version="0",
    )


def _trained(name: str, number: int, bundle: Bundle, labels: tuple[str, ...]) -> TrainedNetwork:
    own = with_classes(bundle, labels)
    variants = tuple(
        Variant(
            name,
            precision,
            dataclasses.replace(own, digest=f"{number}{precision}"),
            inspect_bundle(bundle),
            random_metrics(labels, seed=number),
        )
        for precision in ("fp32", "int8")
    )
    return TrainedNetwork(name, _record(bundle, labels, epochs=3 + number), variants)


def _record(bundle: Bundle, labels: tuple[str, ...], *, epochs: int) -> CheckpointRecord:
    network = bundle.manifest.network
    assert network is not None
    history = tuple(
        Epoch(2.0 / epoch, 1 - 1 / (1 + epoch), 2.5 / epoch, None if epochs == 3 else 0.5, 1e-3, 1.0, 0.1)
        for epoch in range(1, epochs + 1)
    )
    return CheckpointRecord(
        format=FORMAT,
        network=network,
        labels=labels,
        preprocessing=bundle.manifest.preprocessing,
        source="digits",
        training=DATA,
        validation=None,
        test=DATA,
        test_top1=0.5,
        options=TrainingOptions(epochs=epochs),
        compute=Compute("cpu", "fp32", 2, 1),
        beginning=None,
        history=history,
        best_epoch=epochs,
        created="2026-01-02T03:04:05+00:00",
        versions={},
        weights=FileEntry("", 0),
    )


def _measured(variant: Variant, engine: str, milliseconds: float) -> Measured:
    estimate = Estimate(milliseconds, 0.9 * milliseconds, 1.1 * milliseconds)
    speed = Speed(estimate, estimate, estimate, Estimate(1e3 / milliseconds, 1, 2), 10, (milliseconds,))
    return Measured(
        bundle=variant.bundle.manifest.name,
        digest=variant.bundle.digest,
        model_precision=variant.precision,
        setting=Setting(engine),
        version="1",
        warm_up_runs=1,
        steady=True,
        open_s=0.1,
        resident_bytes=1,
        speed=speed,
        peak_share=None,
        notes=(),
    )
