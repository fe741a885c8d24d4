"""Imported weights: no code execution, automatic description, and errors that name the keys."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights

from benchmarks.common.random_networks import realistic
from edgecnn.bundle.manifest import Network
from edgecnn.bundle.self_test import spread
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.importing.options import MEAN, STD, WeightsOptions
from edgecnn.pipeline.importing.weights import from_file, open_weights
from edgecnn.pipeline.models.registry import build

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")

SMALL = WeightsOptions(image_size=(32, 32))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torchvision ResNet-18 with seven classes, as a state dict."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(realistic(torchvision.models.resnet18(num_classes=7)).state_dict(), path)
    return path


@pytest.mark.slow
def test_exports_a_torchvision_state_dict(edgecnn, resnet: Path, tmp_path: Path):
    result = edgecnn("export", "resnet18", "--weights", resnet, "--image-size", 32, "--out", tmp_path / "r18")
    assert result.code == 0, result.err
    bundle = open_bundle(tmp_path / "r18")
    manifest = bundle.manifest
    assert manifest.network == Network("resnet18", 7, 3, (32, 32))
    assert manifest.labels == tuple("0123456")
    assert (manifest.preprocessing.resize.size, manifest.preprocessing.crop) == ((37,), (32, 32))
    assert (manifest.preprocessing.mean, manifest.preprocessing.std) == (MEAN, STD)
    assert manifest.provenance.training is None
    assert bundle.proof().data.source == "photographs"
    assert all(engine.comparison.agreement == 1 for engine in bundle.proof().engines)
    assert all(engine.comparison.top1 is None for engine in bundle.proof().engines)


def test_logits_match_torchvision(resnet: Path):
    reference = from_file("resnet18", resnet, SMALL)
    theirs = torchvision.models.resnet18(num_classes=7)
    theirs.load_state_dict(torch.load(resnet, weights_only=True))
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    normalise = torchvision.transforms.Normalize(MEAN, STD)
    with torch.inference_mode():
        expected = theirs.eval()(normalise(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)).numpy()
    np.testing.assert_allclose(reference.open().run(images), expected, atol=1e-4 * spread(expected))


@pytest.mark.slow
def test_converts_googlenets_input_transform(tmp_path: Path):
    theirs = realistic(torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True))
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    reference = from_file("googlenet", tmp_path / "g.pth", WeightsOptions(image_size=(64, 64)))
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    normalise = torchvision.transforms.Normalize(MEAN, STD)
    with torch.inference_mode():
        expected = theirs(normalise(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)).numpy()
    np.testing.assert_allclose(reference.open().run(images), expected, atol=1e-4 * spread(expected))


def test_accepts_googlenet_without_aux_heads(tmp_path: Path):
    state = build(Network("googlenet", 5, 3, (32, 32))).state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("aux")}, tmp_path / "g.safetensors")
    assert from_file("googlenet", tmp_path / "g.safetensors", SMALL).module()(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_grey_weights_accept_grey_images(tmp_path: Path):
    save_file(build(Network("resnet18", 3, 1, (32, 32))).state_dict(), tmp_path / "grey.safetensors")
    reference = from_file("resnet18", tmp_path / "grey.safetensors", SMALL)
    assert reference.network.in_channels == reference.preprocessing.channels == 1


@pytest.mark.slow
def test_options_override_imagenet_defaults(edgecnn, resnet: Path, tmp_path: Path):
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\nf\ng\n")
    options = ["--image-size", 32, "--resize", 40, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
    result = edgecnn(
        "export", "resnet18", "--weights", resnet, *options, "--labels", tmp_path / "names.txt", "--out", tmp_path / "x"
    )
    assert result.code == 0, result.err
    manifest = open_bundle(tmp_path / "x").manifest
    assert manifest.labels == tuple("abcdefg")
    assert manifest.preprocessing.resize.size == (40,)
    assert manifest.preprocessing.std == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--mean", "red"], "comma-separated numbers"),
        (["--mean", "0.5"], "3 numbers"),
        (["--labels", "nowhere.txt"], "nowhere.txt"),
        (["--image-size", "16"], "images of at least 32 pixels"),
    ],
)
def test_rejects_options_that_do_not_match(edgecnn, resnet: Path, tmp_path: Path, options: list[str], says: str):
    result = edgecnn("export", "resnet18", "--weights", resnet, *options, "--out", tmp_path / "x")
    assert result.code == 2
    assert says in result.error


def test_weights_options_need_weights(edgecnn, tmp_path: Path):
    result = edgecnn("export", tmp_path, "--mean", "0.5,0.5,0.5", "--out", tmp_path / "x")
    assert (result.code, "--mean" in result.error) == (2, True)


@pytest.mark.parametrize("architecture", ["resnet34", "resnet50", "vgg11", "alexnet", "googlenet", "lenet"])
def test_names_keys_of_another_architecture(architecture: str, resnet: Path):
    with pytest.raises(CheckpointError, match=f"do not match {architecture}: .*(missing|extra|other shapes:) "):
        from_file(architecture, resnet, WeightsOptions())


def test_names_keys_that_do_not_match(resnet: Path, tmp_path: Path):
    state = torch.load(resnet, weights_only=True)
    state["surprise"] = torch.zeros(1)
    del state["layer1.0.bn1.bias"]
    state["bn1.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as raised:
        from_file("resnet18", tmp_path / "x.pth", SMALL)
    for part in ("missing layer1.0.bn1.bias", "extra surprise", "bn1.weight [3], expected [64]"):
        assert part in str(raised.value)


def test_rejects_a_pickle_without_executing_it(edgecnn, tmp_path: Path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"conv1.weight": Payload()}, tmp_path / "evil.pth")
    result = edgecnn("export", "resnet18", "--weights", tmp_path / "evil.pth", "--out", tmp_path / "x")
    assert (result.code, "without executing its code" in result.error) == (1, True)
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 9])
def test_rejects_a_file_without_weights(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as raised:
        from_file("resnet18", tmp_path / name, WeightsOptions())
    assert "\n" not in str(raised.value)


def test_torchvision_entries_set_preprocessing(resnet: Path, monkeypatch: pytest.MonkeyPatch):
    state = realistic(torchvision.models.resnet18()).state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **_: state)
    reference = open_weights("resnet18", "IMAGENET1K_V1", WeightsOptions())
    assert reference.labels[0] == "tench"
    assert reference.preprocessing.resize.size == (256,)
    assert reference.preprocessing.crop == (224, 224)
    assert reference.network == Network("resnet18", 1000, 3, (224, 224))


def test_lists_choices_for_an_unknown_entry():
    with pytest.raises(UsageError, match="IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"):
        open_weights("resnet50", "IMAGENET22K", WeightsOptions())
    with pytest.raises(UsageError, match="torchvision has no weights for lenet"):
        open_weights("lenet", "IMAGENET1K_V1", WeightsOptions())


def test_reports_a_failed_download(monkeypatch: pytest.MonkeyPatch):
    def refuse(self: object, **_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(CheckpointError, match="download it on another machine"):
        open_weights("resnet18", "IMAGENET1K_V1", WeightsOptions())


def test_small_stem_weights_need_the_option(tmp_path: Path):
    network = build(Network("resnet18", 4, 3, (32, 32), "small"))
    torch.save(network.state_dict(), tmp_path / "small.pth")
    small = from_file("resnet18", tmp_path / "small.pth", WeightsOptions(image_size=(32, 32), stem="small"))
    assert small.network == Network("resnet18", 4, 3, (32, 32), "small")
    with pytest.raises(CheckpointError, match=r"conv1\.weight \[64, 3, 3, 3\], expected \[64, 3, 7, 7\]"):
        from_file("resnet18", tmp_path / "small.pth", SMALL)
