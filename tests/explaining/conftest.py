"""Explanations and the browser, for tests of the page "Inside the network"."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from broken_models import graph, reseal
from browser import FileTab, chromium
from graphs import weights
from inside_page import Show, row
from onnx import helper, numpy_helper
from repository import COMMITTED

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.explaining.explain import explain
from edgecnn.explaining.explanation import Explanation
from edgecnn.explaining.page import explain_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

node = helper.make_node
MEAN, DEVIATION = 0.306546 * 255, 0.324042 * 255


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def branched(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle with strides, padding, branches, a skip connection, and an operator without a picture."""
    path = Path(shutil.copytree(COMMITTED, tmp_path_factory.mktemp("branched") / COMMITTED.name))
    constants = {
        "scale": np.float32([1 / DEVIATION]),
        "shift": np.float32([-MEAN / DEVIATION]),
        "zero": np.float32([0]),
        "one": np.float32([1]),
        "first": weights(6, 1, 5, 5),
        "first_bias": weights(6, seed=1),
        "small": weights(4, 6, 1, 1, seed=2),
        "large": weights(4, 6, 3, 3, seed=3),
        "pooled": weights(4, 6, 1, 1, seed=4),
        "inner": weights(12, 12, 3, 3, seed=5),
        "fc": weights(10, 12, seed=6),
        "fc_bias": weights(10, seed=7),
    }
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2]),
        node("Cast", ["planar"], ["float"], to=1),
        node("BatchNormalization", ["float", "scale", "shift", "zero", "one"], ["normalized"], epsilon=0.0),
        node("Conv", ["normalized", "first", "first_bias"], ["conv"], strides=[2, 2], pads=[2, 2, 2, 2]),
        node("Relu", ["conv"], ["relu"]),
        node("MaxPool", ["relu"], ["pool"], strides=[2, 2], **same),
        node("Conv", ["pool", "small"], ["branch1"]),
        node("Conv", ["pool", "large"], ["branch2"], **same),
        node("AveragePool", ["pool"], ["mean"], **same),
        node("Conv", ["mean", "pooled"], ["branch3"]),
        node("Concat", ["branch1", "branch2", "branch3"], ["concat"], axis=1),
        node("Conv", ["concat", "inner"], ["residue"], **same),
        node("Add", ["residue", "concat"], ["add"]),
        node("Erf", ["add"], ["erf"]),
        node("GlobalAveragePool", ["erf"], ["global"]),
        node("Flatten", ["global"], ["flat"]),
        node("Gemm", ["flat", "fc", "fc_bias"], ["logits"], transB=1),
    ]
    initializers = tuple(numpy_helper.from_array(value, name) for name, value in constants.items())
    return open_bundle(reseal(path, graph(nodes, initializers=initializers)))


@pytest.fixture(scope="module")
def digit() -> np.ndarray:
    images: np.ndarray = open_bundle(COMMITTED).self_test().images
    return images[0]


@pytest.fixture(scope="module")
def lenet(digit: np.ndarray) -> Explanation:
    return explain(open_bundle(COMMITTED), digit)


@pytest.fixture(scope="module")
def network(branched: Bundle, digit: np.ndarray) -> Explanation:
    return explain(branched, digit)


@pytest.fixture
def show(browser: "Browser", tmp_path: Path) -> Iterator[Show]:
    """Return a function that opens the page of an explanation; errors and requests of the page fail the test."""
    tabs: list[FileTab] = []

    def opened(explanation: Explanation, *layers: str, **settings: Any) -> FileTab:
        path = tmp_path / f"{len(tabs)}.html"
        path.write_text(explain_page(explanation, settings.pop("language", "en")).html)
        tabs.append(FileTab(browser, path, **settings))
        for each in layers:
            row(tabs[-1], each).locator(".layer-head").click()
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.end()
