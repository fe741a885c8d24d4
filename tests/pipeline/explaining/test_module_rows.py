"""Tests of the rows for batch norms and dropout."""

from pathlib import Path

import pytest
import torch
from torch import nn
from untrained import untrained

from edgecnn.explaining.explain import ExplainOptions, explain
from edgecnn.explaining.explanation import Layer
from edgecnn.pipeline.explaining.module_rows import with_module_rows


class Net(nn.Module):
    """A network with a batch norm and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()
        self.drop, self.fc = nn.Dropout(), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(self.relu(self.norm(self.conv(x))).flatten(1)))


def row(name: str, operation: str, inputs: tuple[str, ...]) -> Layer:
    return Layer(f"{name}.id", name, operation, operation, "float32", inputs, (1,), 1)  # type: ignore[arg-type]


ROWS = (
    row("conv", "conv", ()),
    row("relu", "relu", ("conv.id",)),
    row("", "flatten", ("relu.id",)),
    row("fc", "linear", (".id",)),
)


def test_rows_are_added_and_wired():
    found = with_module_rows(ROWS, Net().eval(), torch.zeros(1, 1, 4, 4))
    assert [each.operation for each in found] == ["conv", "batch_norm", "relu", "flatten", "dropout", "linear"]
    norm, relu, dropout, linear = found[1], found[2], found[4], found[5]
    assert (norm.kind, norm.inputs, norm.shape) == ("BatchNorm2d, folded into conv", ("conv.id",), (2, 2, 2))
    assert relu.inputs == (norm.id,)
    assert (dropout.kind, dropout.inputs, dropout.shape) == ("Dropout", (".id",), (8,))
    assert linear.inputs == (dropout.id,)


def test_existing_rows_and_unknown_neighbours_are_left():
    existing = (ROWS[0], row("norm", "batch_norm", ("conv.id",)))
    assert with_module_rows(existing, Net().eval(), torch.zeros(1, 1, 4, 4)) == existing
    others = (row("other", "conv", ()),)
    assert with_module_rows(others, Net().eval(), torch.zeros(1, 1, 4, 4)) == others


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norms", "dropouts"), [("resnet18", 20, 0), ("alexnet", 0, 2), ("googlenet", 57, 1)])
def test_the_projects_networks_have_all_rows(name: str, norms: int, dropouts: int, tmp_path: Path):
    bundle, reference = untrained(name, tmp_path)
    image = torch.zeros(1, 3, *reference.network.image_size)
    plain = explain(bundle, image[0].permute(1, 2, 0).byte().numpy(), options=ExplainOptions(attended=0))
    rows = with_module_rows(plain.layers, reference.module(), image)
    operations = [each.operation for each in rows]
    assert (operations.count("batch_norm"), operations.count("dropout")) == (norms, dropouts)
    ids = [each.id for each in rows]
    assert len(set(ids)) == len(ids)
    for place, layer in enumerate(rows):
        assert set(layer.inputs) <= set(ids[:place]), layer.id
