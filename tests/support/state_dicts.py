"""State dicts of LeNet, and how a test saves and opens them."""

import argparse
import collections
import datetime
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgecnn.errors import WeightsNote
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import from_file
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.torch_reference import TorchReference

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


def opened(content: Any, folder: Path, *, legacy: bool = False, **options: Any) -> tuple[TorchReference, list[str]]:
    """Save an object, and return the reference and the notes about what was unwrapped."""
    path = folder / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsNote)
        reference = from_file("lenet", path, WeightsOptions(**options))
    notes = [str(each.message).removeprefix(f"{path}: ") for each in caught]
    return reference, [note for note in notes if "; assumed: " not in note]


def check(reference: TorchReference, expected: dict[str, torch.Tensor] = STATE) -> None:
    assert set(reference.state) == set(expected)
    for key, value in reference.state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key]), key
    reference.module()
