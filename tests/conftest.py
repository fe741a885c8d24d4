"""Fixtures for all tests: a trained LeNet, its bundles, and the command line in this process."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# `edgecnn` sets this at import. A test that imports an engine first must not send telemetry either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it in its workers; `edgecnn` would fold its text

from busy_machine import as_if_idle
from command import Result
from device import OnADevice
from repository import COMMITTED, REPOSITORY
from shared import build_once

from edgecnn.bundle.store import Bundle, open_bundle

hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=200, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Use more examples if slow tests run too."""
    hypothesis.settings.load_profile("quick" if config.option.markexpr == "not slow" else "thorough")


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep records, profiles and compiled graphs out of the user's home folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """Return a copy of the committed bundle that a test may damage."""
    return Path(shutil.copytree(COMMITTED, tmp_path / COMMITTED.name))


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return LeNet trained on digits with the default recipe (about 15 s)."""
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.training.loop import train
    from edgecnn.pipeline.training.recipes import recipe

    def build(out: Path) -> None:
        train("lenet", open_source("digits"), out, source_name="digits", options=recipe("lenet", "digits"))

    return build_once(tmp_path_factory, "lenet-digits", build)


@pytest.fixture(scope="session")
def fp32_bundle(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the FP32 bundle exported from the checkpoint."""
    from edgecnn.pipeline.export.exporting import export
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    def build(out: Path) -> None:
        export(read_checkpoint(checkpoint_path).reference, out)

    return open_bundle(build_once(tmp_path_factory, "lenet-digits-fp32", build))


@pytest.fixture(scope="session")
def int8_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the INT8 bundle made from the FP32 bundle with the committed calibration config."""
    return _quantized(fp32_bundle, "lenet-digits-int8", tmp_path_factory, REPOSITORY / "calibration" / "digits.json")


@pytest.fixture(scope="session")
def fp16_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the FP16 bundle made from the FP32 bundle."""
    from edgecnn.pipeline.quantization.options import QuantizationOptions
    from edgecnn.pipeline.quantization.quantizing import quantize

    def build(out: Path) -> None:
        quantize(fp32_bundle, None, out, options=QuantizationOptions(precision="fp16"))

    return open_bundle(build_once(tmp_path_factory, "lenet-digits-fp16", build))


@pytest.fixture(scope="session")
def int4_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the INT8 bundle with its large linear layer in 4 bits."""
    options = {"linear_weights": "int4", "max_drop": 100.0}
    return _quantized(fp32_bundle, "lenet-digits-int4", tmp_path_factory, "digits", **options)


@pytest.fixture
def both_bundles(fp32_bundle: Bundle, int8_bundle: Bundle, tmp_path: Path) -> Path:
    """Return a folder with both bundles of one reference, and a folder that is not a bundle."""
    folder = tmp_path / "both"
    (folder / "notes").mkdir(parents=True)
    for bundle in (fp32_bundle, int8_bundle):
        shutil.copytree(bundle.path, folder / bundle.path.name)
    return folder


@pytest.fixture(scope="session")
def full_range(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the INT8 bundle with weights up to ±127; some processors saturate with it."""
    return _quantized(fp32_bundle, "full-range", tmp_path_factory, "digits", full_range=True)


def _quantized(
    parent: Bundle, name: str, factory: pytest.TempPathFactory, calibration: str | Path, **options: Any
) -> Bundle:
    from edgecnn.pipeline.quantization.calibration_config import open_calibration
    from edgecnn.pipeline.quantization.options import QuantizationOptions
    from edgecnn.pipeline.quantization.quantizing import quantize

    def build(out: Path) -> None:
        quantize(parent, open_calibration(str(calibration)), out, options=QuantizationOptions(**options))

    return open_bundle(build_once(factory, name, build))


@pytest.fixture(scope="session")
def label_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV file of digits with several labels."""
    from label_tables import write_table

    return build_once(tmp_path_factory, "label-table", write_table) / "labels.csv"


@pytest.fixture(scope="session")
def label_bundle(label_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the FP32 bundle of a network with several labels per image (about 10 s)."""
    from label_tables import trained

    from edgecnn.pipeline.export.exporting import export

    def build(out: Path) -> None:
        export(trained(), out, data=str(label_table))

    return open_bundle(build_once(tmp_path_factory, "digit-labels", build))


