"""Small cascades made from the committed LeNet, without training."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgecnn.bundle.cascade_record import CascadeCost
from edgecnn.bundle.self_test import SelfTestStages
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.pipeline.cascades.assembling import assemble
from edgecnn.pipeline.cascades.cost import Measured
from edgecnn.pipeline.proving import engine_sessions, temporary_graph
from edgecnn.prediction import margin_per_image

FACTOR = np.float32(2)
"""The accurate graph of `make_cascade` returns the fast graph's logits times this, so that a test sees who answered."""


COST = Measured(CascadeCost("onnxruntime", "a processor", 1, fast_ms=1.0, accurate_ms=4.0, expected_ms=1.5))
"""A measurement of both graphs, for tests that must not time anything."""


def doubled(bundle: Bundle, out: Path) -> Bundle:
    """Write a copy of a bundle whose graph returns its logits times `FACTOR`, and so the same answers."""
    model = onnx.load(bundle.model)
    (producer,) = (node for node in model.graph.node if "logits" in node.output)
    producer.output[:] = ["half_logits"]
    model.graph.initializer.append(numpy_helper.from_array(FACTOR, "factor"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["half_logits", "factor"], ["logits"]))
    known = bundle.self_test()
    self_test = dataclasses.replace(
        known,
        logits=known.logits * FACTOR,
        engine_logits={name: logits * FACTOR for name, logits in known.engine_logits.items()},
        encoded=tuple(dataclasses.replace(each, logits=each.logits * FACTOR) for each in known.encoded),
        tolerance=known.tolerance * float(FACTOR),
    )
    manifest = dataclasses.replace(bundle.manifest, name=out.name)
    content = model.SerializeToString()
    return create_bundle(out, manifest=manifest, model=content, self_test=self_test, proof=bundle.proof())


def weakened(bundle: Bundle, out: Path, *, noise: float) -> Bundle:
    """Write a copy of an FP32 bundle with noise in its weights, as another network with the same labels.

    `noise` is the standard deviation of the noise, as a multiple of that of each tensor of weights.
    """
    model, random = onnx.load(bundle.model), np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".weight"):
            changed = values + noise * values.std() * random.standard_normal(values.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    content, known = model.SerializeToString(), bundle.self_test()
    with temporary_graph(content) as path, engine_sessions(path) as sessions:
        found = {name: session.run(known.images) for name, session in sessions.items()}
        session, logits = next(iter(sessions.values())), next(iter(found.values()))
        encoded = [dataclasses.replace(each, logits=session.run(each.pixels[None])[0]) for each in known.encoded]
    self_test = dataclasses.replace(known, logits=logits, engine_logits=found, encoded=tuple(encoded))
    manifest = dataclasses.replace(
        bundle.manifest, name=out.name, reference=dataclasses.replace(bundle.manifest.reference, digest="0" * 64)
    )
    return create_bundle(out, manifest=manifest, model=content, self_test=self_test, proof=bundle.proof())


def make_cascade(fast: Bundle, out: Path, *, share: float = 0.25, accurate: Bundle | None = None) -> Bundle:
    """Write a cascade in which about this share of the self-test images runs again.

    Without `accurate`, the second graph is that of `doubled`, written beside `out`. Both bundles need the same
    self-test images.
    """
    accurate = accurate or doubled(fast, out.with_name(f"{out.name}-accurate"))
    first, second = fast.self_test(), accurate.self_test()
    with engine_sessions(fast.model) as sessions:
        (logits,) = [session.run(first.images) for session in list(sessions.values())[:1]]
    margins = np.sort(margin_per_image(logits, fast.manifest.scores))
    place = max(1, round(share * len(margins)))
    threshold = float((margins[place - 1] + margins[place]) / 2)
    again = margin_per_image(logits, fast.manifest.scores) < threshold
    self_test = dataclasses.replace(
        first,
        logits=np.where(again[:, None], second.logits, first.logits),
        engine_logits={},
        encoded=(),
        tolerance=max(first.tolerance, second.tolerance),
        stages=SelfTestStages(again, first.tolerance, second.tolerance),
    )
    return assemble(fast, accurate, threshold, out, self_test=self_test, proof=accurate.proof())
