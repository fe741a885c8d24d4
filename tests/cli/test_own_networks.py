"""Networks of the user through the commands: export, evaluate, verify, quantize, predict, train and inspect."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from factories import save_weights
from PIL import Image

from benchmarks.common.random_networks import realistic
from edgecnn.bundle.manifest import Network, Scores
from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.models import registry
from edgecnn.runtime.classifier import load

pytestmark = pytest.mark.usefixtures("own_registry")

FAMILIES = {
    "mobilenet_v3_small": 64,
    "efficientnet_b0": 64,
    "squeezenet1_1": 64,
    "shufflenet_v2_x0_5": 64,
    "densenet121": 64,
    "convnext_tiny": 64,
    "regnet_x_400mf": 64,
}


def test_exports_a_factory(edgecnn: Callable, code: Path, tmp_path: Path):
    weights = save_weights(f"{code}:Net", tmp_path / "w.pth", num_classes=5)
    out = tmp_path / "net"
    found = edgecnn("export", f"{code}:Net", "--weights", weights, "--image-size", "24,40", "--out", out, "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)
    manifest = open_bundle(out).manifest
    assert manifest.network == Network("net.py:Net", 5, 3, (24, 40))
    assert (manifest.reference.kind, manifest.reference.name) == ("module", "net.py:Net")
    assert len(manifest.reference.source_digest) == 64
    assert manifest.image_shape == (24, 40, 3)
    assert str(tmp_path) not in (out / "manifest.json").read_text()
    Image.effect_mandelbrot((50, 30), (-2, -1, 1, 1), 30).convert("RGB").save(tmp_path / "p.png")
    assert edgecnn("predict", out, tmp_path / "p.png").code == 0


def test_a_bundle_never_names_code(edgecnn: Callable, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = save_weights(f"{code}:binary", tmp_path / "w.pth")
    out = tmp_path / "net"
    assert edgecnn("export", f"{code}:binary", "--weights", weights, "--image-size", 32, "--out", out).code == 0
    registry._REGISTRY.pop("net.py:binary")
    monkeypatch.chdir(tmp_path)  # the name in the bundle is that of a file here
    for split, label, left in itertools.product(("train", "test"), ("0", "1"), (-2, -1.5, -1)):
        folder = tmp_path / "images" / split / label
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.effect_mandelbrot((50, 30), (left, -1, left + 1 + int(label), 1), 30).convert("RGB")
        picture.save(folder / f"{left}{split}.png")
    arguments = ("verify", out, "--data", tmp_path / "images", "--reference", weights)
    refused = edgecnn(*arguments)
    assert (refused.code, "must not make edgecnn run code" in refused.error) == (2, True), refused.err
    assert "imported" not in refused.err
    verified = edgecnn(*arguments, "--arch", "net.py:binary")
    assert verified.code == 0, verified.err


@pytest.mark.slow
def test_one_sigmoid_and_several_labels(edgecnn: Callable, code: Path, tmp_path: Path):
    weights = save_weights(f"{code}:binary", tmp_path / "b.pth")
    (tmp_path / "labels.txt").write_text("cat\n")
    arguments = ("export", f"{code}:binary", "--weights", weights, "--image-size", "32")
    found = edgecnn(*arguments, "--labels", tmp_path / "labels.txt", "--out", tmp_path / "binary")
    assert found.code == 0, found.err
    with load(tmp_path / "binary") as classifier:
        pixels = classifier.bundle.self_test().images[:3]
        logits = classifier.session.run(pixels) if hasattr(classifier, "session") else None
        prediction = classifier.predict(pixels[0])
    assert classifier.bundle.manifest.labels == ("not cat", "cat")
    assert logits is None or (logits[:, 0] == 0).all()
    assert sum(probability for _, probability in prediction.top) == pytest.approx(1)
    weights = save_weights(f"{code}:Net", tmp_path / "n.pth", num_classes=4)
    found = edgecnn(
        *("export", f"{code}:Net", "--weights", weights, "--image-size", "32", "--out", tmp_path / "several"),
        *("--scores", "multi-label", "--threshold", "0.3"),
    )
    assert found.code == 0, found.err
    assert open_bundle(tmp_path / "several").manifest.scores == Scores("sigmoid", multi_label=True, threshold=0.3)


@pytest.mark.slow
def test_rgba(edgecnn: Callable, code: Path, tmp_path: Path):
    weights = save_weights(f"{code}:Net", tmp_path / "w.pth", num_classes=5, in_channels=4)
    out = tmp_path / "rgba"
    found = edgecnn("export", f"{code}:Net", "--weights", weights, "--image-size", "32", "--out", out)
    assert found.code == 0, found.err
    bundle = open_bundle(out)
    self_test = bundle.self_test()
    assert bundle.manifest.preprocessing.mode == "RGBA"
    assert {each.format for each in self_test.encoded} == {"png"}
    assert len(np.unique(self_test.images[..., 3])) > 10
    picture = Image.fromarray(self_test.images[0], "RGBA")
    picture.save(tmp_path / "p.png")
    picture.convert("RGB").save(tmp_path / "p.jpg")
    assert edgecnn("predict", out, tmp_path / "p.png", tmp_path / "p.jpg").code == 0
    assert edgecnn("verify", out).code == 0


def test_refuses_what_cannot_be_exported(edgecnn: Callable, code: Path, tmp_path: Path):
    weights = save_weights(f"{code}:Net", tmp_path / "w.pth")
    out = tmp_path / "out"
    for subject, options, exit_code, named in (
        (f"{code}:Branching", ("--weights", weights), 1, "control flow depends on the values of the images (net.py"),
        (f"{code}:Nett", ("--weights", weights), 2, "did you mean Net?"),
        (f"{tmp_path}/none.py:Net", ("--weights", weights), 2, "does not exist"),
        ("no_such_package.nets:make", ("--weights", weights), 2, "there is no module no_such_package"),
        (str(code), (), 2, "name the function that returns the network"),
        ("torchvision:mobilenet_v2", (), 2, "add --weights FILE|NAME"),
        ("timm:resnet18", (), 2, "add --weights FILE|NAME"),
        ("torchvision:mobilenet_v2", ("--weights", weights), 1, "do not match torchvision:mobilenet_v2"),
        ("torchvision:mobilenetv2", ("--weights", weights), 2, "did you mean mobilenet_v2?"),
    ):
        found = edgecnn("export", subject, *options, "--image-size", "32", "--out", out)
        assert (found.code, named in found.error) == (exit_code, True), found.err
        assert not out.exists()


@pytest.mark.slow
def test_trains_a_factory_and_takes_the_checkpoint(edgecnn: Callable, code: Path, tmp_path: Path):
    word, checkpoint = f"{code}:Net", tmp_path / "checkpoint"
    arguments = ("train", word, "--data", "digits", "--image-size", "16,24", "--epochs")
    found = edgecnn(*arguments, 1, "--out", checkpoint)
    assert found.code == 0, found.err
    assert json.loads((checkpoint / "checkpoint.json").read_text())["options"]["image_size"] == [16, 24]
    resumed = edgecnn(*arguments, 1, "--out", checkpoint, "--resume")
    assert resumed.code == 0, resumed.err
    registry._REGISTRY.pop("net.py:Net")
    for command in ("export", checkpoint, "--out", tmp_path / "b"), ("evaluate", checkpoint, "--data", "digits"):
        refused = edgecnn(*command)
        assert (refused.code, "name the code yourself" in refused.error) == (2, True), refused.err
    refused = edgecnn("inspect", checkpoint)
    assert (refused.code, "edgecnn inspect net.py:Net" in refused.error) == (2, True), refused.err
    found = edgecnn("export", word, "--weights", checkpoint, "--out", tmp_path / "b")
    assert found.code == 0, found.err
    verified = edgecnn("verify", tmp_path / "b", "--data", "digits", "--reference", checkpoint, "--arch", word)
    assert verified.code == 0, verified.err
    assert edgecnn("evaluate", checkpoint, "--data", "digits", "--arch", word).code == 0
    tuned = edgecnn(*arguments, 1, "--out", tmp_path / "tuned", "--weights", checkpoint, "--freeze")
    assert tuned.code == 0, tuned.err
    refused = edgecnn("train", f"{code}:binary", "--data", "digits", "--out", tmp_path / "no", "--image-size", 16)
    assert (refused.code, "give the factory a parameter num_classes" in refused.error) == (2, True), refused.err


def test_fine_tunes_weights_of_other_classes(edgecnn: Callable, code: Path, tmp_path: Path):
    word = f"{code}:Net"
    weights = save_weights(word, tmp_path / "w.pth", num_classes=5)
    found = edgecnn(
        *("train", word, "--data", "digits", "--image-size", 16, "--epochs", 1, "--weights", weights, "--freeze"),
        *("--out", tmp_path / "tuned"),
    )
    assert found.code == 0, found.err
    from safetensors.torch import load_file

    before, after = torch.load(weights, weights_only=True), load_file(tmp_path / "tuned" / "model.safetensors")
    assert after["head.weight"].shape == (10, 64)
    assert torch.equal(after["body.0.weight"], before["body.0.weight"])
    assert torch.equal(after["body.1.running_mean"], before["body.1.running_mean"])


def test_inspects_modules(edgecnn: Callable, code: Path):
    found = json.loads(edgecnn("inspect", f"{code}:Net", "--image-size", "32,48", "--json").out)
    assert found["image_shape"] == [32, 48, 3]
    assert found["layers"][0]["output_shape"] == [8, 16, 24]
    watched = json.loads(edgecnn("inspect", f"{code}:Branching", "--image-size", "32,48", "--json").out)
    assert [each["macs"] for each in watched["layers"]] == [each["macs"] for each in found["layers"]]
    assert watched["layers"][0]["receptive_field"] == 0
    timm_network = json.loads(edgecnn("inspect", "timm:convnext_atto", "--json").out)
    assert not any("training" in each["kind"] for each in timm_network["layers"])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_exports_torchvision(edgecnn: Callable, tmp_path: Path, name: str):
    network = realistic(torchvision.models.get_model(name, weights=None, num_classes=7), size=FAMILIES[name])
    torch.save(network.state_dict(), tmp_path / "w.pth")
    out = tmp_path / "bundle"
    word, size = f"torchvision:{name}", ("--image-size", FAMILIES[name])
    found = edgecnn("export", word, "--weights", tmp_path / "w.pth", *size, "--out", out)
    assert found.code == 0, found.err
    bundle = open_bundle(out)
    assert all(each.comparison.agreement == 1 for each in bundle.proof().engines)
    assert len(bundle.manifest.labels) == 7


@pytest.mark.slow
def test_exports_timm(edgecnn: Callable, tmp_path: Path):
    network = realistic(timm.create_model("mobilenetv3_small_050", num_classes=6), size=96)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    arguments = ("export", "timm:mobilenetv3_small_050", "--weights", tmp_path / "w.pth", "--image-size", 96)
    found = edgecnn(*arguments, "--out", tmp_path / "bundle")
    assert found.code == 0, found.err
    resize = open_bundle(tmp_path / "bundle").manifest.preprocessing.resize
    assert resize is not None
    assert (resize.size, resize.interpolation) == ((109,), "bicubic")


@pytest.mark.slow
def test_trains_torchvision(edgecnn: Callable, tmp_path: Path):
    arguments = ("train", "torchvision:resnet18", "--data", "digits", "--image-size", 32, "--epochs", 1)
    found = edgecnn(*arguments, "--out", tmp_path / "checkpoint")
    assert found.code == 0, found.err
    found = edgecnn("export", tmp_path / "checkpoint", "--out", tmp_path / "bundle")
    assert found.code == 0, found.err
