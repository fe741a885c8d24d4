"""Servers with one good bundle and faulty ones, and bundles that disappear while the server runs.

The number in a comment is a row in the project's table of faults.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from broken_models import MODELS, NO_GRAPHS, endless_loop, external, linear, reseal
from held_engine import Engine
from repository import COMMITTED
from server_process import Server, binary_request, serving, start, wait_for
from watched_files import watching

PATIENCE_S = 60.0


def _named(folder: Path, name: str) -> Path:
    """Copy the committed bundle under another name."""
    path = folder / name.replace(" ", "-").replace("^", "-")
    shutil.copytree(COMMITTED, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["name"] = path.name
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def _with_model(fault: str) -> Callable[[Path], None]:
    return lambda path: _discard(reseal(path, MODELS[fault]((COMMITTED / "model.onnx").read_bytes())))


def _discard(_: object) -> None:
    """Discard a value."""


def _negated(path: Path) -> None:
    """Negate the logits of the model, so that the proof fails."""
    import onnx
    from onnx import helper

    model = onnx.load(path / "model.onnx")
    last = next(node for node in model.graph.node if node.output[0] == "logits")
    last.output[0] = "real"
    model.graph.node.append(helper.make_node("Neg", ["real"], ["logits"]))
    reseal(path, model.SerializeToString())


def _external_data(path: Path) -> None:
    """Refer to weights in a pipe. Opening it would block forever."""
    os.mkfifo(path.parent / "pipe")
    reseal(path, linear(external("../pipe")))


def _as_a_pipe(path: Path) -> None:
    (path / "model.onnx").unlink()
    os.mkfifo(path / "model.onnx")


REFUSED = "the engine rejected it"
NOT_INTACT = "it is not an intact bundle"
ELSEWHERE = "its graph refers to another file"
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    **{fault: (_with_model(fault), NOT_INTACT if fault in NO_GRAPHS else REFUSED) for fault in MODELS},
    "changed": (lambda path: _discard((path / "model.onnx").write_bytes(b"xx")), NOT_INTACT),
    "incomplete": (lambda path: (path / "self_test.npz").unlink(), NOT_INTACT),
    "extra file": (lambda path: _discard((path / "more.bin").write_bytes(b"xx")), NOT_INTACT),
    "unreadable manifest": (lambda path: _discard((path / "manifest.json").write_text("{")), NOT_INTACT),
    "model is a pipe": (_as_a_pipe, NOT_INTACT),
    "data in a pipe": (_external_data, ELSEWHERE),
    "data of a device": (lambda path: _discard(reseal(path, linear(external("/dev/zero")))), ELSEWHERE),
    "wrong answers": (_negated, "its self-test failed on this machine"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """Serve the committed bundle and one bundle per fault. Yield the server and the model name of each fault."""
    folder = tmp_path_factory.mktemp("faulty")
    names: dict[str, str] = {}
    for fault, (spoil, _) in FAULTS.items():
        path = _named(folder, fault)
        spoil(path)
        names[fault] = path.name
    with serving(bundles=[COMMITTED, folder]) as server:
        yield server, names


@pytest.mark.parametrize("fault", FAULTS)
def test_reports_why_a_bundle_is_unavailable(mixed: tuple[Server, dict[str, str]], fault: str):  # 75
    server, names = mixed
    name, reason = names[fault], FAULTS[fault][1]
    with server.good_neighbour():
        body, length = binary_request(server.images[:1])
        asked = (
            server.get(f"/v2/models/{name}/ready"),
            server.get(f"/v2/models/{name}"),
            server.post(body, {"Inference-Header-Content-Length": str(length)}, path=f"/v2/models/{name}/infer"),
        )
        for reply in asked:
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert reply.error == f"model '{name}' is unavailable: {reason}"
        (entry,) = [each for each in server.request("POST", "/v2/repository/index").json if each["name"] == name]
        assert entry == {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}
        lines = [line for line in server.lines if f"model={name}" in line]
        assert len(lines) == 1
        assert f"/{name}" in lines[0]  # the log names the path
    server.unharmed()


def test_serves_the_good_bundle(mixed: tuple[Server, dict[str, str]]):
    server, names = mixed
    index = {each["name"]: each["state"] for each in server.request("POST", "/v2/repository/index").json}
    assert index == {server.name: "READY"} | dict.fromkeys(names.values(), "UNAVAILABLE")
    ready = server.request("POST", "/v2/repository/index", b'{"ready": true}').json
    assert [each["name"] for each in ready] == [server.name]
    assert server.get(f"/v2/models/{server.name}/ready").status == 200
    ready = {s.labels["model"]: s.value for s in server.samples() if s.name == "edgecnn_model_ready"}
    assert ready == {server.name: 1.0} | dict.fromkeys(names.values(), 0.0)


def test_rejects_an_unreadable_bundle_of_equal_name(tmp_path: Path):  # 75
    bad = tmp_path / COMMITTED.name
    shutil.copytree(COMMITTED, bad)
    (bad / "manifest.json").write_text("{")
    process, lines = start(bundles=[COMMITTED, bad])
    assert process.wait(PATIENCE_S) == 2
    wait_for(lambda: lines)
    assert lines == [f"error: {COMMITTED} and {bad} are both named '{COMMITTED.name}': serve one of them\n"]


@pytest.mark.parametrize("fault", [pytest.param("empty", marks=pytest.mark.slow), "changed"])
def test_strict_exits_if_a_bundle_fails_to_load(tmp_path: Path, fault: str):  # 75
    bad = _named(tmp_path, "bad")
    FAULTS[fault][0](bad)
    process, lines = start("--strict", bundles=[COMMITTED, bad])
    assert process.wait(PATIENCE_S) == 1
    wait_for(lambda: any("a bundle could not be loaded: exiting because of --strict" in line for line in lines))
    assert any(str(bad) in line for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_exits_if_no_bundle_loads(tmp_path: Path):  # 75
    bad = _named(tmp_path, "bad")
    FAULTS["truncated"][0](bad)
    process, lines = start(bundles=[bad])
    assert process.wait(PATIENCE_S) == 1
    wait_for(lambda: any("no model to serve: no bundle could be loaded" in line for line in lines))
    assert not any("edgecnn serves" in line or "Traceback" in line for line in lines)


@pytest.mark.slow
def test_isolates_crashing_and_endless_models(tmp_path: Path):  # 76
    folder, control = tmp_path / "bundles", tmp_path / "engine"
    folder.mkdir()
    control.mkdir()
    reseal(_named(folder, "endless"), endless_loop())
    names = ["endless"]
    for number in (signal.SIGSEGV, signal.SIGKILL):
        names.append(_named(folder, number.name).name)
        (control / f"crash-{number.name}").write_text(number.name)
    engine = Engine(control)
    bundles = [*(folder / name for name in names), COMMITTED]
    process, lines = start(
        "--engine", "openvino", "--load-timeout-s", 4, bundles=bundles, environment=engine.environment
    )
    try:
        wait_for(lambda: any("edgecnn serves" in line for line in lines))
        (started,) = [line for line in lines if "edgecnn serves" in line]
        assert "edgecnn serves lenet-digits-int8 on" in started
        assert any("did not open and verify" in line and "within 4 s" in line for line in lines)
        assert any("the engine crashed with SIGSEGV" in line for line in lines)
        assert any("the engine crashed with SIGKILL" in line for line in lines)
        assert not any("is restarted" in line for line in lines)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def _emptied(path: Path) -> None:
    """Truncate every file. A mapped page that was not read yet would now end the process."""
    for file in path.iterdir():
        os.truncate(file, 0)


def test_never_opens_an_external_data_file(tmp_path: Path):  # 77
    outside = tmp_path / "outside.bin"
    outside.write_bytes(np.ones(1024 * 10, np.float32).tobytes())
    names = []
    for name, place in {"relative": "../../outside.bin", "absolute": str(outside)}.items():
        reseal(_named(tmp_path / "bundles", name), linear(external(place)))
        names.append(name)
    with watching(outside) as was_opened, serving(bundles=[COMMITTED, tmp_path / "bundles"]) as server:
        index = {each["name"]: each for each in server.request("POST", "/v2/repository/index").json}
        for name in names:
            body, length = binary_request(server.images[:1])
            headers = {"Inference-Header-Content-Length": str(length)}
            reply = server.post(body, headers, path=f"/v2/models/{name}/infer")
            assert (reply.status, reply.error) == (503, f"model '{name}' is unavailable: {ELSEWHERE}")
            assert index[name]["reason"] == ELSEWHERE
            (line,) = [line for line in server.lines if f"model={name}" in line]
            assert "the data of the tensor 'weights' refers to another file" in line
        assert index[server.name]["state"] == "READY"
        server.unharmed()
        assert not was_opened()


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        shutil.rmtree,
        lambda path: path.chmod(0),
        _emptied,
    ],
)
def test_serves_a_deleted_bundle_from_memory(tmp_path: Path, loss: Callable[[Path], None]):  # 79
    bundle = _named(tmp_path, "vanishing")
    self_test = COMMITTED / "self_test.npz"
    with serving("--watch-s", 0, bundles=[bundle]) as server:
        encoded = server.bundle.self_test().encoded[0]
        loss(bundle)
        kind = {"Content-Type": f"image/{encoded.format.lower()}"}
        for _ in range(3):
            assert server.infer(server.images[:3]).body == server.golden
            assert server.request("POST", server.infer_path, encoded.content, kind).status == 200
        for path in ("", "/config", "/ready", "/stats"):
            assert server.get(f"/v2/models/{server.name}{path}").status == 200
        assert server.get("/v2/health/ready").status == 200
        assert not any("ERROR" in line or "Traceback" in line for line in server.lines)
        assert server.stop() == 0
    assert np.load(self_test).files  # the source bundle is unchanged
    if bundle.exists():
        bundle.chmod(0o700)


@pytest.mark.slow
def test_retries_until_a_deleted_bundle_returns(tmp_path: Path):  # 79
    bundle = _named(tmp_path, "vanishing")
    with serving(bundles=[bundle]) as server:
        aside = bundle.rename(tmp_path / "aside")
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: any("ended with exit code 1 and is restarted" in line for line in server.lines))
        assert any("no model to serve" in line for line in server.lines)
        aside.rename(bundle)
        wait_for(lambda: any("is ready again" in line for line in server.lines))
        assert server.infer(server.images[:3]).body == server.golden
        assert not any("Traceback" in line for line in server.lines)
