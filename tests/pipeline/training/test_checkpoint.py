"""Checkpoint folders: exact reading, and errors for damaged files without unpickling."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from edgecnn.errors import CheckpointError
from edgecnn.pipeline.reference import identity_of
from edgecnn.pipeline.training.checkpoint import read_checkpoint


@pytest.fixture
def copy(checkpoint_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint_path, tmp_path / "copy"))


def test_reads_a_network_in_evaluation_mode(checkpoint_path: Path):
    checkpoint = read_checkpoint(checkpoint_path)
    network = checkpoint.reference.module()
    assert not network.training
    assert all(torch.equal(value, checkpoint.state[name]) for name, value in network.state_dict().items())


def test_identity_covers_weights_and_labels(checkpoint_path: Path):
    import dataclasses

    reference = read_checkpoint(checkpoint_path).reference
    others = [dataclasses.replace(reference, digest="0"), dataclasses.replace(reference, labels=tuple("abcdefghij"))]
    assert len({identity_of(reference), *map(identity_of, others)}) == 3


def truncate(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])


def pickle_bomb(copy: Path, name: str) -> None:
    class Payload:
        def __reduce__(self):
            return (Path.touch, (copy / "executed",))

    torch.save({"x": Payload()}, copy / name)


@pytest.mark.parametrize("name", ["checkpoint.json", "model.safetensors"])
@pytest.mark.parametrize(
    "damage", [truncate, pickle_bomb, lambda c, n: (c / n).unlink(), lambda c, n: (c / n).write_text("")]
)
def test_names_a_damaged_file(damage, name: str, copy: Path):
    damage(copy, name)
    with pytest.raises(CheckpointError, match=name) as raised:
        read_checkpoint(copy)
    assert "\n" not in str(raised.value)
    assert not (copy / "executed").exists()


def test_rejects_weights_of_another_network(copy: Path):
    from safetensors.torch import save

    from edgecnn.files.digest import digest_bytes

    weights = save({"conv1.weight": torch.zeros(3, 3)})
    (copy / "model.safetensors").write_bytes(weights)
    document = json.loads((copy / "checkpoint.json").read_text())
    document["weights"] = {"sha256": digest_bytes(weights), "size_bytes": len(weights)}
    (copy / "checkpoint.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"do not match lenet: missing conv1\.bias"):
        read_checkpoint(copy).reference.module()


def test_explains_a_missing_checkpoint(tmp_path: Path):
    with pytest.raises(CheckpointError, match="edgecnn train"):
        read_checkpoint(tmp_path)
