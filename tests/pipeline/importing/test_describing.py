"""Numbers of classes and channels of any module, from its weights and from a run."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from factories import save_weights

from edgecnn.bundle.manifest import Scores
from edgecnn.errors import CheckpointError, EdgecnnError, UsageError, WeightsNote
from edgecnn.pipeline.importing.options import MEAN, WeightsOptions
from edgecnn.pipeline.importing.weights import from_factory, open_weights
from edgecnn.pipeline.torch_reference import TorchReference

pytestmark = pytest.mark.usefixtures("own_registry")

SMALL = {"image_size": (32, 32)}
SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet_v3_small", "densenet121", "vit_b_32", "swin_t")
]


def opened(word: str, path: Path, **options: Any) -> tuple[TorchReference, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsNote)
        return open_weights(word, str(path), WeightsOptions(**options)), [str(each.message) for each in caught]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["Net", "Fixed"])
def test_reads_classes_and_channels(code: Path, tmp_path: Path, name: str, channels: int):
    path = save_weights(f"{code}:{name}", tmp_path / "w.pth", num_classes=6, in_channels=channels)
    found, notes = opened(f"{code}:{name}", path, **SMALL)
    assert (found.network.num_classes, found.network.in_channels) == (6, channels)
    assert found.preprocessing.channels == channels
    assert (found.kind, found.name, found.source_digest is None) == ("module", f"net.py:{name}", False)
    assert ("mean 0,0,0,0, std 1,1,1,1" in notes[0]) == (channels == 4)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, channels), dtype=np.uint8)
    assert found.open().run(images).shape == (2, 6)


@pytest.mark.parametrize("name", ["squeezenet1_1", "regnet_x_400mf", *SLOW])
def test_reads_classes_of_torchvision_networks(tmp_path: Path, name: str):
    torch.save(torchvision.models.get_model(name, weights=None, num_classes=7).state_dict(), tmp_path / "w.pth")
    size = (224, 224) if name == "vit_b_32" else (64, 64)
    found, _ = opened(f"torchvision:{name}", tmp_path / "w.pth", image_size=size)
    assert (found.network.num_classes, found.network.in_channels) == (7, 3)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_leaves_out_heads_for_training(tmp_path: Path):
    network = torchvision.models.googlenet(num_classes=5, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    found, notes = opened("torchvision:googlenet", tmp_path / "w.pth", image_size=(64, 64))
    assert found.network.num_classes == 5
    assert "left out aux1, aux2 (used in training only)" in notes[0]
    assert "transform_input=True" in notes[1]
    assert found.preprocessing.mean != MEAN


def test_timm_states_the_preprocessing(tmp_path: Path):
    torch.save(timm.create_model("mobilenetv3_small_050", num_classes=5, in_chans=1).state_dict(), tmp_path / "w.pth")
    found, notes = opened("timm:mobilenetv3_small_050.lamb_in1k", tmp_path / "w.pth", image_size=(64, 64))
    assert (found.network.num_classes, found.network.in_channels) == (5, 1)
    resize = found.preprocessing.resize
    assert resize is not None
    assert (resize.size, resize.interpolation, found.preprocessing.crop) == ((73,), "bicubic", (64, 64))
    assert notes[0].endswith("assumed: the data config of timm:mobilenetv3_small_050.lamb_in1k, mean 0.449, std 0.226")


def test_one_sigmoid_becomes_two_logits(code: Path, tmp_path: Path):
    path = save_weights(f"{code}:binary", tmp_path / "w.pth")
    found, _ = opened(f"{code}:binary", path, labels=("cat",), **SMALL)
    assert (found.labels, found.network.num_classes, found.scores) == (("not cat", "cat"), 1, Scores())
    logits = found.open().run(np.zeros((2, 32, 32, 3), np.uint8))
    assert logits.shape == (2, 2)
    assert (logits[:, 0] == 0).all()
    several, _ = opened(f"{code}:binary", path, scores="multi-label", threshold=0.3, **SMALL)
    assert (several.labels, several.scores.threshold) == (("0",), 0.3)
    np.testing.assert_array_equal(several.open().run(np.zeros((2, 32, 32, 3), np.uint8)), logits[:, 1:])


def test_pixels_of_0_to_255(code: Path, tmp_path: Path):
    path = save_weights(f"{code}:Net", tmp_path / "w.pth")
    found, _ = opened(f"{code}:Net", path, pixel_range="0-255", mean=(104.0, 117.0, 123.0), **SMALL)
    np.testing.assert_allclose(np.array(found.preprocessing.mean) * 255, (104, 117, 123))
    np.testing.assert_allclose(np.array(found.preprocessing.std) * 255, (1, 1, 1))


def test_a_factory_may_return_trained_weights(code: Path):
    with pytest.warns(WeightsNote) as notes:
        found = from_factory(f"{code}:grey", WeightsOptions(**SMALL))
    assert (found.network.in_channels, found.network.num_classes) == (1, 3)
    assert "took the weights that it returns" in str(notes[0].message)
    assert found.open().run(np.zeros((1, 32, 32, 1), np.uint8)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "options", "code_of_exit", "named"),
    [
        ("Pair", SMALL, 1, "returns a tuple of 2 elements"),
        ("Softmax", SMALL, 1, "net.py:Softmax ends with a softmax: return the values before it"),
        ("Sigmoid", SMALL, 1, "net.py:Sigmoid ends with a sigmoid: return the values before it"),
        ("Map", SMALL, 1, r"returns a tensor of shape \[2, 3, 32, 32\] for 2 images.*flatten"),
        ("Fixed", {"image_size": (32, 48)}, 1, "other shapes: flat.weight"),
        ("Net", {"scores": "softmax"} | SMALL, 0, ""),
        ("Net", {"stem": "small"} | SMALL, 2, "has the stems standard"),
        ("Net", {"transform_input": True} | SMALL, 2, "--transform-input is a property of GoogLeNet"),
    ],
)
@pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")
def test_refuses_other_modules(
    code: Path, tmp_path: Path, name: str, options: dict[str, Any], code_of_exit: int, named: str
):
    kind = name if name == "Fixed" else "Net"
    path = save_weights(f"{code}:{kind}", tmp_path / "w.pth")
    if not code_of_exit:
        opened(f"{code}:{name}", path, **options)
        return
    with pytest.raises(EdgecnnError, match=named) as raised:
        opened(f"{code}:{name}", path, **options)
    assert (raised.value.exit_code, "\n" in str(raised.value)) == (code_of_exit, False)


def test_asks_for_the_image_size_of_a_module_that_fails(tmp_path: Path):
    (tmp_path / "mlp.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(3 * 28 * 28, 5)\n    def forward(self, x):\n        return self.fc(x.flatten(1))\n"
    )
    path = save_weights(f"{tmp_path / 'mlp.py'}:Net", tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"fails on images of 224 × 224 .*mlp.py, line 7\); give .*--image-size"):
        opened(f"{tmp_path / 'mlp.py'}:Net", path)
    with pytest.raises(EdgecnnError, match=r"does the network take this --image-size\?"):
        opened(f"{tmp_path / 'mlp.py'}:Net", path, **SMALL)
    assert opened(f"{tmp_path / 'mlp.py'}:Net", path, image_size=(28, 28))[0].network.num_classes == 5


def test_refuses_two_channels(code: Path, tmp_path: Path):
    path = save_weights(f"{code}:Net", tmp_path / "w.pth", in_channels=2)
    with pytest.raises(CheckpointError, match="2 channels: expected 1 channel for grey, 3 for colour, or 4"):
        opened(f"{code}:Net", path, **SMALL)


def test_refuses_names_of_the_hub(tmp_path: Path):
    with pytest.raises(UsageError, match="downloads nothing from the Hugging Face hub: pass a file"):
        opened("timm:mobilenetv3_small_050", tmp_path / "lamb_in1k")
