"""Tests of `edgecnn serve`: bundles, options and errors."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from repository import COMMITTED

from edgecnn.hints import install_command
from edgecnn.server.models.catalogue import Source
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.listening import listen


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Path], ServeOptions]]:
    """Replace the supervisor and record its arguments."""
    asked: list[tuple[list[Path], ServeOptions]] = []

    def supervise(sources: Sequence[Source], options: ServeOptions, *, roots: Sequence[Path]) -> int:
        assert roots is not None
        asked.append(([source.path for source in sources], options))
        return 0

    monkeypatch.setattr("edgecnn.server.supervisor.supervisor.supervise", supervise)
    find = importlib.util.find_spec
    extra = ("httptools", "orjson", "prometheus_client")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name in extra or find(name, *rest))
    return asked


def test_serves_each_bundle_once(edgecnn: Callable, served: list, bundle_copy: Path):
    result = edgecnn("serve", bundle_copy, bundle_copy.parent, "--port", "0", "--max-batch", "8", "--access-log")
    assert result.code == 0, result.err
    assert served == [([bundle_copy], ServeOptions(port=0, max_batch=8, access_log=True))]


def test_uses_the_default_options(edgecnn: Callable, served: list, bundle_copy: Path):
    assert edgecnn("serve", bundle_copy).code == 0
    assert served[0][1] == ServeOptions()


def test_serves_exported_bundles_by_default(
    edgecnn: Callable, served: list, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    nothing = edgecnn("serve")
    assert nothing.code == 2
    assert "exported is neither a bundle nor a folder of bundles" in nothing.error
    assert "pass a BUNDLE or FOLDER, since the default is ./exported" in nothing.error
    (tmp_path / "exported").mkdir()
    assert edgecnn("serve").code == 2
    shutil.move(bundle_copy, tmp_path / "exported")
    assert edgecnn("serve").code == 0
    assert served[0][0] == [Path("exported") / COMMITTED.name]


def test_rejects_a_folder_without_bundles(edgecnn: Callable, served: list, tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = edgecnn("serve", place)
        assert result.code == 2
        assert f"{place} is neither a bundle nor a folder of bundles" in result.error
    assert not served


def test_rejects_two_bundles_with_one_name(edgecnn: Callable, served: list, bundle_copy: Path, tmp_path: Path):
    twin = Path(shutil.copytree(bundle_copy, tmp_path / "twin"))
    result = edgecnn("serve", bundle_copy, twin)
    assert result.code == 2
    assert f"{bundle_copy} and {twin} are both named 'lenet-digits-int8'" in result.error


@pytest.mark.parametrize("manifest", ["", "[]", '{"name": 3}', "[" * 100_000, '{"name": "lenet-digits-int8"'])
def test_passes_unreadable_manifests_to_the_worker(
    edgecnn: Callable, served: list, bundle_copy: Path, tmp_path: Path, manifest: str
):
    twin = Path(shutil.copytree(bundle_copy, tmp_path / "twin"))
    (twin / "manifest.json").write_text(manifest)
    assert edgecnn("serve", bundle_copy, twin).code == 0
    assert served[0][0] == [bundle_copy, twin]


def test_reports_a_used_port_before_loading(edgecnn: Callable, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: find(name, *rest) or True)
        result = edgecnn("serve", bundle_copy, "--port", port)
    assert result.code == 2
    assert result.error.startswith(f"error: port {port} of 127.0.0.1 is already in use")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threads", "0"), "--threads must be in 1..1024, found 0"),
        (("--threads", "1024"), "threads are 1024, and this process may use"),
        (("--tls-key", "key.pem"), "--tls-cert and --tls-key must be given together"),
        (("--api-key-file", "nowhere"), "cannot read the API key file nowhere"),
        (("--host", ""), "--host must not be empty"),
        (("--host", "http://127.0.0.1"), "--host must be a host name or an address, such as 127.0.0.1, found 'http://"),
        (("--host", "127.0.0.1:9000"), "found '127.0.0.1:9000': set the port with --port"),
        (("--engine", "tensorflow"), "unknown engine 'tensorflow': choose auto, onnxruntime or openvino"),
        (("--device", "tpu"), "unknown device 'tpu': choose cpu, "),
    ],
)
def test_rejects_invalid_options(edgecnn: Callable, bundle_copy: Path, arguments: tuple[str, ...], message: str):
    result = edgecnn("serve", bundle_copy, *arguments)
    assert result.code == 2
    assert message in result.error


def test_reports_a_missing_extra(edgecnn: Callable, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "orjson" else find(name, *rest)
    )
    result = edgecnn("serve", bundle_copy)
    assert result.code == 1
    assert result.error.endswith(f"orjson, which is not installed: {install_command('serve')}")


def test_uses_the_name_in_the_manifest(bundle_copy: Path):
    from edgecnn.server.models.catalogue import name_of

    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest | {"name": "other"}))
    assert name_of(bundle_copy) == "other"
    assert name_of(bundle_copy / "nowhere") is None


def test_signatures_require_the_signing_extra(
    edgecnn: Callable, served: list, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "model_signing" else find(name, *rest)
    )
    assert edgecnn("serve", bundle_copy).code == 0
    result = edgecnn("serve", bundle_copy, "--require-signature", "public.pem")
    assert result.code == 1
    assert result.error.endswith(f"model_signing, which is not installed: {install_command('signing')}")
