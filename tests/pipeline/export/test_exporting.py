"""Export: the bundle matches the reference on both engines, or no bundle is written."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import Liar
from torch import nn

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, OutputExists, ProofFailed, SourceError, UntrainedWarning, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.models import registry
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.proving import PARITY_BATCHES, PARITY_TOLERANCE
from edgecnn.pipeline.reference import identity_of
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session


@pytest.mark.parametrize("engine", installed())
def test_bundle_matches_pytorch_at_every_batch(engine: str, fp32_bundle: Bundle, checkpoint_path: Path):
    torch_session = read_checkpoint(checkpoint_path).reference.open()
    test = open_source("digits").split("test")
    pixels = test.all_pixels(fp32_bundle.manifest.preprocessing)
    expected = torch_session.logits_of(test.images[i] for i in range(len(test)))
    session = open_session(fp32_bundle, engine=engine)
    for batch in PARITY_BATCHES:
        logits = run_batches(session, pixels, classes=10, batch=batch)
        spread = np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2))
        assert np.abs(logits - expected).max() <= PARITY_TOLERANCE * spread
        assert np.array_equal(logits.argmax(axis=1), expected.argmax(axis=1))


def test_proof_covers_every_engine(fp32_bundle: Bundle):
    proof = fp32_bundle.proof()
    assert {engine.engine for engine in proof.engines} == set(installed())
    assert proof.reference.startswith("pytorch")
    assert proof.data.images == 385
    assert all(engine.comparison.agreement == 1 and engine.precision == "fp32" for engine in proof.engines)


def test_manifest_has_the_macs(fp32_bundle: Bundle):
    assert fp32_bundle.manifest.macs == inspect_network(fp32_bundle.manifest.network).macs


def test_self_test_has_pytorch_logits(fp32_bundle: Bundle, checkpoint_path: Path):
    self_test = fp32_bundle.self_test()
    torch_session = read_checkpoint(checkpoint_path).reference.open()
    np.testing.assert_allclose(torch_session.run(self_test.images), self_test.logits, atol=1e-5)
    for encoded in self_test.encoded:
        np.testing.assert_allclose(torch_session.logits_of([encoded.content])[0], encoded.logits, atol=1e-5)


def test_rejects_an_existing_or_invalid_output(fp32_bundle: Bundle, checkpoint_path: Path, tmp_path: Path):
    checkpoint = read_checkpoint(checkpoint_path).reference
    with pytest.raises(OutputExists):
        export(checkpoint, fp32_bundle.path)
    with pytest.raises(UsageError, match="is not a valid bundle name"):
        export(checkpoint, tmp_path / "a b")


def test_rejects_images_of_other_classes(checkpoint_path: Path, tmp_path: Path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(SourceError):
        export(read_checkpoint(checkpoint_path).reference, tmp_path / "x", data=str(tmp_path / "pets"))
    assert not (tmp_path / "x").exists()


def test_warns_if_the_network_is_untrained(checkpoint_path: Path, tmp_path: Path):
    torch.manual_seed(0)
    untrained = dataclasses.replace(read_checkpoint(checkpoint_path).reference, state=LeNet().state_dict())
    says = r"top-1 is \d+\.\d\d% on 385 images, no better than chance \(10\.00%\): the network looks untrained"
    with pytest.warns(UntrainedWarning, match=says):
        bundle = export(untrained, tmp_path / "bundle")
    assert bundle.proof().engines[0].comparison.agreement == 1


class FixedBatch(LeNet):
    """A network whose exported graph mixes the images of a batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits + logits.mean(dim=0, keepdim=True) if torch.compiler.is_exporting() else logits


class Unexportable(LeNet):
    """A network with control flow that depends on values. It cannot be exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * (2 if x.sum().item() > 0 else 1)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[nn.Module]], None]:
    def register(network: type[nn.Module]) -> None:
        monkeypatch.setitem(registry._REGISTRY, "lenet", registry.Architecture("lenet", lambda _: network(), 32, 32))

    return register


@pytest.mark.parametrize("network", [Liar, FixedBatch])
def test_writes_no_bundle_without_parity(network, pretend, checkpoint_path: Path, tmp_path: Path):
    pretend(network)
    with pytest.raises(ProofFailed, match="differs from the reference"):
        export(read_checkpoint(checkpoint_path).reference, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_reports_a_network_that_cannot_export(pretend, checkpoint_path: Path, tmp_path: Path):
    pretend(Unexportable)
    with pytest.raises(EdgecnnError, match="PyTorch cannot export") as raised:
        export(read_checkpoint(checkpoint_path).reference, tmp_path / "bundle")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failed_export_keeps_the_old_bundle(pretend, fp32_bundle: Bundle, checkpoint_path: Path, tmp_path: Path):
    import shutil

    old = Path(shutil.copytree(fp32_bundle.path, tmp_path / fp32_bundle.path.name))
    pretend(Liar)
    with pytest.raises(ProofFailed):
        export(read_checkpoint(checkpoint_path).reference, old, force=True)
    from edgecnn.bundle.store import open_bundle

    assert open_bundle(old).digest == fp32_bundle.digest


def test_identity_covers_the_preprocessing(checkpoint_path: Path):
    reference = read_checkpoint(checkpoint_path).reference
    moved = dataclasses.replace(reference.preprocessing, mean=(0.5,))
    assert identity_of(dataclasses.replace(reference, preprocessing=moved)) != identity_of(reference)
