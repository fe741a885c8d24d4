"""Tests that objects that are not the weights of the network are rejected with one line."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from state_dicts import OPTIMIZER, STATE, headed, opened, prefixed

from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.models.lenet import LeNet

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")


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
    "expanded": (changed("fc1.weight", torch.zeros(1, 1).expand(10**6, 10**6)), "fc1.weight is a view of 3,725 GiB"),
    "scalar": (changed("conv1.weight", torch.zeros(())), r"conv1.weight \[\], expected \[6, 3, 5, 5\]"),
    "flat": (changed("conv1.weight", torch.zeros(450)), r"conv1.weight \[450\], expected \[6, 3, 5, 5\]$"),
    "control characters": (changed("a\x1b[31m\nb", torch.zeros(3)), r"extra 'a\\x1b\[31m\\nb'$"),
    "too large for float32": (
        changed("fc3.bias", torch.full((3,), 1e300, dtype=torch.float64)),
        "0 NaN and 3 infinite",
    ),
    "two channels": (LeNet(3, 2).state_dict(), "takes images with 2 channels: expected 1 channel for grey, 3"),
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
