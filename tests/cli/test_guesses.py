"""What a newcomer types first: each guess gets one useful line, and imports neither PyTorch nor an engine."""

import json
import shutil
import subprocess
import sys

import pytest
from repository import COMMITTED

REFUSED = {
    "LeNet": (2, "an architecture: edgecnn train lenet --data SOURCE --out FOLDER"),
    "ResNet-18": (2, "an architecture: edgecnn train resnet18"),
    "train LeNet": (2, "did you mean lenet?"),
    "train lennet --data digits --out x": (2, "did you mean lenet?"),
    "train mobilenet_v2 --data digits --out x": (2, "unknown architecture 'mobilenet_v2': choose lenet, "),
    "train lenet": (2, "missing option '--data'; see `edgecnn train --help`"),
    "train lenet --data MNIST --out x": (1, "did you mean mnist?"),
    "train lenet --data cifar-10 --out x": (1, "did you mean cifar10?"),
    "train lenet --data fashion_mnist --out x": (1, "did you mean fashion-mnist?"),
    "train lenet --data digits --out taken": (2, "taken exists already"),
    "train lenet --epoch 3": (2, "no such option: --epoch (did you mean --epochs?)"),
    "inspect xyz": (2, "unknown architecture 'xyz': choose lenet, "),
    "inspect ResNet50": (2, "did you mean resnet50?"),
    "inspect alexnet --image-size 62": (2, "at least 63 pixels"),
    "predict cat.jpg": (2, "expected BUNDLE IMAGE..."),
    "predict checkpoint cat.jpg": (1, "is a checkpoint: export it first: edgecnn export checkpoint --out"),
    "predict photos cat.jpg": (1, "is a folder of images: train on them"),
    "predict model.pth cat.jpg": (1, "edgecnn export ARCH --weights model.pth --out FOLDER"),
    "predict digits cat.jpg --engine onnx": (2, "unknown engine 'onnx' (did you mean onnxruntime?)"),
    "predict digits cat.jpg --device GPU": (2, "unknown device 'GPU' (did you mean gpu?)"),
    "predict digit cat.jpg": (1, "found nothing (did you mean digits?)"),
    "export model.pth": (2, "edgecnn export ARCH --weights model.pth --out FOLDER"),
    "export LeNet": (2, "did you mean lenet?"),
    "export lenet --out x": (2, "lenet is an architecture: add --weights FILE|NAME"),
    "export digits --out x": (1, "digits is a bundle already"),
    "export nowhere --out x": (1, "`edgecnn train` writes one"),
    "export checkpoint --out taken": (2, "taken exists already"),
    "export resnet --weights w.pth --out x": (2, "did you mean resnet18?"),
    "export resnet18 --weights w.pth --out x": (1, "w.pth does not exist"),
    "evaluate nowhere --data digits": (1, "`edgecnn train` writes one"),
    "evaluate lenet --data digits": (2, "pass its weights and --arch lenet"),
    "evaluate model.pth --data digits": (2, "name the architecture of its weights with --arch"),
    "evaluate model.pth --data digits --arch LeNet": (2, "did you mean lenet?"),
    "quantize model.onnx": (1, "is an ONNX graph: import it first: edgecnn import model.onnx --out model"),
    "quantize checkpoint": (1, "export it first"),
    "pack digits/model.onnx": (1, "is a file of a bundle: pass its folder, digits"),
    "verify digits.tar": (1, "is an archive: unpack it first: edgecnn unpack digits.tar --out digits"),
    "verify checkpoint": (1, "export it first"),
    "benchmark model.onnx": (1, "is an ONNX graph"),
    "benchmark digits --engine torch": (2, "unknown engine 'torch' (did you mean pytorch?)"),
    "tune checkpoint": (1, "export it first"),
    "serve model.pth": (2, "edgecnn export ARCH --weights model.pth"),
    "install model.pth --to site": (1, "edgecnn export ARCH --weights model.pth"),
    "quantise": (2, "did you mean quantize?"),
    "evalute": (2, "did you mean evaluate?"),
    "Train": (2, "did you mean train?"),
    "list": (2, "did you mean models?"),
    "version": (2, "did you mean --version?"),
    "test": (2, "did you mean evaluate?"),
    "cat.jpg": (2, "an image: classify it with a bundle: edgecnn predict BUNDLE cat.jpg"),
    "model.pth": (2, "edgecnn export ARCH --weights model.pth"),
    "digits": (2, "a bundle: edgecnn predict digits IMAGE"),
    "frobnicate": (2, "no such command: frobnicate; see `edgecnn --help`"),
    "help trian": (2, "did you mean train?"),
    "completion tcsh": (2, "'bash', 'zsh', 'fish'"),
}
ANSWERED = {
    "": "Usage: edgecnn ",
    "help": "Usage: edgecnn ",
    "help train": "Usage: edgecnn train ",
    "--help train": "Usage: edgecnn train ",
    "-h serve": "Usage: edgecnn serve ",
    "--version": "edgecnn, version ",
}
RUN_ALL = """
import contextlib, io, json, shlex, sys
from edgecnn.cli.main import main
found, heavy = {}, {"torch", "torchvision", "onnx", "sklearn", "onnxruntime", "openvino"}
for guess in json.load(sys.stdin):
    sys.argv = ["edgecnn", *shlex.split(guess)]
    out, err = io.StringIO(), io.StringIO()
    before = set(sys.modules)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as done:
            code = done.code
        except Exception as error:
            code = repr(error)
    found[guess] = code, out.getvalue(), err.getvalue(), sorted(heavy & (set(sys.modules) - before))
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str, list[str]]]:
    """Type all guesses in a folder with a bundle, a checkpoint's record, photographs and files of other tools."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(COMMITTED, folder / "digits")
    for name in ("cat.jpg", "model.pth", "model.onnx", "digits.tar", "checkpoint/checkpoint.json", "photos/cat/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "taken").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps([*REFUSED, *ANSWERED]),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("guess", REFUSED)
def test_refuses_a_guess_on_one_line(answers: dict, guess: str):
    code, says = REFUSED[guess]
    assert answers[guess][0] == code
    assert answers[guess][1] == ""
    assert answers[guess][2].startswith("error: ")
    assert answers[guess][2].count("\n") == 1
    assert says in answers[guess][2]


@pytest.mark.parametrize("guess", ANSWERED)
def test_answers_a_request_for_help(answers: dict, guess: str):
    assert answers[guess][0] == 0
    assert answers[guess][1].startswith(ANSWERED[guess])
    assert answers[guess][2] == ""


@pytest.mark.parametrize("guess", [*REFUSED, *ANSWERED])
def test_imports_nothing_heavy_for_a_guess(answers: dict, guess: str):
    assert answers[guess][3] == []
