"""Every command on a cascade: it works, or refuses it with one line and the right exit code."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle
from edgecnn.cli.main import cli

QUICK = ("--engine", "onnxruntime", "--threads", "1", "--rounds", "4", "--turn", "0.02")

WORKS = {
    "inspect": (),
    "verify": (),
    "evaluate": ("--data", "digits"),
    "predict": ("{image}",),
    "batch": ("{image}", "--out", "{out}"),
    "pack": ("--out", "{out}.tar"),
    "install": ("--to", "{out}"),
}
"""Arguments after the cascade. `{image}`, `{images}` and `{out}` are replaced by paths."""

REFUSES = {
    "benchmark": ((), 2, "cost depends on the images"),
    "tune": ((), 2, "cost depends on the images"),
    "quantize": (("--calibration", "digits", "--out", "{out}"), 2, "expected a bundle with one graph"),
    "verify": (("--simulate", "avx2"), 2, "expected a bundle with one graph"),
    "explain": (("{image}", "--out", "{out}.html"), 2, "is a cascade"),
    "cascade": (("{cascade}", "--data", "digits", "--out", "{out}"), 2, "is a cascade"),
    "build": (("--data", "digits", "--out", "{out}"), 1, "is a bundle already"),
    "export": (("--out", "{out}"), 1, "is a bundle already"),
    "import": (("--out", "{out}"), 1, "is a bundle already"),
    "train": (("--data", "digits", "--out", "{out}"), 2, "unknown architecture"),
    "compare-networks": (("--data", "digits", "--out", "{out}"), 2, "unknown architecture"),
    "sign": (("--key", "{out}.pem"), 2, "cannot read the key"),
    "unpack": (("--out", "{out}"), 1, "expected an archive"),
    "rollback": ((), 2, "is a bundle"),
}
"""Arguments after the cascade, the exit code, and a part of the message."""

ELSEWHERE = {"report", "serve", "models", "learn", "doctor", "completion", "help"}
"""The first has a slow test below, the second tests of its own; the others take no bundle."""


@pytest.fixture
def run(edgecnn: Callable, cascade_bundle: Bundle, tmp_path: Path) -> Callable:
    """Return a function that runs a command on a copy of the cascade."""
    cascade = Path(shutil.copytree(cascade_bundle.path, tmp_path / cascade_bundle.path.name))
    (tmp_path / "images").mkdir()
    for number, image in enumerate(cascade_bundle.self_test().images):
        Image.fromarray(image[:, :, 0]).save(tmp_path / "images" / f"{number}.png")
    places = {"cascade": cascade, "out": tmp_path / "out", "images": tmp_path / "images"}
    places["image"] = tmp_path / "images" / "0.png"

    def call(command: str, *arguments: str) -> object:
        return edgecnn(command, cascade, *(each.format_map(places) for each in arguments))

    return call


def test_covers_every_command():
    assert WORKS.keys() | REFUSES.keys() | ELSEWHERE == set(cli.commands)


@pytest.mark.parametrize(("command", "arguments"), WORKS.items(), ids=WORKS)
def test_works_on_a_cascade(run: Callable, command: str, arguments: tuple[str, ...]):
    result = run(command, *arguments)
    assert result.code == 0, result.err
    assert result.out


@pytest.mark.parametrize(("command", "refused"), REFUSES.items(), ids=REFUSES)
def test_refuses_a_cascade_with_one_line(run: Callable, command: str, refused: tuple, tmp_path: Path):
    arguments, code, message = refused
    result = run(command, *arguments)
    assert result.code == code, result.err
    assert message in result.error
    assert not (tmp_path / "out").exists()


def test_predict_names_the_graph_and_the_share(run: Callable, tmp_path: Path):
    images = [str(path) for path in sorted((tmp_path / "images").glob("*.png"))]
    result = run("predict", *images)
    lines = result.out.splitlines()
    assert len(lines) == 33
    assert sum(line.endswith("(accurate)") for line in lines) == 8
    assert sum(line.endswith("(fast)") for line in lines) == 24
    assert lines[-1] == "run again by the accurate graph: 8 of 32 images (25.00%)"
    found = run("predict", *images, "--json").json_lines
    assert [each["stage"] for each in found].count("accurate") == 8
    assert "run again" not in run("predict", images[0]).out


def test_evaluate_measures_the_share(run: Callable):
    result = run("evaluate", "--data", "digits", "--json")
    share = json.loads(result.out)["run_again"]
    assert 0 < share["value"] < 1
    assert share["images"] == 385


@pytest.mark.slow
def test_benchmark_shows_mean_and_share(run: Callable, tmp_path: Path):
    result = run("benchmark", *QUICK, "--data", "{images}", "--batch", "1", "--batch", "4", "--csv", "{out}.csv")
    assert result.code == 0, result.err
    assert "on 32 images of images all" in result.out
    assert "mean ms" in result.out
    assert re.search(r"  \d+\.\d\d%  ", result.out)  # turns end within the images: about 25%
    found = json.loads(run("benchmark", *QUICK, "--data", "{images}", "--json").out)
    assert found["data"]["images"] == 32
    assert found["results"][0]["speed"]["mean_ms"]["value"] > found["results"][0]["speed"]["p50_ms"]["low"]
    (tmp_path / "old.json").write_text(json.dumps(found))
    other = run("benchmark", *QUICK, "--data", "{images}", "--images", "5", "--compare", str(tmp_path / "old.json"))
    assert other.code == 2
    assert "measured on other images (32 images of images)" in other.error


def test_benchmark_needs_data_to_choose_images(run: Callable):
    for option in ("--images", "--seed"):
        result = run("benchmark", option, "3")
        assert result.code == 2
        assert "add --data SOURCE" in result.error


@pytest.mark.slow
def test_tune_measures_a_cascade_only_on_images(run: Callable, edgecnn: Callable, committed: Bundle, tmp_path: Path):
    shutil.copytree(committed.path, tmp_path / committed.path.name)
    without = edgecnn("tune", tmp_path, "--budget", "5")
    assert without.code == 0, without.err
    assert "not measured: the cost of a cascade depends on the images; name some with --data" in without.out
    found = run("tune", "--budget", "5", "--data", "{images}")
    assert found.code == 0, found.err
    assert "p50 or mean ms" in found.out
    assert re.search(r"  \d+\.\d\d%  ", found.out)


@pytest.mark.slow
def test_report_shows_a_cascade_without_layers(run: Callable, tmp_path: Path):
    result = run("report", "--data", "digits", "--out", "{out}.html")
    assert result.code == 0, result.err
    assert "is a cascade" in (tmp_path / "out.html").read_text()
