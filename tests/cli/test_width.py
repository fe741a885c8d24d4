"""The text of every command with a table fits a terminal of 80 columns."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from edgecnn.bundle.store import Bundle, create_bundle

LONG = "customer-photographs-2026-resnet18-int8-calibrated-with-gptq"


@pytest.fixture
def named(committed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the committed bundle under a long name, in the working directory."""
    monkeypatch.chdir(tmp_path)
    bundle = create_bundle(
        tmp_path / LONG,
        manifest=dataclasses.replace(committed.manifest, name=LONG),
        model=committed.model.read_bytes(),
        self_test=committed.self_test(),
        proof=committed.proof(),
    )
    return Path(bundle.path.name)


@pytest.fixture
def narrow(edgecnn: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run a command that succeeds with `COLUMNS=80`, and return the lines of its result."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> list[str]:
        result = edgecnn(*arguments)
        assert result.code == 0, result.err
        lines = result.out.splitlines()
        assert [line for line in lines if cell_len(line) > 80] == []
        return lines

    return run


def test_networks_fit_80_columns(narrow: Callable):
    lines = narrow("inspect", "resnet152")
    assert lines[2].split() == ["module", "kind", "output", "parameters", "MACs"]
    assert lines[-2] == "(a wider terminal and --json also show field, as dense)"
    assert lines[-1].startswith("dense layers in place of convolutions: ")


def test_bundles_fit_80_columns(narrow: Callable, named: Path):
    assert LONG in " ".join(narrow("inspect", named))
    assert any("the proof holds" in line for line in narrow("verify", named))


def test_the_machine_fits_80_columns(narrow: Callable):
    assert any(line.startswith("  cpu ") for line in narrow("doctor"))


def test_accuracy_fits_80_columns(narrow: Callable, named: Path):
    assert any(line.startswith("  top-1 ") for line in narrow("evaluate", named, "--data", "digits"))


@pytest.mark.slow
def test_measurements_fit_80_columns(narrow: Callable, named: Path):
    lines = narrow("benchmark", named, "--rounds", "4", "--turn", "0.02", "--instances", "2", "--batch", "8")
    assert f"{LONG}: INT8" in lines
    lines = narrow("benchmark", named, "--rounds", "4", "--turn", "0.02")
    assert f"{LONG}: reference, PyTorch FP32" in " ".join(map(str.strip, lines))
    assert not any("e+" in line for line in lines)
    assert any(line.split()[-1] == "chosen" for line in narrow("tune", named, "--budget", "2"))


def test_architectures_fit_80_columns(narrow: Callable):
    assert len(narrow("models")) == 17


@pytest.mark.slow
def test_layers_fit_80_columns(narrow: Callable, fp32_bundle: Bundle, tmp_path: Path):
    options = ("--calibration", "digits", "--out", tmp_path / "int8", "--analyze")
    assert any("float wins" in line for line in narrow("quantize", fp32_bundle.path, *options))
