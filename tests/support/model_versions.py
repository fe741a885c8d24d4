"""Versions that tests add to a model folder."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from repository import COMMITTED

from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.self_test import EncodedImage, SelfTest
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle

NAME = "digits"


def put(folder: Path, number: int) -> str:
    """Add a version to a folder in one step; it answers like the committed bundle. Return its digest."""
    aside = folder / f".{number}"
    shutil.copytree(COMMITTED, aside)
    manifest = json.loads((aside / "manifest.json").read_text())
    manifest["annotations"] = {"version": str(number)}
    (aside / "manifest.json").write_text(json.dumps(manifest))
    return open_bundle(aside.rename(folder / str(number))).digest


def reseal_as(bundle: Path, name: str) -> None:
    """Rename a bundle in its manifest. It stays intact, with another digest."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"name": name}))


def put_with_another_class(folder: Path, number: int) -> Bundle:
    """Add an intact version with a valid proof and eleven logits instead of ten."""
    committed = open_bundle(COMMITTED)
    self_test, network = committed.self_test(), committed.manifest.network
    assert network is not None
    manifest = dataclasses.replace(
        committed.manifest,
        graphs=(Graph("model.onnx", "fp32"),),
        labels=(*committed.manifest.labels, "eleventh"),
        network=dataclasses.replace(network, num_classes=11),
        output=dataclasses.replace(committed.manifest.output, shape=(None, 11)),
    )
    more = SelfTest(
        self_test.images,
        _widened(self_test.logits),
        {engine: _widened(logits) for engine, logits in self_test.engine_logits.items()},
        tuple(_widened_image(image) for image in self_test.encoded),
        self_test.tolerance,
    )
    model = onnx.load(committed.model)
    last = next(node for node in model.graph.node if node.output[0] == "logits")
    last.output[0] = "ten"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 0, 1], np.int64), "pads"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(-99, np.float32), "low"))
    model.graph.node.append(helper.make_node("Pad", ["ten", "pads", "low"], ["logits"]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 11
    return create_bundle(
        folder / str(number),
        manifest=manifest,
        model=model.SerializeToString(),
        self_test=more,
        proof=committed.proof(),
    )


def _widened(logits: np.ndarray) -> np.ndarray:
    return np.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(0, 1)], constant_values=-99)


def _widened_image(image: EncodedImage) -> EncodedImage:
    return dataclasses.replace(image, logits=_widened(image.logits))
