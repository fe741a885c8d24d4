"""Tests that each package imports only what the import rules allow, and that commands load nothing heavy."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from device import OnADevice
from import_rules import OURS, THIRD_PARTY
from repository import COMMITTED

PACKAGE = Path(__file__).parent.parent / "edgecnn"
HEAVY = (
    "torch",
    "torchvision",
    "onnx",
    "sklearn",
    "scipy",
    "openvino",
    "onnxruntime",
    "numpy",
    "PIL",
    "rich",
    "urllib3",
    "model_signing",
    "cryptography",
)
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))


def imports(module: Path) -> set[str]:
    tree = ast.parse((PACKAGE / module).with_suffix(".py").read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return names


def rule(table: dict[str, set[str]], module: Path) -> set[str]:
    """Return the entry of the module's longest path prefix in the table."""
    for place in (module, *module.parents):
        if str(place) in table:
            return table[str(place)]
    raise AssertionError(f"no import rule for {module}: add its package to the table")


def test_conformance_suite_is_independent():
    suite = PACKAGE.parent / "oip-conformance"
    modules = {path.stem for path in suite.glob("tests/**/*.py")}
    found = {name.partition(".")[0] for path in suite.rglob("*.py") for name in imports(path)}
    assert found - sys.stdlib_module_names - modules == {"oip_conformance", "numpy", "click", "pytest"}
    assert not any(name.startswith("oip_conformance") for module in MODULES for name in imports(module))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_imports_only_allowed_packages(module: Path):
    for name in imports(module):
        top, _, rest = name.partition(".")
        if top == "edgecnn":
            place = rest.replace(".", "/")
            allowed = rule(OURS, module)
            assert any(place == a or (a and place.startswith(f"{a}/")) for a in allowed), f"{module} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert top in rule(THIRD_PARTY, module), f"{module} imports {name}"


def package_of(module: str) -> str:
    """Return the folder of a module or package of edgecnn."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return str((path if path.is_dir() else path.parent).relative_to(PACKAGE.parent))


def test_packages_import_each_other_in_one_direction():
    packages: dict[str, set[str]] = {}
    for module in MODULES:
        own = package_of(".".join(("edgecnn", *module.parts)).removesuffix(".__init__"))
        used = {package_of(name) for name in imports(module) if name.startswith("edgecnn.")}
        packages.setdefault(own, set()).update(used - {own, "edgecnn"})
    packages.pop("edgecnn")  # the public API and `python -m edgecnn` import from everywhere
    TopologicalSorter(packages).prepare()  # raises CycleError, which names the packages


@pytest.mark.parametrize("folder", ["edgecnn", "oip-conformance/oip_conformance", "benchmarks", "scripts"])
def test_files_have_at_most_300_lines(folder: str):
    sizes = {path: len(path.read_text().splitlines()) for path in (PACKAGE.parent / folder).rglob("*.py")}
    assert [str(path) for path, size in sizes.items() if size > 300] == []


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{m.partition('.')[0] for m in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_edgecnn_loads_nothing_heavy():
    assert loaded_by("import edgecnn; dir(edgecnn)") & set(HEAVY) == set()


def test_help_loads_nothing_heavy():
    code = "import sys; sys.argv = ['edgecnn', '--help']\nfrom edgecnn.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass"
    assert loaded_by(code) & set(HEAVY) == set()


def test_bundle_package_loads_no_engine():
    heavy = loaded_by("import edgecnn.bundle.store, edgecnn.bundle.preprocessing") & set(HEAVY)
    assert heavy == {"numpy", "PIL"}


def test_packing_and_installing_load_no_engine():
    code = "import edgecnn.archive.packing, edgecnn.archive.unpacking, edgecnn.archive.installing"
    assert loaded_by(code) & set(HEAVY) == {"numpy", "PIL"}


def test_runtime_loads_one_engine_and_no_pipeline():
    bundle = PACKAGE.parent / "exported" / "lenet-digits-int8"
    code = f"import edgecnn\nc = edgecnn.load({str(bundle)!r}, engine='onnxruntime')\n"
    code += "c.predict(c.bundle.self_test().images[0])"
    assert loaded_by(code) & set(HEAVY) == {"numpy", "PIL", "onnxruntime"}


def test_supervisor_loads_nothing_heavy():
    assert loaded_by("import edgecnn.cli.serve, edgecnn.server.supervisor.supervisor") & set(HEAVY) == set()


def test_supervisor_loads_no_signature_library(tmp_path: Path):
    (tmp_path / "key.pem").write_text("no key")
    code = "from pathlib import Path\nfrom edgecnn.errors import UsageError\n"
    code += "from edgecnn.server.preflight.signature_check import check_key\nimport edgecnn.cli.serve\n"
    code += f"try: check_key(Path({str(tmp_path / 'key.pem')!r}))\nexcept UsageError: pass\nelse: raise AssertionError"
    assert loaded_by(code) & set(HEAVY) == set()


def test_worker_loads_one_engine_and_no_pipeline():
    code = "from pathlib import Path\nfrom edgecnn.server.models.loading import load\n"
    code += "from edgecnn.server.options import ServeOptions\nimport edgecnn.server.worker\n"
    code += f"load(Path({str(COMMITTED)!r}), ServeOptions(engine='onnxruntime'), 1).session.close()"
    assert loaded_by(code) & set(HEAVY) == {"numpy", "PIL", "onnxruntime"}


def test_quantization_and_data_load_no_torch():
    code = "import edgecnn.pipeline.quantization.quantizing, edgecnn.pipeline.data.sources as sources\n"
    code += "sources.open_source('digits').split('test')"
    assert loaded_by(code) & {"torch", "torchvision"} == set()


def test_verify_with_recorded_logits_loads_one_engine(
    on_a_device: OnADevice,
):
    arguments = ["verify", COMMITTED, "--engine", "onnxruntime", "--data", on_a_device.folder]
    arguments += ["--reference", on_a_device.reference]
    code = f"import sys; sys.argv = {['edgecnn', *map(str, arguments)]}\nfrom edgecnn.cli.main import main\n"
    code += "try: main()\nexcept SystemExit as done: assert not done.code"
    assert loaded_by(code) & set(HEAVY) == {"numpy", "PIL", "onnxruntime"}


def test_telemetry_is_off_before_onnx_runtime_is_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    code = "import edgecnn.runtime.engines.onnxruntime, os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    assert "onnxruntime" in loaded_by(code)
