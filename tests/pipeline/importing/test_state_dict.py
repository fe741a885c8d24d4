"""Tests that the checkpoints of training tools are unwrapped with one note."""

from pathlib import Path
from typing import Any

import pytest
import torch
from state_dicts import METADATA, OPTIMIZER, OTHER, STATE, check, headed, opened, prefixed
from torch.optim.swa_utils import AveragedModel

from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, UsageError, WeightsNote
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import from_file
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.models.registry import build

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")


WRAPPED: dict[str, tuple[Any, str]] = {
    "DataParallel": (prefixed("module."), "removed 'module.'"),
    "torch.compile": (prefixed("_orig_mod."), "removed '_orig_mod.'"),
    "compiled DDP": (prefixed("module._orig_mod."), "removed '_orig_mod.', removed 'module.'"),
    "DDP compiled": (prefixed("_orig_mod.module."), "removed '_orig_mod.', removed 'module.'"),
    "FSDP": (prefixed("_fsdp_wrapped_module."), "removed '_fsdp_wrapped_module.'"),
    "one layer": ({key.replace("conv1.", "conv1.module."): value for key, value in STATE.items()}, "removed 'module.'"),
    "some keys": (
        {f"module.{key}" if key.startswith("conv") else key: value for key, value in STATE.items()},
        "removed 'module.'",
    ),
    "examples/imagenet": (
        {"state_dict": prefixed("module."), **METADATA},
        "took the entry 'state_dict', removed 'module.'",
    ),
    "torchvision": (
        {
            "model": STATE,
            "optimizer": OPTIMIZER.state_dict(),
            "lr_scheduler": {"last_epoch": 3},
            "args": METADATA["args"],
        },
        "took the entry 'model'",
    ),
    "model_state_dict": ({"model_state_dict": STATE, "loss": 0.1}, "took the entry 'model_state_dict'"),
    "net": ({"net": prefixed("module."), "acc": 93.1}, "took the entry 'net', removed 'module.'"),
    "weights": ({"weights": STATE}, "took the entry 'weights'"),
    "Lightning": (
        {
            "state_dict": prefixed("model."),
            "pytorch-lightning_version": "2.5.0",
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best": {"a": torch.tensor(0.5)}}},
            "optimizer_states": [OPTIMIZER.state_dict()],
            "hyper_parameters": {"lr": 0.1},
        },
        "took the entry 'state_dict', removed 'model.'",
    ),
    "Lightning, net, compiled": (
        {"state_dict": prefixed("net._orig_mod.")},
        "took the entry 'state_dict', removed 'net.', removed '_orig_mod.'",
    ),
    "fastai": (
        {"model": STATE, "opt": {"state": [{"grad_avg": torch.zeros(3)}], "hypers": []}},
        "took the entry 'model'",
    ),
    "timm, EMA only": ({"state_dict_ema": STATE, "epoch": 1}, "took the entry 'state_dict_ema'"),
    "nested EMA": ({"ema": {"shadow": STATE, "decay": 0.99}}, "took the entry 'ema.shadow'"),
    "the same twice": ({"model": STATE, "state_dict": STATE}, "took the entry 'model'"),
    "two networks": (
        {"generator": {"w": torch.zeros(2, 2)}, "discriminator": STATE},
        "took the entry 'discriminator'",
    ),
    "metadata beside weights": ({**STATE, "epoch": 3, "args": METADATA["args"]}, "left out epoch, args"),
    "sequential head": (
        headed({"1.weight": STATE["fc3.weight"], "1.bias": STATE["fc3.bias"]}),
        "took fc3.1 as the head fc3 (beside it, only dropout is allowed)",
    ),
    "named head": (
        headed({"out.linear.weight": STATE["fc3.weight"], "out.linear.bias": STATE["fc3.bias"]}),
        "took fc3.out.linear as the head fc3 (beside it, only dropout is allowed)",
    ),
}


@pytest.mark.parametrize(("content", "note"), WRAPPED.values(), ids=WRAPPED)
def test_unwraps_with_one_note(content: Any, note: str, tmp_path: Path):
    reference, notes = opened(content, tmp_path)
    check(reference)
    assert notes == [note]


def test_says_nothing_of_a_plain_state_dict(tmp_path: Path):
    reference, notes = opened(STATE, tmp_path)
    check(reference)
    assert notes == []


