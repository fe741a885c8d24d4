"""Tests of `edgecnn quantize --precision fp16`, and of the commands that run its bundle."""

import json
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle, open_bundle

ROOT = Path(__file__).parents[2]
DIGIT = ROOT / "calibration" / "digits-sample" / "train" / "7" / "1.png"


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_lenet_needs_no_images(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    out = tmp_path / "half"
    found = edgecnn("quantize", fp32_bundle.path, "--precision", "fp16", "--out", out)
    assert (found.code, found.err) == (0, "")
    first, *engines = found.out.splitlines()[:3]
    assert first.startswith(f"{out}: fp16, ")
    assert all("agreement 100.00% on 385 images" in line for line in engines)
    assert "one image, " in found.out
    assert "FP16 0." in found.out
    assert "INT8" not in found.out
    assert "keep FP32" not in found.out
    assert found.out.splitlines()[-1].endswith("; FP16 is 0.51 × as large as FP32")
    assert open_bundle(out).manifest.precision == "fp16"


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_json_names_the_precision(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    options = ("--precision", "fp16", "--gate-data", "digits", "--max-drop", "2", "--out", tmp_path / "half", "--json")
    found = json.loads(edgecnn("quantize", fp32_bundle.path, *options).out)
    assert (found["precision"], found["speed_comparison"]["precision"]) == ("fp16", "fp16")
    assert found["proof"]["gate"]["decision"] == "passed"
    assert found["speed_comparison"]["quantized_bytes"] < 0.6 * found["speed_comparison"]["fp32_bytes"]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_other_commands_run_the_bundle(edgecnn, fp16_bundle: Bundle, checkpoint_path: Path, engine: str):
    path = fp16_bundle.path
    verified = edgecnn("verify", path, "--engine", engine, "--data", "digits", "--reference", checkpoint_path)
    assert verified.code == 0
    assert "agreement 100.00%" in verified.out
    assert edgecnn("predict", path, DIGIT, "--engine", engine).out.startswith(f"{DIGIT}: 7 ")
    accuracies = [edgecnn("evaluate", each, "--data", "digits").out.splitlines()[1] for each in (path, checkpoint_path)]
    assert accuracies[0] == accuracies[1]
    assert accuracies[0].startswith("  top-1 ")


def test_inspect_lists_the_layers(edgecnn, fp32_bundle: Bundle, fp16_bundle: Bundle):
    fp32, fp16 = (json.loads(edgecnn("inspect", b.path, "--json").out) for b in (fp32_bundle, fp16_bundle))
    assert fp16["layers"] == fp32["layers"]
    assert (fp16["parameters"], fp16["macs"]) == (fp32["parameters"], fp32["macs"])


def test_inspect_names_tensors_in_float32(edgecnn, fp16_bundle: Bundle, tmp_path: Path):
    import dataclasses

    from edgecnn.bundle.store import create_bundle

    graph = dataclasses.replace(fp16_bundle.manifest.graph, float_tensors={"conv1.weight": "float16 overflows"})
    bundle = create_bundle(
        tmp_path / "half",
        manifest=dataclasses.replace(fp16_bundle.manifest, graphs=(graph,)),
        model=fp16_bundle.model.read_bytes(),
        self_test=fp16_bundle.self_test(),
        proof=fp16_bundle.proof(),
    )
    assert "tensors that stay in float32:\n  conv1.weight: float16 overflows" in edgecnn("inspect", bundle.path).out


@pytest.mark.slow
def test_tune_and_benchmark_run_the_bundle(edgecnn, fp32_bundle: Bundle, fp16_bundle: Bundle, tmp_path: Path):
    paths = (fp32_bundle.path, fp16_bundle.path)
    assert "lenet-digits-fp16 on openvino" in edgecnn("tune", *paths, "--budget", "4").out
    plot = tmp_path / "speed.png"
    assert edgecnn("benchmark", fp16_bundle.path, "--engine", "onnxruntime", "--threads", "1", "--plot", plot).code == 0
    assert plot.exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "--calibration is missing: pass training images, which INT8 needs, or use --precision fp16"),
        (("--precision", "fp8"), "invalid value for '--precision': 'fp8' is not one of 'int8', 'fp16'"),
        (("--precision", "fp16", "--method", "mse"), "--method applies to INT8 only, found precision fp16: remove it"),
        (("--precision", "fp16", "--full-range"), "--full-range applies to INT8 only"),
        (("--precision", "fp16", "--rounding", "gptq", "--count", "3"), "--count, --rounding apply to INT8 only"),
        (("--precision", "fp16", "--seed", "1"), "--seed applies to INT8 only"),
        (("--precision", "fp16", "--analyze", "--seeds", "3"), "--analyze, --seeds apply to INT8 only"),
        (("--precision", "fp16", "--on-undecided", "float"), "--on-undecided applies to INT8 only"),
        (("--precision", "fp16", "--max-drop", "0.5"), "--max-drop needs training images: add --gate-data SOURCE"),
        (("--precision", "fp16", "--certify"), "--certify needs training images: add --gate-data SOURCE"),
    ],
)
def test_reports_mistakes(edgecnn, fp32_bundle: Bundle, tmp_path: Path, options: tuple[str, ...], expected: str):
    found = edgecnn("quantize", fp32_bundle.path, "--out", tmp_path / "q", *options)
    assert (found.code, found.out) == (2, "")
    assert expected in found.error
    assert not (tmp_path / "q").exists()


def test_rejects_other_parents(edgecnn, fp16_bundle: Bundle, int8_bundle: Bundle, tmp_path: Path):
    for bundle, precision in ((fp16_bundle, "fp16"), (int8_bundle, "int8")):
        found = edgecnn("quantize", bundle.path, "--precision", "fp16", "--out", tmp_path / "q")
        assert found.code == 2
        assert f"is already {precision}: quantize its FP32 parent" in found.error
    assert "is FP16: --simulate predicts" in edgecnn("verify", fp16_bundle.path, "--simulate", "avx2").error
