"""Optimizer, learning rate, device and precision of training."""

import math

import torch
from torch import nn

from edgecnn.errors import UsageError
from edgecnn.pipeline.training.recipes import TrainingOptions

_START, _END = 1 / 25, 1e-4
"""First and last learning rate, as fractions of the highest value."""


def make_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer of the trainable parameters. Biases and norms have no weight decay: it has no benefit."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def learning_rate(options: TrainingOptions, progress: float) -> float:
    """Return the learning rate after the fraction `progress`, in [0, 1], of all steps."""
    top = options.learning_rate
    if progress < options.warmup:
        return top * (_START + (1 - _START) * _half_cosine(1 - progress / options.warmup))
    fallen = (progress - options.warmup) / (1 - options.warmup)
    if options.schedule == "constant":
        return top
    shape = _half_cosine(fallen) if options.schedule == "cosine" else 1 - fallen
    return top * (_END + (1 - _END) * shape)


def _half_cosine(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def choose_device(options: TrainingOptions, local_rank: int = 0) -> torch.device:
    """Return the device to train on.

    Raises:
        UsageError: `cuda` is selected, but PyTorch finds no GPU.
    """
    if options.device == "cpu" or (options.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no NVIDIA GPU; use --device cpu")
    return torch.device("cuda", local_rank)


def choose_precision(options: TrainingOptions, device: torch.device) -> torch.dtype:
    """Return the precision of the layers. `auto` is bfloat16 if the hardware supports it, and float16 on older GPUs.

    Raises:
        UsageError: float16 is selected on a CPU, where small gradients would underflow without a gain in speed.
    """
    if options.precision == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU: use bf16 or fp32")
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if options.precision != "auto":
        return named[options.precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32
