"""What a notebook shows for the public classes: tables with the figures, for any class names."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from device import OnADevice
from html_text import rows

import edgecnn
from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.pipeline.inspection.layers import Layer, summed
from edgecnn.pipeline.quantization.quantizing import Quantized
from edgecnn.pipeline.quantization.speed_comparison import EngineComparison, SpeedComparison
from edgecnn.pipeline.reporting.networks import Candidate, Failure, NetworksContent, TrainedNetwork, Variant
from edgecnn.prediction import prediction_of
from edgecnn.runtime.rates import Estimate, rate

NASTY = '<b onclick="alert(1)">cat</b> & <script>'


def relabelled(bundle: Bundle, labels: tuple[str, ...]) -> Bundle:
    output = dataclasses.replace(bundle.manifest.output, shape=(None, len(labels)))
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, labels=labels, output=output))


def test_a_prediction_has_bars():
    html = prediction_of(np.array([3, 1], np.float32), (NASTY, "dog"), top=5)._repr_html_()
    assert rows(html) == [[NASTY], ["label", "probability"], [NASTY, "88.1%"], ["dog", "11.9%"]]
    assert "width:88.1%" in html


def test_a_prediction_that_is_unsure_says_so():
    found = prediction_of(np.array([3, 1], np.float32), ("cat", "dog"), top=1)
    assert rows(dataclasses.replace(found, unsure=True)._repr_html_())[0] == ["cat (unsure)"]


def test_a_prediction_with_several_labels_names_them():
    several = Scores("sigmoid", multi_label=True)
    found = prediction_of(np.array([3, 1, -2], np.float32), ("cat", "dog", "owl"), top=3, scores=several)
    assert rows(found._repr_html_())[0] == ["cat, dog"]
    none = prediction_of(np.array([-3, -1], np.float32), ("cat", "dog"), top=3, scores=several)
    assert rows(none._repr_html_())[0] == ["no label reaches the threshold"]


def test_a_prediction_with_1000_labels_is_short():
    labels = tuple(f"class {number}" for number in range(1000))
    assert len(rows(prediction_of(np.zeros(1000, np.float32), labels, top=1000)._repr_html_())) < 50


def test_a_bundle_shows_its_proof(committed: Bundle):
    found = dict(row for row in rows(committed._repr_html_()) if len(row) == 2)
    assert found["precision"] == "INT8"
    assert found["image"] == "32 × 32 × 1"
    assert found["classes"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert found["digest"] == committed.digest[:12]
    assert "on 385 images" in found["proof on onnxruntime"]


def test_a_bundle_with_1000_classes_is_short(committed: Bundle):
    many = relabelled(committed, (NASTY, *(f"class {number}" for number in range(999))))
    classes = next(row for row in rows(many._repr_html_()) if row[0] == "classes")
    assert classes[1].startswith(f"1,000: {NASTY}, class 0, ")
    assert classes[1].endswith(" and 990 more")


def test_a_removed_bundle_says_so(bundle_copy: Path):
    bundle = open_bundle(bundle_copy)
    shutil.rmtree(bundle_copy)
    assert "No such file" in rows(bundle._repr_html_())[-1][1]


def test_a_classifier_shows_its_session(committed: Bundle):
    with edgecnn.load(committed, engine="onnxruntime", threads=1) as classifier:
        found = rows(classifier._repr_html_())
    assert found[0] == ["Classifier"]
    assert ["threads", "1"] in found
    assert ["Bundle lenet-digits-int8"] in found


def test_a_network_shows_its_layers(committed: Bundle):
    found = rows(edgecnn.inspect(committed)._repr_html_())
    assert found[0][0].startswith("lenet-digits-int8, image 32 × 32 × 1: 61,706 parameters, ")
    assert ["conv1", "Conv 5×5", "6×28×28"] in [row[:3] for row in found]


def test_a_network_of_152_layers_is_short():
    layers = [Layer(f"layer {number}", "Conv2d 3×3", (8, 8, 8), 584, 36864, 3) for number in range(152)]
    found = rows(summed("deep", (8, 8, 3), layers)._repr_html_())
    assert len(found) < 50
    assert found[-1][0] == "layer 151"


def test_a_verification_shows_the_result(committed: Bundle, lying_bundle: Bundle):
    assert rows(edgecnn.verify(committed)._repr_html_())[0] == ["Verification: the proof holds"]
    found = rows(edgecnn.verify(lying_bundle)._repr_html_())
    assert found[0] == ["Verification: the proof does not hold"]
    assert found[-1][0] == "failure"


@pytest.mark.slow
def test_a_verification_shows_the_comparison(committed: Bundle, on_a_device: OnADevice):
    found = edgecnn.verify(committed, data=on_a_device.folder, reference=on_a_device.reference)
    texts = dict(row for row in rows(found._repr_html_()) if len(row) == 2)
    assert found.record.agreement is not None
    assert texts["agreement"] == str(found.record.agreement.agreement)
    assert texts["answers that differ"].endswith(" of 385")


def test_a_quantized_bundle_shows_costs_and_gains(committed: Bundle):
    times = {"fp32_ms": Estimate(2, 1.9, 2.1), "quantized_ms": Estimate(1, 0.9, 1.1), "ratio": Estimate(2, 1.9, 2.1)}
    engines = (
        EngineComparison("onnxruntime", PairedDrop(100, 1, 0, 0.01, -0.01, 0.05), 0.99, **times),
        EngineComparison("openvino", None, 1.0, failure="it is not installed"),
    )
    comparison = SpeedComparison(
        "int8", engines, 1, 200, 100, times["ratio"], is_busy=False, conclusion="twice as fast"
    )
    found = rows(Quantized(committed, ("the gate is undecided",), comparison)._repr_html_())
    assert found[0] == ["Bundle lenet-digits-int8"]
    assert ["twice as fast"] in found
    assert ["onnxruntime", "+1.00 points [-1.00, +5.00]", "99.00%", "2.00 [1.90, 2.10]", "1.00 [0.900, 1.10]"] in [
        row[:5] for row in found
    ]
    assert ["openvino", "unknown", "100.00%", "unknown", "unknown", "it is not installed"] in found
    assert found[-2:] == [["Warnings"], ["the gate is undecided"]]


def test_compared_networks_are_a_table(committed: Bundle):
    inspection, metrics = edgecnn.inspect(committed).inspection, SimpleNamespace(top1=rate(99, 100))
    variant = Variant(NASTY, "int8", committed, inspection, metrics)
    content = NetworksContent(
        data=None,
        networks=(TrainedNetwork(NASTY, None, (variant,)),),
        failures=(Failure("vgg11", "train", "no memory"),),
        benchmark=None,
        candidates=(Candidate(variant, "onnxruntime", Estimate(1, 0.9, 1.1), on_front=True),),
        command="",
        created="",
        version="",
    )
    found = rows(content._repr_html_())
    assert found[1][-2:] == ["size", "onnxruntime, ms"]
    assert found[2][:4] == [NASTY, "INT8", "99.00% [94.55%, 99.82%]", "61,706"]
    assert found[2][-1] == "1.00 [0.900, 1.10] (Pareto front)"
    assert found[-1] == ["vgg11", "train", "no memory"]


def test_an_explanation_is_short(committed: Bundle):
    found = edgecnn.explain(committed, committed.self_test().images[0])
    assert repr(found).startswith("<Explanation of lenet-digits-int8: 0 98.")
    assert len(repr(found)) < 100
    html = found._repr_html_()
    assert "base64" not in html
    assert "6×28×28" in [row[2] for row in rows(html) if len(row) > 2]
