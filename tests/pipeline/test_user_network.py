"""Factories in the user's own code: what is passed to them, what they return, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.models.registry import build, get_architecture
from edgecnn.pipeline.user_network import module_architecture, named_architecture

pytestmark = pytest.mark.usefixtures("own_registry")


def built(word: str, classes: int = 5, channels: int = 3, size: tuple[int, int] = (32, 32)) -> nn.Module:
    return build(Network(named_architecture(word).name, classes, channels, size))


def test_a_factory_gets_what_its_signature_has(code: Path):
    assert built(f"{code}:Net", 5, 4).head.out_features == 5
    fixed = built(f"{code}:Fixed", 7, 1, (16, 24))
    assert (fixed.head.out_channels, fixed.stem.in_channels, fixed.flat.in_features) == (7, 1, 4 * 16 * 24)
    assert built(f"{code}:binary").head.out_features == 1


def test_records_name_and_source_without_folders(code: Path):
    known = named_architecture(f"{code}:Fixed")
    assert (known.name, known.kind, known.parameters) == ("net.py:Fixed", "module", {"num_classes", "in_channels"})
    assert (known.image_size, known.in_channels) == (32, 3)
    assert get_architecture("net.py:Fixed") is known
    digest = known.source_digest
    code.write_text(code.read_text() + "\n")
    assert named_architecture(f"{code}:Fixed").source_digest != digest


def test_takes_a_module_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").touch()
    (tmp_path / "own_package" / "nets.py").write_text("from torch import nn\nmake = lambda num_classes=3: nn.Flatten()")
    monkeypatch.chdir(tmp_path)
    assert named_architecture("own_package.nets:make").name == "own_package.nets:make"
    assert str(tmp_path) not in sys.path
    assert "" not in sys.path


def test_prints_go_to_stderr(code: Path, capsys: pytest.CaptureFixture[str]):
    built(f"{code}:Net")
    out, err = capsys.readouterr()
    assert (out, "imported" in err) == ("", True)


def test_unwraps_compiled_and_parallel_modules(code: Path):
    assert type(built(f"{code}:compiled")).__name__ == "Net"


def test_takes_a_module_of_a_notebook(monkeypatch: pytest.MonkeyPatch):
    defined = type("SmallNet", (nn.Linear,), {"__module__": "__main__"})
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    known = module_architecture(defined(4, 2))
    assert (known.name, known.source, known.source_digest) == ("SmallNet", None, None)


def test_builds_without_memory(code: Path):
    known = named_architecture(f"{code}:Net")
    with torch.device("meta"):
        assert all(each.is_meta for each in build(known.usual()).parameters())


def test_takes_the_logits_of_a_dictionary(code: Path):
    assert built(f"{code}:Dictionary")(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Nett", r"has no 'Nett' \(did you mean Net\?\)"),
        ("width", "needs the argument width"),
        ("network", "is a network, not a factory"),
        ("CODE.x", "has no"),
    ],
)
def test_refuses_a_wrong_name(code: Path, name: str, named: str):
    with pytest.raises(UsageError, match=named):
        named_architecture(f"{code}:{name}")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("failing", r"ZeroDivisionError: division by zero \(net.py, line \d+\)$"),
        ("number", "returns an object of type int"),
        ("lazy", "has lazy layers"),
        ("leaving", "SystemExit: 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_refuses_failing_code(code: Path, name: str, named: str):
    with pytest.raises(EdgecnnError, match=named) as raised:
        built(f"{code}:{name}")
    assert (raised.value.exit_code, "\n" in str(raised.value)) == (1, False)


@pytest.mark.parametrize("text", ["def make(:", "raise SystemExit(2)", "1/0", "import nothing_like_this"])
def test_refuses_code_that_cannot_be_imported(tmp_path: Path, text: str):
    (tmp_path / "bad.py").write_text(f"import torch\n{text}\n")
    with pytest.raises(EdgecnnError, match=r"importing .*bad.py failed: .*line 2\)") as raised:
        named_architecture(f"{tmp_path / 'bad.py'}:make")
    assert raised.value.exit_code == 1


def test_a_file_never_names_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\ndef make(): pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"a file must not make edgecnn run code.*--arch evil.py:make"):
        get_architecture("evil.py:make")
    assert not (tmp_path / "executed").exists()
