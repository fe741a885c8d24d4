"""`edgecnn.export` and `edgecnn.import_onnx`: modules in memory, and keyword arguments as options."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgecnn
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, OutputExists, UsageError, WeightsNote
from edgecnn.files.digest import digest_file

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")

SIZE = (24, 40)
NORMALISATION = edgecnn.Preprocessing("RGB", edgecnn.Resize(SIZE), None, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


class Small(nn.Module):
    """A network of a user."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3, stride=2)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.head(torch.relu(self.convolution(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return Small()


@pytest.fixture(scope="module")
def bundle(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("memory") / "small-fp32"
    return edgecnn.export(module, out, preprocessing=NORMALISATION, labels=["a", "b", "c"])


def test_exports_a_module_in_memory(module: nn.Module, bundle: Bundle):
    manifest, self_test = bundle.manifest, bundle.self_test()
    assert manifest.preprocessing == NORMALISATION
    assert (manifest.labels, manifest.image_shape) == (("a", "b", "c"), (*SIZE, 3))
    assert (manifest.reference.kind, manifest.reference.name) == ("module", "Small")
    assert manifest.reference.source_digest == digest_file(Path(__file__))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (NORMALISATION.mean, NORMALISATION.std))
    images = torch.from_numpy(self_test.images).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        expected = module.eval()((images - mean) / std).numpy()
    np.testing.assert_allclose(self_test.logits, expected, atol=1e-4)


def test_leaves_the_module_unchanged(module: nn.Module, tmp_path: Path):
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    edgecnn.export(module, tmp_path / "again", image_size=SIZE)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_bundle_has_a_readable_repr(bundle: Bundle):
    text = f"<Bundle {bundle.path}: fp32, 3 classes, 24 × 40 × 3, "
    assert repr(bundle).startswith(text)
    assert repr(bundle).endswith(f"KiB, digest {bundle.digest[:12]}>")


def test_numbers_and_lists_become_options(module: nn.Module, tmp_path: Path):
    bundle = edgecnn.export(
        module, tmp_path / "options", image_size=32, resize=[32, 32], crop=(), mean=[0.5] * 3, std=[0.25] * 3
    )
    assert bundle.manifest.image_shape == (32, 32, 3)
    assert bundle.manifest.preprocessing.mean == (0.5, 0.5, 0.5)
    assert bundle.manifest.labels == ("0", "1", "2")


def test_labels_may_be_a_file(module: nn.Module, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nfox\n")
    bundle = edgecnn.export(module, tmp_path / "b", image_size=SIZE, labels=tmp_path / "labels.txt")
    assert bundle.manifest.labels == ("cat", "dog", "fox")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"imagesize": 32}, r"unknown option 'imagesize' \(did you mean image_size\?\)"),
        ({"preprocessing": NORMALISATION, "mean": (0.5,) * 3}, "--mean are part of preprocessing"),
        (
            {"preprocessing": edgecnn.Preprocessing("RGB", edgecnn.Resize((32,)), None, (0.5,) * 3, (0.5,) * 3)},
            "must set the height and width",
        ),
        ({"image_size": SIZE, "labels": ["a", "b"]}, "has 2 names, Small has 3 classes"),
        ({"image_size": SIZE, "weights": "w.pth"}, "a module in memory has its own weights"),
    ],
)
def test_rejects_arguments(arguments: dict[str, object], message: str, module: nn.Module, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        edgecnn.export(module, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_rejects_preprocessing_for_a_name(tmp_path: Path):
    with pytest.raises(UsageError, match="is for a module in memory"):
        edgecnn.export("lenet", tmp_path / "out", weights="w.pth", preprocessing=NORMALISATION)


def test_rejects_an_existing_output(module: nn.Module, bundle: Bundle):
    with pytest.raises(OutputExists, match="exists"):
        edgecnn.export(module, bundle.path, image_size=SIZE)


def test_exports_a_checkpoint(checkpoint_path: Path, fp32_bundle: Bundle, tmp_path: Path):
    bundle = edgecnn.export(checkpoint_path, tmp_path / "lenet")
    assert bundle.manifest.reference == fp32_bundle.manifest.reference
    assert bundle.proof().preprocessing == "trained"


def test_strict_makes_a_warning_an_error(checkpoint_path: Path, tmp_path: Path):
    weights = checkpoint_path / "model.safetensors"
    options = {"image_size": 32, "resize": (32, 32), "mean": 0.9, "std": 0.01, "data": "digits"}
    with pytest.warns(WeightsNote), pytest.raises(EdgecnnError, match="top-1"):
        edgecnn.export("lenet", tmp_path / "out", weights=weights, strict=True, **options)
    assert not (tmp_path / "out").exists()


def test_imports_an_onnx_file(module: nn.Module, bundle: Bundle, tmp_path: Path):
    graph = onnx.load(str(bundle.model))
    (tmp_path / "net.onnx").write_bytes(graph.SerializeToString())  # it takes uint8 [N, H, W, C]
    imported = edgecnn.import_onnx(tmp_path / "net.onnx", tmp_path / "imported", labels=["a", "b", "c"], layout="nhwc")
    assert imported.manifest.reference.kind == "onnx"
    images = bundle.self_test().images
    with edgecnn.load(imported) as new, edgecnn.load(bundle) as old:
        np.testing.assert_allclose(new.logits(images), old.logits(images), atol=1e-4)


def test_rejects_options_of_pytorch_for_an_onnx_file(bundle: Bundle, tmp_path: Path):
    with pytest.raises(UsageError, match=r"--stem, --key: for weights of PyTorch, .* is an ONNX file"):
        edgecnn.import_onnx(bundle.model, tmp_path / "out", stem="small", key="model")
    assert not (tmp_path / "out").exists()


def test_notes_what_it_assumes(module: nn.Module, tmp_path: Path):
    with pytest.warns(WeightsNote, match="assumed: .*mean 0.485"):
        edgecnn.export(module, tmp_path / "noted", image_size=SIZE)


def test_rejects_options_of_weights_for_a_checkpoint(checkpoint_path: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--mean, --crop require --weights, which is missing"):
        edgecnn.export(checkpoint_path, tmp_path / "out", mean=0.5, crop=())
