"""A training run: its state, one step, and how the state is saved and restored."""

import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgecnn.errors import CheckpointError, TrainingError
from edgecnn.pipeline.training.checkpoint import Compute, Epoch
from edgecnn.pipeline.training.distributed import ProcessRank, synchronize_batch_norm
from edgecnn.pipeline.training.images import Batch, Batches, derived_seed
from edgecnn.pipeline.training.objective import Objective
from edgecnn.pipeline.training.optimization import choose_precision, learning_rate, make_optimizer
from edgecnn.pipeline.training.recipes import TrainingOptions

OnStep = Callable[[int, str], None]
"""Called after each step with the number of finished steps and a note with metrics."""

_NOTE_EVERY_S = 0.5
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of `mallopt`, from malloc.h


@dataclass
class _Sums:
    """Sums over images."""

    loss: float = 0.0
    right: int = 0
    images: int = 0

    def add(self, loss: float, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """Add the summed loss and the number of correct labels of one batch."""
        self.loss += loss
        self.right += int((logits.argmax(dim=1) == targets).sum())
        self.images += len(targets)

    def over(self, job: ProcessRank) -> tuple[float, float]:
        """Return mean loss and accuracy over all processes."""
        loss, right, images = job.sum([self.loss, float(self.right), float(self.images)])
        return loss / images, right / images


class Run:
    """A network, its optimizer and its training state.

    All random numbers depend only on the seed and the epoch. A resumed run therefore gives the same weights, bit for
    bit, as an uninterrupted one, on the same machine, build and number of threads.
    """

    def __init__(self, network: nn.Module, options: TrainingOptions, *, device: torch.device, job: ProcessRank) -> None:
        self.options, self.device, self.job = options, device, job
        if device.type == "cpu":
            _keep_freed_memory()
        self.dtype = choose_precision(options, device)
        if job.world > 1:
            network = synchronize_batch_norm(network)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        objective = Objective(self.network, label_smoothing=options.label_smoothing, frozen=options.freeze)
        self._objective: nn.Module = objective
        if job.world > 1:
            # Batch norm's statistics are already equal in all processes: they cover the whole batch.
            self._objective = DistributedDataParallel(objective, forward_sync_buffers=False)
        self.optimizer = make_optimizer(self.network, options)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    @property
    def compute(self) -> Compute:
        """The hardware of this run."""
        name = "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        short = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]
        return Compute(name, short, torch.get_num_threads(), self.job.world)

    def epoch(self, number: int, batches: Batches, on_step: OnStep) -> tuple[float, float]:
        """Train for one epoch, numbered from 0. Return mean loss and accuracy on its augmented images.

        Raises:
            TrainingError: the loss is not finite.
        """
        torch.manual_seed(derived_seed(self.options.seed, number, self.job.rank))  # dropout
        self._objective.train()
        total = batches.steps * self.options.epochs
        sums, start, reported = _Sums(), time.monotonic(), 0.0
        for step, batch in enumerate(batches.epoch(number), number * batches.steps):
            rate = learning_rate(self.options, step / total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self._step(batch, sums, epoch=number)
            now = time.monotonic()
            if now - reported > _NOTE_EVERY_S:
                reported = now
                speed = sums.images * self.job.world / max(now - start, 1e-9)
                on_step(step + 1, f"epoch {number + 1}, loss {sums.loss / sums.images:.3f}, {speed:.0f} images/s")
        return sums.over(self.job)

    def step_s(self, batch: Batch) -> float:
        """Return the time of a training step without the optimizer, in seconds. The state stays the same."""
        buffers = [buffer.clone() for buffer in self.network.buffers()]  # batch norm's statistics
        self._objective.train()
        times = []
        for _ in range(2):  # the first step allocates memory
            start = time.perf_counter()
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                loss, _ = self._objective(batch.images.to(self.device), batch.targets.to(self.device))
            loss.backward()
            times.append(time.perf_counter() - start)
        self.optimizer.zero_grad()
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        return min(times)

    def check(self, epoch: Epoch, number: int) -> None:
        """Check that the weights and the validation loss are finite after an epoch.

        Raises:
            TrainingError: a weight or the validation loss is not finite.
        """
        if not all(tensor.isfinite().all() for tensor in self.network.state_dict().values()):
            raise self._diverged("weights became infinite", number)
        if not math.isfinite(epoch.validation_loss or 0.0):
            raise self._diverged(f"the validation loss became {epoch.validation_loss}", number)

    def _diverged(self, what: str, epoch: int) -> TrainingError:
        other = "" if self.dtype == torch.float32 else ", or use --precision fp32"
        return TrainingError(f"{what} in epoch {epoch + 1}: lower --learning-rate{other}")

    def _step(self, batch: Batch, sums: _Sums, *, epoch: int) -> None:
        images, targets = batch.images.to(self.device), batch.targets.to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss, logits = self._objective(images, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value}", epoch)
        self.optimizer.zero_grad()
        # DistributedDataParallel averages the gradients over processes; this factor gives the mean over the batch.
        self._scaler.scale(loss * (self.job.world / batch.whole)).backward()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        sums.add(value, logits, targets)

    @torch.inference_mode()
    def measure(self, batches: Iterator[Batch]) -> tuple[float, float]:
        """Return mean loss, without label smoothing, and top-1. The processes share the batches."""
        self.network.eval()
        sums = _Sums()
        for number, batch in enumerate(batches):
            if number % self.job.world != self.job.rank:
                continue
            logits = self.network(batch.images.to(self.device)).cpu()
            loss = float(nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
            sums.add(loss, logits, batch.targets)
        return sums.over(self.job)

    @torch.inference_mode()
    def probabilities(self, images: torch.Tensor) -> np.ndarray:
        """Return the probabilities of normalised images [N, C, H, W], float32 [N, K]. Only this process computes."""
        self.network.eval()
        logits = self.network(images.to(self.device, memory_format=torch.channels_last)).cpu()
        return logits.softmax(dim=1).numpy()  # type: ignore[no-any-return]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the network's weights."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Return the state to resume from, as named tensors."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in entries.items()}
        if self._scaler.is_enabled():
            tensors["scaler"] = torch.tensor([self._scaler.get_scale()])
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restore a result of `state`.

        Raises:
            CheckpointError: the state is from another network.
        """
        network: dict[str, torch.Tensor] = {}
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, key = name.partition(".")
            if kind == "network":
                network[key] = tensor
            elif kind == "optimizer":
                index, _, key = key.partition(".")
                entries.setdefault(int(index), {})[key] = tensor
        try:
            self.network.load_state_dict(network)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": entries})
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(f"the unfinished training has another network: {str(error)[:200]}") from None
        # Fused optimizers need moments with the memory format of their parameter, channels last.
        for parameter, moments in self.optimizer.state.items():
            for key, value in moments.items():
                if value.shape == parameter.shape:
                    moments[key] = torch.empty_like(parameter).copy_(value)
        if "scaler" in tensors and self._scaler.is_enabled():
            self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": float(tensors["scaler"])})


def better(new: Epoch, best: Epoch) -> bool:
    """Return whether an epoch is better than the best one, by top-1, then by loss; true without validation."""
    if new.validation_top1 is None or best.validation_top1 is None:
        return True
    first = (new.validation_top1, -(new.validation_loss or 0.0))
    return first > (best.validation_top1, -(best.validation_loss or 0.0))


def _keep_freed_memory() -> None:
    """Configure glibc to keep large freed blocks for the next step. No effect with other C libraries.

    By default glibc returns each large block to the system, and the kernel clears it in the next step. On a CPU this
    takes a quarter of a step's time (VGG-11 at 32 pixels on 2 cores: 66 images/s by default, 81 with this setting).
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_TOP_PAD, 2**26)