@pytest.fixture
def fake_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that shadows the package `openvino` with the given code in child processes."""

    def make(code: str) -> None:
        package = tmp_path / "fake" / "openvino"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(code)
        paths = [str(package.parent), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    return make


@pytest.fixture
def idle_machine() -> Iterator[None]:
    """Ignore other work on this machine in a measurement."""
    with as_if_idle():
        yield


@pytest.fixture
def committed() -> Bundle:
    return open_bundle(COMMITTED)


@pytest.fixture(scope="session")
def cascade_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a cascade of the committed LeNet and the same graph with doubled logits; a quarter runs again."""
    from cascades import make_cascade

    def build(out: Path) -> None:
        make_cascade(open_bundle(COMMITTED), out)

    return open_bundle(build_once(tmp_path_factory, "lenet-digits-cascade", build))


@pytest.fixture(scope="session")
def weak_bundle(fp32_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a network with the FP32 bundle's labels that is right less often."""
    from cascades import weakened

    def build(out: Path) -> None:
        weakened(fp32_bundle, out, noise=0.85)

    return open_bundle(build_once(tmp_path_factory, "lenet-digits-weak", build))


@pytest.fixture
def fixed_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the times of the graphs of a new cascade, instead of measuring them."""
    from cascades import COST

    monkeypatch.setattr("edgecnn.pipeline.cascades.cascading.measure_cost", lambda *_, **__: COST)


@pytest.fixture
def lying_bundle(committed: Bundle, tmp_path: Path) -> Bundle:
    """Return an intact bundle with negated reference logits, so that its proof fails."""
    import dataclasses

    from edgecnn.bundle.store import create_bundle

    self_test = committed.self_test()
    return create_bundle(
        tmp_path / committed.manifest.name,
        manifest=committed.manifest,
        model=committed.model.read_bytes(),
        self_test=dataclasses.replace(self_test, logits=-self_test.logits),
        proof=committed.proof(),
    )


@pytest.fixture(scope="session")
def handwriting(tmp_path_factory: pytest.TempPathFactory) -> OnADevice:
    """Return the digits as files, with the committed bundle's logits as reference; the first row is negated."""
    place = build_once(tmp_path_factory, "on-a-device", _handwriting)
    return OnADevice(place / "handwriting", place / "reference.npz")


@pytest.fixture
def on_a_device(handwriting: OnADevice, tmp_path: Path) -> OnADevice:
    """Return the same files, with a copy of the reference logits that a test may change."""
    return OnADevice(handwriting.folder, Path(shutil.copy(handwriting.reference, tmp_path)))


def _handwriting(out: Path) -> None:
    import numpy as np
    from PIL import Image

    from edgecnn import load
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.runtime.verification.recorded import RecordedLogits

    aside = out.with_name(f"{out.name}.new")
    committed, folder = open_bundle(COMMITTED), aside / "handwriting"
    for name in ("train", "test"):
        split = open_source("digits").split(name)
        for index, target in enumerate(split.known_targets()):
            place = folder / name / str(target)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(split.images[index])).save(place / f"{index:04}.png")
    images = open_source(str(folder)).split("test")
    with load(committed) as classifier:
        logits = classifier.logits(images.all_pixels(committed.manifest.preprocessing))
    logits[0] *= -1
    recorded = RecordedLogits(committed.manifest.reference.digest, "c" * 64, images.digest, logits)
    recorded.write(aside / "reference.npz")
    aside.rename(out)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the architectures that a test registers."""
    from edgecnn.pipeline.models import registry

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


@pytest.fixture
def code(own_registry: None, tmp_path: Path) -> Path:
    """Return a file with networks, as a user writes it."""
    from factories import write_code

    return write_code(tmp_path)


@pytest.fixture
def edgecnn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in this process."""
    from edgecnn.cli.main import main

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["edgecnn", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        code = exit_.value.code
        assert isinstance(code, int)
        return Result(code, captured.out, captured.err)

    return run
