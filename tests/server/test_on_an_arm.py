"""A server on an emulated Raspberry Pi: faulty bundles, bad new versions, and a deleted bundle.

The number in a comment is a row in the project's table of faults.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from broken_models import MODELS, endless_loop, external, linear, reseal
from marks import on_an_arm
from model_versions import NAME, put, reseal_as
from repository import COMMITTED
from server_process import Server, serving, wait_for

from benchmarks.devices.emulation import CORTEX_A72

pytestmark = on_an_arm

PATIENCE_S = 300.0
LOADING_S = 40
REFUSED, NOT_INTACT = "the engine rejected it", "it is not an intact bundle"
REASONS = {
    "empty": REFUSED,
    "truncated": NOT_INTACT,
    "unknown operator": REFUSED,
    "opset too new": REFUSED,
    "2^31 dimensions": REFUSED,
    "endless loop": "the engine crashed or timed out",
    "data of a device": "its graph refers to another file",
}


def faulty(folder: Path, fault: str) -> str:
    """Create a bundle with a fault in a folder; return its name."""
    path = folder / fault.replace(" ", "-").replace("^", "-")
    shutil.copytree(COMMITTED, path)
    if fault == "endless loop":
        model = endless_loop()
    elif fault == "data of a device":
        model = linear(external("/dev/zero"))
    else:
        model = MODELS[fault]((COMMITTED / "model.onnx").read_bytes())
    reseal(path, model)
    reseal_as(path, path.name)
    return path.name


def serves(server: Server, digest: str) -> bool:
    return server.infer(server.images[:1]).headers["x-bundle-digest"] == digest


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a model folder with version 1, and an empty folder for faulty bundles."""
    folder = tmp_path_factory.mktemp("served")
    for name in (NAME, "faulty"):
        (folder / name).mkdir()
    put(folder / NAME, 1)
    return folder / NAME, folder / "faulty"


def test_survives_faulty_bundles_and_a_lost_folder(folders: tuple[Path, Path]):
    versions, others = folders
    names = {faulty(others, fault): reason for fault, reason in REASONS.items()}
    options = ("--engine", "onnxruntime", "--watch-s", 0.5, "--load-timeout-s", LOADING_S)
    with serving(
        *options, bundles=[versions, others], name=NAME, processor=CORTEX_A72, patience_s=PATIENCE_S
    ) as server:
        index = {each["name"]: each["reason"] for each in server.request("POST", "/v2/repository/index").json}
        assert index == {NAME: ""} | names  # 75, 76, 77
        server.unharmed()
        with server.good_neighbour():
            put(versions, 2)
            (versions / "2" / "self_test.npz").write_bytes(b"")
            wait_for(lambda: "version 2 was refused" in server.index()[NAME]["reason"], limit_s=PATIENCE_S)  # 78
        server.unharmed()
        logits, third = server.logits(server.images), put(versions, 3)
        wait_for(lambda: serves(server, third), limit_s=PATIENCE_S)
        shutil.rmtree(versions)  # 79
        for _ in range(20):
            assert serves(server, third)
            assert np.array_equal(server.logits(server.images), logits)
        assert server.stop() == 0
