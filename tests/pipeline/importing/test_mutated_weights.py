"""Damaged weights of modules give one clear line: no traceback, no executed code, bounded memory."""

import resource
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from factories import save_weights, write_code
from mutated_weights import mutated_weights

from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.export.exporting import open_reference
from edgecnn.pipeline.importing.options import WeightsOptions

LONGEST_S, MOST_BYTES = 60, 2 << 30
SIZES = {"file": (32, 32), "torchvision": (64, 64)}


@pytest.fixture
def _limits(own_registry: None) -> Iterator[None]:
    """Interrupt a case that hangs."""

    def stop(*arguments: Any) -> None:
        raise TimeoutError(f"a case took more than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check(word: str, state: dict[str, torch.Tensor], tmp_path: Path, *, kind: str, seeds: range) -> None:
    canary, path = tmp_path / "executed", tmp_path / "mutated.pth"
    opened, messages = 0, set()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        path.write_bytes(mutated_weights(state, seed, canary))
        signal.alarm(LONGEST_S)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                open_reference(word, weights=str(path), options=WeightsOptions(image_size=SIZES[kind])).open().close()
            opened += 1
        except EdgecnnError as error:
            text = str(error)
            assert text.isprintable(), f"seed {seed}: {text!r}"
            assert len(text) < 1000, f"seed {seed}: {text!r}"
            messages.add(text.replace(str(path), "")[:40])
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        assert not canary.exists(), f"seed {seed} executed code"
    assert opened > len(seeds) // 50, "hardly any file was valid: the mutations test nothing"
    assert len(messages) > 5
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) * 1024
    assert grown < MOST_BYTES, f"the process grew by {grown >> 20} MiB"


def check_file(tmp_path: Path, seeds: range) -> None:
    word = f"{write_code(tmp_path)}:Net"
    state = torch.load(save_weights(word, tmp_path / "w.pth", num_classes=6), weights_only=True)
    check(word, state, tmp_path, kind="file", seeds=seeds)


@pytest.mark.usefixtures("_limits")
def test_damaged_weights_of_a_factory(tmp_path: Path):
    check_file(tmp_path, range(60))


@pytest.mark.slow
@pytest.mark.usefixtures("_limits")
def test_many_damaged_weights_of_a_factory(tmp_path: Path):
    check_file(tmp_path, range(60, 1460))


@pytest.mark.slow
@pytest.mark.usefixtures("_limits")
def test_many_damaged_weights_of_torchvision(tmp_path: Path):
    state = torchvision.models.squeezenet1_1(num_classes=5).state_dict()
    check("torchvision:squeezenet1_1", state, tmp_path, kind="torchvision", seeds=range(600))
