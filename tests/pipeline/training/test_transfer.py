"""Fine-tuning: keeps trained weights, replaces the last layer, and rejects weights that do not match."""

from pathlib import Path

import pytest
import torch

from benchmarks.common.random_networks import realistic
from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.models.registry import architectures, build, get_architecture
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import TrainingOptions

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")

FROZEN = TrainingOptions(epochs=1, image_size=32, freeze=True, validation=0)


class TwoColours:
    """Thirty-two small colour images in two classes."""

    name, labels, mode = "colours", ("red", "blue"), "RGB"

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        pixels = torch.randint(0, 120, (32, 32, 32, 3), generator=generator)
        targets = torch.arange(32) % 2
        pixels[targets == 0, :, :, 0] += 130
        pixels[targets == 1, :, :, 2] += 130
        return Split(self.name, name, ArrayImages(pixels.byte().numpy()), targets.numpy())


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state dict of a ResNet-18 with 1,000 classes and torchvision's keys."""
    path = tmp_path_factory.mktemp("foreign") / "resnet18.pth"
    torch.save(realistic(build(Network("resnet18", 1000, 3, (32, 32)))).state_dict(), path)
    return path


@pytest.mark.parametrize("architecture", [each.name for each in architectures()])
def test_every_architecture_defines_its_heads(architecture: str):
    described = get_architecture(architecture).usual()
    with torch.device("meta"):
        network = build(described)
    for head in get_architecture(architecture).heads:
        module = network.get_submodule(head)
        assert isinstance(module, torch.nn.Linear)
        assert module.out_features == described.num_classes


def test_freeze_trains_the_last_layer_only(foreign: Path, tmp_path: Path):
    out = tmp_path / "x"
    train("resnet18", TwoColours(), out, source_name="colours", options=FROZEN, weights=str(foreign))
    before, after = torch.load(foreign, weights_only=True), read_checkpoint(out).state
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed == {"fc.weight", "fc.bias"}  # batch norm's statistics do not change either
    assert after["fc.weight"].shape == (2, 512)


@pytest.mark.slow
def test_starts_from_weights_and_normalisation(foreign: Path, tmp_path: Path):
    options = TrainingOptions(epochs=1, image_size=32, learning_rate=1e-9, validation=0)
    train("resnet18", TwoColours(), tmp_path / "x", source_name="c", options=options, weights=str(foreign))
    found, before = read_checkpoint(tmp_path / "x"), torch.load(foreign, weights_only=True)
    torch.testing.assert_close(found.state["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])
    assert found.record.preprocessing.mean == (0.485, 0.456, 0.406)
    assert found.record.beginning is not None


@pytest.mark.slow
def test_fine_tunes_a_checkpoint(foreign: Path, tmp_path: Path):
    train("resnet18", TwoColours(), tmp_path / "first", source_name="c", options=FROZEN, weights=str(foreign))
    train(
        "resnet18",
        open_source("digits"),
        tmp_path / "second",
        source_name="digits",
        options=FROZEN,
        weights=str(tmp_path / "first"),
    )
    record = read_checkpoint(tmp_path / "second").record
    assert (record.network.in_channels, record.network.num_classes, record.preprocessing.mode) == (3, 10, "RGB")
    assert record.beginning == read_checkpoint(tmp_path / "first").digest


def test_keeps_a_head_with_the_same_classes(checkpoint_path: Path, tmp_path: Path):
    options = TrainingOptions(epochs=1, learning_rate=1e-9, validation=0)
    train(
        "lenet", open_source("digits"), tmp_path / "x", source_name="d", options=options, weights=str(checkpoint_path)
    )
    record = read_checkpoint(tmp_path / "x").record
    assert (record.test_top1 or 0) > 0.98


def test_rejects_another_architecture(foreign: Path, checkpoint_path: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="do not match resnet34: missing"):
        train("resnet34", TwoColours(), tmp_path / "x", source_name="c", options=FROZEN, weights=str(foreign))
    with pytest.raises(CheckpointError, match="is a lenet checkpoint, expected resnet18"):
        train("resnet18", TwoColours(), tmp_path / "x", source_name="c", options=FROZEN, weights=str(checkpoint_path))
    assert not (tmp_path / "x").exists()


def test_rejects_colour_images_for_grey_weights(checkpoint_path: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="grey images, colours has colour images"):
        train("lenet", TwoColours(), tmp_path / "x", source_name="c", options=FROZEN, weights=str(checkpoint_path))


def test_rejects_freeze_without_weights(tmp_path: Path):
    with pytest.raises(UsageError, match="--weights"):
        train("resnet18", TwoColours(), tmp_path / "x", source_name="c", options=FROZEN)


def test_fine_tunes_a_chosen_entry(foreign: Path, tmp_path: Path):
    state = torch.load(foreign, weights_only=True)
    other = {key: value + 1 for key, value in state.items()}
    torch.save({"model": other, "model_ema": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "w")
    out = tmp_path / "x"
    with pytest.raises(UsageError, match="choose model or model_ema with --key"):
        train("resnet18", TwoColours(), out, source_name="c", options=FROZEN, weights=str(tmp_path / "w"))
    train(
        *("resnet18", TwoColours(), out),
        source_name="c",
        options=FROZEN,
        weights=str(tmp_path / "w"),
        weights_key="model_ema",
    )
    assert torch.equal(read_checkpoint(out).state["conv1.weight"], state["conv1.weight"])


def test_rejects_a_key_without_a_file(checkpoint_path: Path, tmp_path: Path):
    for weights in (None, str(checkpoint_path)):
        with pytest.raises(UsageError, match="--key chooses an entry of a weights file"):
            train(
                *("lenet", open_source("digits"), tmp_path / "x"),
                source_name="d",
                options=TrainingOptions(epochs=1),
                weights=weights,
                weights_key="model",
            )
