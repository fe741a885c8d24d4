"""The hints in error messages: similar names, and commands that install extras."""

import importlib.metadata
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY

from edgecnn.hints import closest, did_you_mean, install_command
from edgecnn.pipeline.models.registry import architectures, closest_architecture

NETWORKS = {
    "lenet": ["LeNet", "lenet5", "LeNet-5", "le_net", "lennet"],
    "alexnet": ["AlexNet", "alex_net", "alex"],
    "vgg11": ["vgg", "VGG"],
    "vgg16": ["VGG16", "vgg-16", "vgg_16"],
    "vgg16_bn": ["vgg16bn", "VGG16-BN", "vgg16_bm"],
    "googlenet": ["GoogLeNet", "googelnet", "inception", "Inception_v1"],
    "resnet18": ["resnet", "ResNet", "resnet-18", "ResNet18", "resnt18"],
    "resnet101": ["ResNet 101", "resnet_101"],
}
STRANGERS = (
    *("mobilenet", "mobilenet_v2", "efficientnet_b0", "densenet121", "squeezenet1_1", "shufflenet", "mnasnet"),
    *("vit_b_16", "yolo", "yolov8n", "swin", "convnext", "regnet", "resnext50_32x4d", "wide_resnet50_2", "senet"),
    *("inception_v3", "xception", "unet", "", "x", "é" * 5000),
)


@pytest.mark.parametrize(("name", "words"), NETWORKS.items(), ids=NETWORKS)
def test_finds_the_network_that_was_meant(name: str, words: list[str]):
    assert {closest_architecture(word) for word in words} == {name}


@pytest.mark.parametrize("word", STRANGERS, ids=lambda word: word[:20])
def test_suggests_nothing_for_other_networks(word: str):
    assert closest_architecture(word) is None


def test_knows_its_own_names():
    assert all(closest_architecture(each.name) == each.name for each in architectures())


def test_takes_synonyms_and_the_first_of_a_family():
    assert closest("ort", ("onnxruntime",), others={"ort": "onnxruntime"}) == "onnxruntime"
    assert closest("cifar", ("mnist", "cifar10", "cifar100")) == "cifar10"
    assert closest("outputs", ("--out", "--data")) == "--out"
    assert did_you_mean("Digits ", ("digits",)) == " (did you mean digits?)"
    assert did_you_mean("nothing", ("digits",)) == ""


WHEEL = "file:///tmp/a%20b/edgecnn-0.1.0-py3-none-any.whl"
REPO = "https://example.com/edgecnn.git"
RECORDS = {
    "editable": ({"url": "file:///a%20b", "dir_info": {"editable": True}}, ["-e", "/a b[serve]"]),
    "folder": ({"url": "file:///a%20b", "dir_info": {}}, ["/a b[serve]"]),
    "subfolder": ({"url": "file:///a", "dir_info": {}, "subdirectory": "b"}, ["/a/b[serve]"]),
    "wheel": ({"url": WHEEL, "archive_info": {"hashes": {}}}, [f"edgecnn[serve] @ {WHEEL}"]),
    "repository": (
        {"url": REPO, "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}},
        [f"edgecnn[serve] @ git+{REPO}@abc"],
    ),
}


class Installed:
    """A distribution with this text in `direct_url.json`."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.text


@pytest.mark.parametrize(("record", "words"), RECORDS.values(), ids=RECORDS)
def test_installs_from_the_recorded_place(record: dict, words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(json.dumps(record)))
    assert shlex.split(install_command("serve")) == ["pip", "install", *words]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", "{}", '{"url": 5}', '{"url": "x", "dir_info": null}'])
def test_installs_from_an_index_without_a_record(text: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(text))
    assert install_command("serve") == "pip install 'edgecnn[serve]'"


def test_installs_from_a_source_tree(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert install_command("grpc") == f"pip install -e {shlex.quote(f'{REPOSITORY}[grpc]')}"


@pytest.mark.slow
def test_pip_records_a_wheel_as_expected(tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    code += "from edgecnn.hints import install_command; print(install_command('serve'))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shlex.split(done.stdout) == ["pip", "install", f"edgecnn[serve] @ {wheel.as_uri()}"]


def test_no_message_names_an_extra_itself():
    texts = {path: path.read_text() for path in (REPOSITORY / "edgecnn").rglob("*.py")}
    assert [str(path) for path, text in texts.items() if "'edgecnn[" in text and path.name != "hints.py"] == []
