"""Tests of `edgecnn models` and `edgecnn inspect`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from repository import COMMITTED

from edgecnn.bundle.store import Bundle


def test_lists_all_architectures_with_costs(edgecnn):
    lines = edgecnn("models").out.splitlines()
    assert len(lines) == 17
    assert "25,557,032" in next(line for line in lines if line.startswith("resnet50 "))
    found = {entry["name"]: entry for entry in json.loads(edgecnn("models", "--json").out)}
    assert found["alexnet"]["min_image_size"] == 63
    assert found["resnet18"]["stems"] == ["standard", "small"]


def test_inspects_architectures_checkpoints_and_bundles(edgecnn, checkpoint_path: Path, int8_bundle: Bundle):
    texts = [edgecnn("inspect", subject).out for subject in ("lenet", checkpoint_path, int8_bundle.path)]
    for text in texts:
        assert ["total", "61,706", "416,520"] in [line.split() for line in text.splitlines()]
    assert "int8" in texts[2]


def test_json_contains_layers_and_totals(edgecnn):
    found = json.loads(edgecnn("inspect", "vgg16", "--image-size", "32", "--json").out)
    assert found["image_shape"] == [32, 32, 3]
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert found["layers"][0]["kind"] == "Conv2d 3×3"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["resnet1"], 2, "choose lenet"),
        (["nowhere/bundle"], 1, "not a bundle"),
        (["alexnet", "--image-size", "62"], 2, "at least 63 pixels"),
        (["vgg11", "--stem", "small"], 2, "found 'small'"),
    ],
)
def test_reports_errors_on_one_line(edgecnn, arguments: list[str], code: int, says: str):
    result = edgecnn("inspect", *arguments)
    assert (result.code, result.out) == (code, "")
    assert says in result.error


def test_shows_quantization_of_an_int8_bundle(edgecnn, int8_bundle: Bundle):
    text = edgecnn("inspect", int8_bundle.path).out
    assert "effect of quantization on each layer" in text
    found = json.loads(edgecnn("inspect", int8_bundle.path, "--json").out)["quantization"]
    assert {layer["layer"] for layer in found["layers"]} == {"conv1", "conv2", "fc1"}
    ratios = [min(layer["weight_snr_db"], layer["input_snr_db"]) for layer in found["layers"]]
    assert ratios == sorted(ratios), "the worst layer is first"
    assert "only by quantize --analyze" in text
    assert found["float_tensors"]["fc3.weight"].startswith("last layer")


def test_compares_convolutions_with_dense_layers(edgecnn):
    text = edgecnn("inspect", "lenet").out
    assert ["conv1", "Conv2d", "5×5", "6×28×28", "156", "117,600", "5", "4.82", "M"] in map(
        str.split, text.splitlines()
    )
    assert text.endswith("\ndense layers in place of convolutions: 6.7 M parameters instead of 2,572\n")
    found = json.loads(edgecnn("inspect", "lenet", "--json").out)
    assert found["layers"][0]["dense_parameters"] == 4_821_600
    assert found["dense_parameters"] == sum(layer["dense_parameters"] or 0 for layer in found["layers"])


def test_answers_without_pytorch(tmp_path: Path):
    commands = (["models"], ["inspect", "resnet50"], ["inspect", str(COMMITTED)], ["inspect", "lenet", "--json"])
    code = (
        "import sys\n"
        "from edgecnn.cli.main import cli\n"
        f"for words in {commands!r}:\n"
        "    cli.main(words, prog_name='edgecnn', standalone_mode=False)\n"
        "    assert not {'torch', 'torchvision', 'onnxruntime'} & set(sys.modules), words\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
