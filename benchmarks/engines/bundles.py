"""The bundles for `runtime.py`: the committed LeNet, and networks at 224 × 224 with random weights.

These are built once in `build/`. Their weights are random, because speed does not depend on them.
"""

import dataclasses
from pathlib import Path

import numpy as np
import onnx

from benchmarks.common.random_networks import IMAGENET, random_graph
from benchmarks.common.results import BUILD, COMMITTED
from benchmarks.quantization.quantizers import ours
from edgecnn.bundle.finding import MODEL
from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.manifest import Manifest, tensor_specs
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.inspection.graph import count_macs
from edgecnn.pipeline.models.registry import get_architecture
from edgecnn.pipeline.proving import engine_sessions, make_proof, make_self_test, temporary_graph
from edgecnn.runtime.verification.evaluation import Evaluation

RUNTIME = BUILD / "runtime"
PREPROCESSING = Preprocessing("RGB", Resize((256,)), (224, 224), *IMAGENET)
_SELF_TEST = 4


def prepared(network: str, precision: str) -> Bundle:
    """Return a bundle; build it if it does not exist."""
    if network == "lenet":
        return open_bundle(COMMITTED)
    folder = RUNTIME / f"{network}-{precision}"
    return open_bundle(folder) if folder.exists() else _made(folder, network, precision)


def _made(folder: Path, network: str, precision: str) -> Bundle:
    model, pixels = random_graph(network)
    if precision == "int8":
        model = ours(model, pixels[:8], rounding="nearest")
    return sealed(folder, network, model, pixels)


def sealed(folder: Path, network: str, model: onnx.ModelProto, pixels: np.ndarray) -> Bundle:
    """Write a graph with random weights to a bundle. `pixels` is uint8 [N, 224, 224, 3]."""
    content, images = model.SerializeToString(), pixels[:_SELF_TEST]
    with temporary_graph(content) as path, engine_sessions(path) as sessions:
        found = {name: session.run(images) for name, session in sessions.items()}
        expected = next(iter(found.values()))
        self_test = make_self_test(sessions, images, expected, ())
        evaluation = Evaluation(photographs().subset(range(_SELF_TEST)), found)
        labels = [str(index) for index in range(expected.shape[1])]
        proof = make_proof("none: the weights are random", evaluation, expected, sessions, labels=labels)
    manifest = _manifest(folder.name, model, network=network, classes=expected.shape[1])
    folder.parent.mkdir(parents=True, exist_ok=True)
    return create_bundle(folder, manifest=manifest, model=content, self_test=self_test, proof=proof)


def _manifest(name: str, model: onnx.ModelProto, *, network: str, classes: int) -> Manifest:
    """Return the committed bundle's manifest, adapted to another network."""
    committed = open_bundle(COMMITTED).manifest
    assert committed.quantization is not None
    image, logits = tensor_specs((224, 224, 3), classes)
    int8 = name.endswith("int8")
    quantization = dataclasses.replace(committed.quantization, float_tensors={}) if int8 else None
    return dataclasses.replace(
        committed,
        name=name,
        network=get_architecture(network).usual(),
        graphs=(Graph(MODEL, "int8" if int8 else "fp32", count_macs(model), quantization=quantization),),
        labels=tuple(f"class {index}" for index in range(classes)),
        input=image,
        output=logits,
        preprocessing=PREPROCESSING,
    )