def test_unwraps_files_of_old_pytorch(tmp_path: Path):
    reference, notes = opened({"state_dict": prefixed("module."), **METADATA}, tmp_path, legacy=True)
    check(reference)
    assert notes == ["took the entry 'state_dict', removed 'module.'"]


def test_leaves_out_the_counter_of_an_average(tmp_path: Path):
    average = AveragedModel(LeNet(3, 3))
    reference, notes = opened(average.state_dict(), tmp_path)
    check(reference, average.module.state_dict())
    assert notes == ["removed 'module.', left out n_averaged"]


def test_several_sets_need_a_key(tmp_path: Path):
    content = {"model": STATE, "model_ema": prefixed("module.", OTHER)}
    with pytest.raises(UsageError, match="choose model or model_ema with --key"):
        opened(content, tmp_path)
    first, notes = opened(content, tmp_path, key="model")
    check(first)
    second, _ = opened(content, tmp_path, key="model_ema")
    check(second, OTHER)
    assert notes == ["took the entry 'model'"]
    assert first.digest != second.digest
    with pytest.raises(UsageError, match="no entry 'ema' with weights: choose model or model_ema"):
        opened(content, tmp_path, key="ema")


def test_a_key_may_name_a_prefix(tmp_path: Path):
    content = {"state_dict": prefixed("student.") | prefixed("teacher.", OTHER)}
    for key in (None, "state_dict"):
        with pytest.raises(UsageError, match=r"choose state_dict\.student or state_dict\.teacher with --key"):
            opened(content, tmp_path, key=key)
    reference, notes = opened(content, tmp_path, key="state_dict.teacher")
    check(reference, OTHER)
    assert notes[0].startswith("took the entry 'state_dict', removed 'teacher.', left out student.conv1.weight")


def test_a_needless_key_changes_no_digest(tmp_path: Path):
    content = {"state_dict": STATE}
    assert opened(content, tmp_path, key="state_dict")[0].digest == opened(content, tmp_path)[0].digest


def test_tensors_beside_the_network_need_a_key(tmp_path: Path):
    content = {"state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3)}}
    with pytest.raises(
        CheckpointError, match=r"beside state_dict\.model, .* criterion\.weight; add --key state_dict\.m"
    ):
        opened(content, tmp_path)
    reference, notes = opened(content, tmp_path, key="state_dict.model")
    check(reference)
    assert notes == ["took the entry 'state_dict', removed 'model.', left out criterion.weight"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_converts_types_exactly(dtype: torch.dtype, tmp_path: Path):
    state = {key: value.to(dtype) for key, value in STATE.items()}
    reference, notes = opened(state, tmp_path)
    check(reference, {key: value.float() for key, value in state.items()})
    assert notes == []


def test_notes_rounded_values(tmp_path: Path):
    reference, notes = opened({key: value.double() / 3 for key, value in STATE.items()}, tmp_path)
    assert notes == ["rounded 10 tensors from float64 to float32"]
    assert reference.state["fc1.weight"].dtype == torch.float32


def test_accepts_parameters_and_shared_storage(tmp_path: Path):
    check(opened(dict(LeNet(3, 3).named_parameters()) | dict(STATE), tmp_path)[0])
    storage = torch.randn(100_000)
    shared = {key: storage[: value.numel()].view(value.shape) for key, value in STATE.items()}
    check(opened(shared, tmp_path)[0], shared)


def test_leaves_out_training_heads_that_do_not_fit(tmp_path: Path):
    with torch.device("meta"):
        shapes = build(Network("googlenet", 5, 3, (64, 64))).state_dict()
    state = {key: torch.zeros(shape.shape, dtype=shape.dtype) for key, shape in shapes.items()}
    state["aux1.fc2.weight"] = torch.zeros(1000, 1024)
    torch.save(state, tmp_path / "g.pth")
    with pytest.warns(WeightsNote, match=r"left out aux1 \(used in training only\)"):
        reference = from_file("googlenet", tmp_path / "g.pth", WeightsOptions(image_size=(64, 64)))
    assert reference.network.num_classes == 5
    assert {key.partition(".")[0] for key in shapes} - {key.partition(".")[0] for key in reference.state} == {"aux1"}
