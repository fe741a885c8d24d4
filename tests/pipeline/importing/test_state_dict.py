"""Checkpoints of training tools: unwrapped with one note, or refused with one line."""

import argparse
import collections
import datetime
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from edgecnn.bundle.manifest import Network
from edgecnn.errors import CheckpointError, UsageError, WeightsNote
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import from_file
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.models.registry import build
from edgecnn.pipeline.reference import Reference

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")

torch.manual_seed(0)
STATE = LeNet(3, 3).state_dict()
OTHER = LeNet(3, 3).state_dict()
NETWORK = LeNet(3, 3)
OPTIMIZER = torch.optim.Adam(NETWORK.parameters())
NETWORK(torch.zeros(2, 3, 32, 32)).sum().backward()
OPTIMIZER.step()

METADATA = {
    "epoch": 3,
    "arch": "lenet",
    "best_acc1": np.float64(71.2),
    "steps": np.int64(10),
    "curve": np.arange(4),
    "args": argparse.Namespace(lr=0.1, data=Path("images")),
    "history": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
    "config": types.SimpleNamespace(width=1),
    "time": datetime.datetime(2026, 1, 1),
    "optimizer": OPTIMIZER.state_dict(),
}


def prefixed(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


def headed(layers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return LeNet's weights with other layers in place of the last one."""
    rest = {key: value for key, value in STATE.items() if not key.startswith("fc3.")}
    return rest | {f"fc3.{key}": value for key, value in layers.items()}


def opened(content: Any, folder: Path, *, legacy: bool = False, **options: Any) -> tuple[Reference, list[str]]:
    """Save an object, and return the reference and the notes about what was unwrapped."""
    path = folder / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsNote)
        reference = from_file("lenet", path, WeightsOptions(**options))
    notes = [str(each.message).removeprefix(f"{path}: ") for each in caught]
    return reference, [note for note in notes if "; assumed: " not in note]


def check(reference: Reference, expected: dict[str, torch.Tensor] = STATE) -> None:
    assert set(reference.state) == set(expected)
    for key, value in reference.state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key]), key
    reference.module()


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


def changed(key: str, value: Any) -> dict[str, Any]:
    return {**STATE, key: value}


WEIGHT = STATE["fc3.weight"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch calls these kinds experimental or deprecated
    ROWS, NESTED = WEIGHT.to_sparse_csr(), torch.nested.nested_tensor([torch.zeros(2)])
    QUANTIZED = torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8)
UNUSABLE: dict[str, tuple[Any, str]] = {
    "list": ([torch.zeros(2)], "not a state dict: .* an object of list"),
    "tensor": (torch.zeros(3), "an object of Tensor"),
    "number": (3, "an object of int"),
    "None": (None, "an object of NoneType"),
    "empty": ({}, "an empty dictionary"),
    "numbers as keys": ({0: torch.zeros(2, 2)}, "with the keys 0"),
    "one number as a key": ({**STATE, 0: torch.zeros(2, 2)}, "extra 0$"),
    "no weights": ({"epoch": 3, "optimizer": OPTIMIZER.state_dict()}, "with the keys epoch, optimizer"),
    "value is a list": (changed("conv1.weight", [1.0]), "conv1.weight is an object of list, expected a tensor"),
    "NumPy arrays": ({key: value.numpy() for key, value in STATE.items()}, r"'conv1\.weight' is an object of numpy"),
    "both with a wrapper": ({**STATE, **prefixed("module.")}, "keys that differ only in 'module'"),
    "half of a prefix": (
        {f"net.{key}" if key.startswith("conv") else key: value for key, value in STATE.items()},
        "do not match lenet: missing fc1.weight",
    ),
    "no head": (headed({}), "missing fc3.weight, fc3.bias$"),
    "head without bias": (headed({"1.weight": WEIGHT}), "missing fc3.bias$"),
    "head of two layers": (
        headed({"0.weight": torch.zeros(9, 84), "0.bias": torch.zeros(9), "2.weight": torch.zeros(3, 9)}),
        "the head fc3 has the layers fc3.0, fc3.2, expected one linear layer",
    ),
    "head with a norm": (
        headed({"0.weight": torch.ones(84), "0.bias": torch.ones(84), "1.weight": WEIGHT, "1.bias": torch.ones(3)}),
        "the head fc3 has the layers fc3.0, fc3.1, expected one linear layer",
    ),
    "sparse": (changed("fc3.weight", WEIGHT.to_sparse()), "fc3.weight is sparse"),
    "sparse rows": (changed("fc3.weight", ROWS), "fc3.weight is sparse"),
    "quantized": (changed("fc3.weight", QUANTIZED), "is quantized"),
    "complex": (changed("fc3.weight", WEIGHT.to(torch.complex64)), "fc3.weight is complex"),
    "integers": (changed("fc3.weight", WEIGHT.to(torch.int8)), "fc3.weight has the type torch.int8"),
    "booleans": (changed("fc3.weight", WEIGHT > 0), "fc3.weight has the type torch.bool"),
    "no values": ({key: value.to("meta") for key, value in STATE.items()}, "conv1.weight is without values"),
    "nested tensor": (changed("fc3.weight", NESTED), "is a nested tensor"),
    "expanded": (changed("fc1.weight", torch.zeros(1, 1).expand(10**6, 10**6)), r"fc1.weight \[1000000, 1000000\]"),
    "scalar": (changed("conv1.weight", torch.zeros(())), r"conv1.weight \[\], expected \[6, 3, 5, 5\]"),
    "flat": (changed("conv1.weight", torch.zeros(450)), r"conv1.weight \[450\], expected \[6, 3, 5, 5\]$"),
    "control characters": (changed("a\x1b[31m\nb", torch.zeros(3)), r"extra 'a\\x1b\[31m\\nb'$"),
    "too large for float32": (
        changed("fc3.bias", torch.full((3,), 1e300, dtype=torch.float64)),
        "0 NaN and 3 infinite",
    ),
    "two channels": (LeNet(3, 2).state_dict(), "takes images with 2 channels: expected 1 channel for grey or 3"),
    "four channels": (LeNet(3, 4).state_dict(), "4 channels, such as RGBA, which is not supported yet"),
    "one class": (LeNet(1, 3).state_dict(), "has one class: expected at least two"),
}


@pytest.mark.parametrize(("content", "named"), UNUSABLE.values(), ids=UNUSABLE)
def test_rejects_other_objects(content: Any, named: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match=named) as raised:
        opened(content, tmp_path)
    assert "\n" not in str(raised.value)


def test_names_values_that_are_not_finite(tmp_path: Path):
    state = {key: value.clone() for key, value in STATE.items()}
    state["conv2.weight"][0, 0, 0, :2] = float("nan")
    state["conv2.weight"][1, 0, 0, 0] = float("inf")
    state["fc3.bias"][0] = float("-inf")
    expected = "conv2.weight has 2 NaN and 1 infinite values of 2,400, and 1 more tensors have such values"
    with pytest.raises(CheckpointError, match=expected):
        opened(state, tmp_path)


def test_labels_must_match_the_classes(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--labels names.txt has 1 name, .*weights.pth has 3 classes"):
        opened(STATE, tmp_path, labels=("a",), labels_from="--labels names.txt")
