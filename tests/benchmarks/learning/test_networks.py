"""The networks that the chapters measure, and the results that are kept between runs."""

from pathlib import Path

import pytest
import torch

from benchmarks.learning import runs
from benchmarks.learning.networks import DeepNetwork, Design

PIXELS = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def test_depth_counts_convolutions_and_the_linear_layer():
    for depth in (8, 20, 44):
        network = DeepNetwork(Design(depth, (8, 16, 32)))
        assert len(network.convolutions()) + 1 == depth
        assert network(PIXELS).shape == (2, 10)


def test_skips_add_no_parameters():
    counts = {
        sum(each.numel() for each in DeepNetwork(Design(20, (8, 16, 32), skips=skips)).parameters())
        for skips in (False, True)
    }
    assert len(counts) == 1


def test_a_block_without_weights_passes_on_its_input():
    network = DeepNetwork(Design(4, (4,), batch_norm=False)).eval()
    for layer in network.convolutions()[1:]:
        torch.nn.init.zeros_(layer.weight)
    found = network.stem(PIXELS)
    torch.testing.assert_close(network.blocks(found), found)


def test_rejects_a_depth_without_whole_blocks():
    with pytest.raises(ValueError, match="depth 9 does not fit 3 stages"):
        DeepNetwork(Design(9, (8, 16, 32)))


def test_keeps_results_until_the_options_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "KEPT", tmp_path)
    computed: list[int] = []

    def compute() -> int:
        computed.append(len(computed))
        return len(computed)

    assert [runs.kept("run", {"epochs": epochs}, compute) for epochs in (1, 1, 2)] == [1, 1, 2]
    assert computed == [0, 1]
    assert (tmp_path / "log.txt").read_text().count("run: 0 s of processor time") == 2


def test_images_repeat():
    runs.seeded(0)
    first, targets = runs.images("digits", "train", 8, scale=2)
    again, _ = runs.images("digits", "train", 8, scale=2)
    assert first.shape == (8, 1, 16, 16)
    assert targets.dtype == torch.int64
    assert torch.equal(first, again)
