"""Training with several processes on one or more machines, started by `torchrun`.

Each process computes a part of each batch. Batch norm uses the statistics of the whole batch, so that the loss equals
the loss of a single process, except for dropout: each process draws its own masks.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from edgecnn.errors import TrainingError


@dataclass(frozen=True)
class ProcessRank:
    """Rank of this process, from 0, among `world` processes. `ProcessRank()` is single-process training."""

    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and results."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Return the sums of numbers over all processes, in float64."""
        if self.world == 1:
            return values
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def join(device: torch.device) -> Iterator[ProcessRank]:
    """Join the processes started by `torchrun`. Without `torchrun`, yield a single-process job.

    Raises:
        TrainingError: another process has exited or cannot be reached.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ProcessRank()
        return
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"cannot join the other processes: {_first_line(error)}") from None
    try:
        yield ProcessRank(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:
        if not any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "Connection closed", "Connection reset")):
            raise
        raise TrainingError(f"another process has exited: {_first_line(error)}") from None
    finally:
        distributed.destroy_process_group()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of the whole batch, on any device. PyTorch's SyncBatchNorm needs a GPU."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # PyTorch's parameter name
        """Normalise this process's part of a batch, [n, C, H, W]."""
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        count = _sum_over_processes(x.new_tensor([x.numel() / x.shape[1]]))
        mean = _sum_over_processes(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _sum_over_processes(centred.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_((variance * count / (count - 1)).detach(), momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)


def synchronize_batch_norm(network: nn.Module) -> nn.Module:
    """Replace every batch norm of a network by `SynchronizedBatchNorm2d`, with the same keys and values."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            new = SynchronizedBatchNorm2d(child.num_features, child.eps, child.momentum)
            new.to(child.weight.device, child.weight.dtype).load_state_dict(child.state_dict())
            setattr(network, name, new.train(child.training))
        else:
            synchronize_batch_norm(child)
    return network


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes. The gradient is also summed: every process's loss depends on the sum."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.detach().contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _SumOverProcesses.forward(ctx, gradients[0])


def _sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _SumOverProcesses.apply(tensor)
    return result
