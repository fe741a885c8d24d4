"""Functions that the command line names are imported, and what cannot be imported is one line."""

import sys
from pathlib import Path

import pytest

from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.user_code import load_attribute

CODE = """
import helper
from dataclasses import dataclass

def double(number):
    return helper.FACTOR * number

@dataclass
class Parts:
    first: int = 1

    @classmethod
    def make(cls):
        return cls()

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code_of_mine.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text("from pack import other\ndef f(): return other.X\n")
    (tmp_path / "pack" / "other.py").write_text("X = 7\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "raises.py").write_text("x = 1\nraise RuntimeError('no\\n  luck')\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(2)\n")
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    for name in ("helper", "pack", "pack.inner", "pack.other", "raises"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_loads_from_files_and_modules(folder: Path):
    before = list(sys.path)
    found = load_attribute("code_of_mine.py:double", option="--x")
    assert found.call(4) == 8
    assert found.source == folder / "code_of_mine.py" or found.source == Path("code_of_mine.py")
    assert load_attribute("pack.inner:f", option="--x").call() == 7
    assert load_attribute("code_of_mine.py:Parts.make", option="--x").call().first == 1
    assert sys.path == before


def test_loads_from_another_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_attribute(f"{folder / 'code_of_mine.py'}:double", option="--x").call(1) == 2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("code_of_mine.py", "expects package.module:function or file.py:function"),
        ("code_of_mine.py:", "expects package.module:function"),
        (":double", "expects package.module:function"),
        ("code_of_mine.py:a b", "expects package.module:function"),
        ("code_of_mine.txt:double", "there is no module code_of_mine.txt"),
        ("some/path:double", "expected a file that ends in .py or a module's name"),
        ("missing.py:double", "the file missing.py does not exist"),
        ("code_of_mine.py:dobule", r"has no 'dobule' (did you mean double?)"),
        ("code_of_mine.py:number", "expected a function, found an object of type int"),
        ("not_a_module:f", "there is no module not_a_module in the current folder"),
        ("pack.missing:f", "there is no module pack.missing"),
    ],
)
def test_rejects_a_wrong_word(folder: Path, word: str, says: str):
    with pytest.raises(UsageError) as caught:
        load_attribute(word, option="--x")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("wrong.py:f", "importing wrong.py failed: SyntaxError: "),
        ("raises.py:f", "importing raises.py failed: RuntimeError: no luck (raises.py, line 2)"),
        ("raises:f", "importing raises failed: RuntimeError: no luck"),
        ("leaves.py:f", "failed: SystemExit: 2"),
        ("needs.py:f", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
    ],
)
def test_reports_code_that_fails(folder: Path, word: str, says: str):
    before = list(sys.path)
    with pytest.raises(EdgecnnError) as caught:
        load_attribute(word, option="--x")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert sys.path == before
