"""A network with several labels per image, from export to the server."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Result
from grpc_asking import asking
from label_tables import LABELS, NETWORK, PREPROCESSING, SEVERAL, images_of, trained, write_lines
from networks import with_large_channel
from repository import COMMITTED
from server_process import serving

import edgecnn as api
from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.errors import SourceWarning
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.quantization.calibration_config import open_calibration
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.recorded import RecordedLogits

Run = Callable[..., Result]


def recorded(bundle: Bundle, table: Path, path: Path) -> Path:
    """Write the bundle's own logits as the reference's."""
    split = open_source(str(table)).split("test")
    session = open_session(bundle)
    logits = run_batches(session, split.all_pixels(PREPROCESSING), classes=len(LABELS))
    session.close()
    RecordedLogits(bundle.manifest.reference.digest, "c" * 64, split.digest, logits).write(path)
    return path


def with_scores(bundle: Bundle, out: Path, scores: Scores) -> Bundle:
    """Return a copy of a bundle with other scores."""
    return create_bundle(
        out,
        manifest=dataclasses.replace(bundle.manifest, name=out.name, scores=scores),
        model=bundle.model.read_bytes(),
        self_test=bundle.self_test(),
        proof=bundle.proof(),
    )


def test_the_proof_has_exact_matches(label_bundle: Bundle):
    assert dataclasses.replace(label_bundle.manifest.scores, unsure_margin=None) == SEVERAL
    for engine in label_bundle.proof().engines:
        assert engine.comparison.agreement == 1
        assert engine.comparison.top1 is not None
        assert engine.comparison.top1 > 0.8
        assert engine.comparison.top1 == engine.comparison.reference_top1
    answers = label_bundle.self_test().logits >= 0
    assert answers.any(axis=0).all()
    assert not answers.any(axis=1).all()  # the digit 1 has no label


def test_images_of_other_classes_prove_without_accuracy(tmp_path: Path):
    with pytest.warns(SourceWarning, match="digits has one class per image, and the network has several labels: the"):
        bundle = export(trained(epochs=0), tmp_path / "b", data="digits")
    assert {engine.comparison.top1 for engine in bundle.proof().engines} == {None}


@pytest.mark.parametrize("engine", installed())
def test_verifies_with_recorded_logits(
    engine: str, label_bundle: Bundle, label_table: Path, tmp_path: Path, edgecnn: Run
):
    reference = recorded(label_bundle, label_table, tmp_path / "logits.npz")
    command = ("verify", label_bundle.path, "--engine", engine, "--data", label_table, "--reference", reference)
    done = edgecnn(*command)
    assert done.code == 0, done.err
    assert "exact match" in done.out
    assert "top-1" not in done.out
    assert "no label has a drop" in done.out
    found = json.loads(edgecnn(*command, "--json").out)
    assert [each["label"] for each in found["agreement"]["per_class"]["classes"]] == list(LABELS)
    assert found["agreement"]["agreement"]["value"] == 1


def test_other_answers_do_not_hold(label_bundle: Bundle, label_table: Path, tmp_path: Path, edgecnn: Run):
    reference = recorded(label_bundle, label_table, tmp_path / "logits.npz")
    with np.load(reference) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    content["logits"][:, 2] *= -1
    np.savez(reference, **content)
    done = edgecnn("verify", label_bundle.path, "--data", label_table, "--reference", reference)
    assert done.code == 3
    assert "385 answers differ" in done.out
    assert "agreement with the reference is" in done.error


def test_predicts_the_labels_above_the_threshold(label_bundle: Bundle, label_table: Path, edgecnn: Run):
    images = images_of(label_table, 1, 7, 2)
    lines = edgecnn("predict", label_bundle.path, *images).out.splitlines()
    assert ": no label; below the threshold: " in lines[0]
    assert {each.rpartition(" ")[0] for each in lines[1].split(": ")[1].split(";")[0].split(", ")} == {
        "above 4",
        "prime",
    }
    found = edgecnn("predict", label_bundle.path, *images, "--json", "--top", 1).json_lines
    assert [set(each["labels"]) for each in found] == [set(), {"above 4", "prime"}, {"even", "prime"}]
    assert all(each["label"] == each["top"][0]["label"] for each in found)
    short = edgecnn("predict", label_bundle.path, images[1], "--top", 1).out
    assert short.endswith("% and 1 more\n")


def test_evaluates_each_label(label_bundle: Bundle, label_table: Path, tmp_path: Path, edgecnn: Run):
    command = ("evaluate", label_bundle.path, "--data", label_table)
    done = edgecnn(*command, "--plot", tmp_path / "plot.png")
    assert done.code == 0, done.err
    assert "exact match" in done.out
    assert done.out.splitlines()[3].split() == ["label", "images", "accuracy", "precision", "recall", "F1"]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    metrics = json.loads(edgecnn(*command, "--json").out)["metrics"]
    assert list(metrics["per_label"]) == list(LABELS)
    expected = label_bundle.proof().engines[0].comparison.top1
    assert metrics["exact_match"]["value"] == expected
    assert "confusion" not in metrics


def test_names_data_of_the_other_kind(label_bundle: Bundle, label_table: Path, tmp_path: Path, edgecnn: Run):
    done = edgecnn("evaluate", label_bundle.path, "--data", "digits")
    assert (done.code, "pass a CSV file with the header path,LABEL,LABEL,…" in done.error) == (1, True)
    done = edgecnn("evaluate", COMMITTED, "--data", label_table)
    assert (done.code, "labels.csv has several labels per image, and " in done.error) == (1, True)
    done = edgecnn("train", "lenet", "--data", label_table, "--out", tmp_path / "c")
    assert (done.code, "expected one class per image, as in an image folder" in done.error) == (1, True)
    (image,) = images_of(label_table, 3)
    fewer = write_lines(tmp_path / "fewer.csv", ["path,even,prime,split", f"{image},0,1,test"])
    done = edgecnn("evaluate", label_bundle.path, "--data", fewer)
    assert (done.code, "fewer.csv has no column above 4, a label of " in done.error) == (1, True)


def test_a_server_answers_like_a_classifier(label_bundle: Bundle, label_table: Path, edgecnn: Run):
    images = images_of(label_table, *range(10))
    with (
        serving("--grpc-port", 0, bundles=[label_bundle.path]) as server,
        api.load(label_bundle.path) as classifier,
        api.Client(f"http://127.0.0.1:{server.port}") as client,
    ):
        assert client.predict(images) == classifier.predict(images)
        scores = client.card()["scores"]
        assert scores.pop("unsure_margin") > 0
        assert scores == {"activation": "sigmoid", "multi_label": True, "threshold": 0.5}
        done = edgecnn("predict", "--url", f"http://127.0.0.1:{server.port}", images[1])
        assert ": no label; below the threshold: " in done.out
        with asking(server) as asker:
            pixels = label_bundle.self_test().images[:4]
            np.testing.assert_allclose(asker.infer(pixels), label_bundle.self_test().logits[:4], atol=1e-3)


def test_one_label_of_sigmoids(label_bundle: Bundle, label_table: Path, tmp_path: Path):
    bundle = with_scores(label_bundle, tmp_path / "one", Scores("sigmoid"))
    with api.load(bundle.path) as classifier:
        (found,) = classifier.predict(images_of(label_table, 7))
    assert found.labels == (found.label,)
    assert sum(probability for _, probability in found.top) > 1.5


@pytest.mark.slow
def test_a_network_may_have_a_single_label(label_table: Path, tmp_path: Path, edgecnn: Run):
    lines = [",".join(line.split(",")[:3]) for line in label_table.read_text().splitlines()]
    table = write_lines(label_table.parent / "even.csv", lines)
    whole = trained(epochs=1)
    state = whole.state | {name: whole.state[name][:1] for name in ("fc3.weight", "fc3.bias")}
    network = dataclasses.replace(NETWORK, num_classes=1)
    alone = dataclasses.replace(whole, network=network, state=state, labels=LABELS[:1])
    bundle = export(alone, tmp_path / "even", data=str(table))
    assert edgecnn("verify", bundle.path).code == 0
    assert edgecnn("evaluate", bundle.path, "--data", table).code == 0
    one, two = images_of(label_table, 1, 2)
    done = edgecnn("predict", bundle.path, one, two)
    assert "no label; below the threshold: even" in done.out.splitlines()[0]
    assert done.out.splitlines()[1].split(": ")[-1].startswith("even ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [QuantizationOptions(), QuantizationOptions(precision="fp16")], ids=["int8", "fp16"]
)
def test_quantizes(options: QuantizationOptions, label_bundle: Bundle, label_table: Path, tmp_path: Path, edgecnn: Run):
    done = quantize(label_bundle, open_calibration(str(label_table)), tmp_path / "small", options=options)
    bundle = open_bundle(done.bundle.path)
    proof = bundle.proof()
    assert bundle.manifest.scores == label_bundle.manifest.scores
    assert {engine.engine for engine in proof.engines} == set(installed())
    for engine in proof.engines:
        assert engine.comparison.agreement > 0.97
        assert engine.comparison.top1 is not None
        assert engine.per_class is not None
    assert proof.gate is not None
    assert proof.gate.decision in ("passed", "repaired", "undecided")
    assert proof.gate.per_class is not None
    for name in installed():
        assert edgecnn("verify", bundle.path, "--engine", name).code == 0
        evaluated = edgecnn("evaluate", bundle.path, "--engine", name, "--data", label_table)
        assert evaluated.code == 0, evaluated.err


@pytest.mark.slow
def test_the_gate_returns_layers_to_float(label_bundle: Bundle, label_table: Path, tmp_path: Path):
    manifest = dataclasses.replace(label_bundle.manifest, name="large")
    parent = create_bundle(
        tmp_path / "large",
        manifest=manifest,
        model=with_large_channel(label_bundle.model).SerializeToString(),
        self_test=label_bundle.self_test(),
        proof=label_bundle.proof(),
    )
    gate = quantize(parent, open_calibration(str(label_table)), tmp_path / "small").bundle.proof().gate
    assert gate is not None
    assert gate.decision == "repaired"
    assert gate.before.lost > gate.after.lost
