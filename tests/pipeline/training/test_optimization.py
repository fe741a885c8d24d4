"""Optimizer, learning rate and precision."""

import pytest
import torch
from torch import nn

from edgecnn.errors import UsageError
from edgecnn.pipeline.training.optimization import choose_device, choose_precision, learning_rate, make_optimizer
from edgecnn.pipeline.training.recipes import TrainingOptions


def test_schedule_matches_pytorch_one_cycle():
    options = TrainingOptions(learning_rate=0.01, warmup=0.3)
    steps = 101
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps, cycle_momentum=False)
    for step in range(steps - 1):
        mine = learning_rate(options, step / (steps - 1))
        assert mine == pytest.approx(theirs.get_last_lr()[0], rel=0.08, abs=3e-6)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("schedule", "half", "end"), [("cosine", 0.5, 1e-4), ("linear", 0.5, 1e-4), ("constant", 1, 1)]
)
def test_starts_at_the_top_without_warmup(schedule: str, half: float, end: float):
    options = TrainingOptions(learning_rate=1.0, warmup=0, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(options, 0) == pytest.approx(1)
    assert learning_rate(options, 0.5) == pytest.approx(half, rel=1e-3)
    assert learning_rate(options, 1) == pytest.approx(end)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_norms_and_biases_do_not_decay(name: str):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = make_optimizer(network, TrainingOptions(optimizer=name, weight_decay=0.1))  # type: ignore[arg-type]
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {key: decays[id(value)] for key, value in network.named_parameters()} == {
        "0.weight": 0.1,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }


def test_skips_frozen_parameters():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    optimizer = make_optimizer(network, TrainingOptions())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_rejects_a_missing_gpu():
    with pytest.raises(UsageError, match="finds no NVIDIA GPU"):
        choose_device(TrainingOptions(device="cuda"))
    assert choose_device(TrainingOptions()).type == "cpu"


def test_rejects_fp16_on_a_cpu():
    with pytest.raises(UsageError, match="bf16 or fp32"):
        choose_precision(TrainingOptions(precision="fp16"), torch.device("cpu"))


def test_auto_uses_bf16_if_supported():
    has = torch.cpu.get_capabilities()
    expected = torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32
    assert choose_precision(TrainingOptions(), torch.device("cpu")) == expected
    assert choose_precision(TrainingOptions(precision="bf16"), torch.device("cpu")) == torch.bfloat16
