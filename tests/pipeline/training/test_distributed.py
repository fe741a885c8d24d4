"""Two processes give the same result as one. `torchrun` starts real processes with gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.distributed import SynchronizedBatchNorm2d, synchronize_batch_norm


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def torchrun(*arguments: str, cwd: Path | None = None) -> list[str]:
    place = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    return [sys.executable, "-m", "torch.distributed.run", *place, *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


STEP = """
import copy
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from edgecnn.bundle.manifest import Network
from edgecnn.pipeline.models.registry import build
from edgecnn.pipeline.training.distributed import synchronize_batch_norm
from edgecnn.pipeline.training.objective import Objective

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
images, targets = torch.randn(17, 3, 32, 32, dtype=torch.float64), torch.randint(0, 2, (17,))
network = build(Network("resnet18", 2, 3, (32, 32))).double()
alone = copy.deepcopy(network)
loss, _ = Objective(alone, label_smoothing=0.05).train()(images, targets)
(loss / 17).backward()
shared = DistributedDataParallel(Objective(synchronize_batch_norm(network), label_smoothing=0.05)).train()
part = slice(17 * rank // 2, 17 * (rank + 1) // 2)
loss, _ = shared(images[part], targets[part])
(loss * 2 / 17).backward()
errors = [
    float((one.grad - two.grad).abs().max() / one.grad.abs().max())
    for one, two in zip(alone.parameters(), network.parameters(), strict=True)
]
errors += [float((one - two).abs().max()) for one, two in zip(alone.buffers(), network.buffers(), strict=True)]
if rank == 0:
    print(max(errors))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_match_the_gradients(tmp_path: Path):
    script = tmp_path / "step.py"
    script.write_text(STEP)
    done = subprocess.run(torchrun(str(script)), check=True, capture_output=True, text=True, env=environment())
    assert float(done.stdout) < 1e-12  # in float64: ResNet-18, parts of 8 and 9 images


@pytest.mark.slow
def test_two_processes_match_the_loss_curve(tmp_path: Path):
    command = ["train", "lenet", "--data", "digits", "--epochs", "3", "--precision", "fp32"]
    subprocess.run(
        [sys.executable, "-m", "edgecnn", *command, "--out", str(tmp_path / "one")], check=True, capture_output=True
    )
    done = subprocess.run(
        torchrun("-m", "edgecnn", *command, "--out", str(tmp_path / "two"), "--json"),
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert json.loads(done.stdout)["writes"] is True  # one result, from one process
    one, two = (read_checkpoint(tmp_path / name) for name in ("one", "two"))
    assert two.record.compute is not None
    assert two.record.compute.processes == 2
    for first, second in zip(one.record.history, two.record.history, strict=True):
        assert second.loss == pytest.approx(first.loss, rel=2e-4)
        assert second.validation_loss == pytest.approx(first.validation_loss, rel=2e-3)
    assert one.record.test_top1 == pytest.approx(two.record.test_top1, abs=0.01)
    assert one.state.keys() == two.state.keys()


@pytest.mark.slow
def test_one_process_shows_the_training(tmp_path: Path):
    options = ["--data", "digits", "--epochs", "1", "--watch", str(free_port()), "--plot", str(tmp_path / "c.png")]
    command = torchrun("-m", "edgecnn", "train", "lenet", *options, "--out", str(tmp_path / "x"))
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("live page: ") == 1
    assert (tmp_path / "c.png").exists()


@pytest.mark.slow
def test_a_killed_process_ends_the_job(tmp_path: Path):
    command = torchrun("-m", "edgecnn", "train", "lenet", "--data", "digits", "--out", str(tmp_path / "x"))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                break
        victim = next(pid for pid in children(process.pid) if rank_of(pid) == "1")
        os.kill(victim, signal.SIGKILL)
        said, _ = process.communicate(timeout=300)
        assert process.returncode != 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    assert "SIGKILL" in said or "Signal 9" in said
    assert not (tmp_path / "x").exists()
    assert read_checkpoint(tmp_path / "x.unfinished").record.history


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def rank_of(pid: int) -> str | None:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((pair[5:].decode() for pair in pairs if pair.startswith(b"RANK=")), None)


def test_batch_norm_keeps_keys_and_values():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3), nn.ReLU())).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(2, 3, 8, 8)
    expected = network(images)
    synchronize_batch_norm(network)
    assert isinstance(network[1][0], SynchronizedBatchNorm2d)
    assert network[1][0].eps == 1e-3
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(network(images), expected)


def test_batch_norm_matches_in_one_process(tmp_path: Path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        usual, mine = nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4))
        synchronize_batch_norm(mine)
        images = torch.randn(5, 4, 6, 6)
        first, second = images.clone().requires_grad_(), images.clone().requires_grad_()
        weights = torch.randn(5, 4, 6, 6)
        (usual(first) * weights).sum().backward()
        (mine(second) * weights).sum().backward()
        torch.testing.assert_close(second.grad, first.grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(mine[0].weight.grad, usual.weight.grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(mine[0].state_dict(), usual.state_dict())
    finally:
        torch.distributed.destroy_process_group()
