"""Tests of `edgecnn completion`, in the shells themselves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.fixture
def complete(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that completes the last word of a command line in bash."""
    (tmp_path / "photos").mkdir()

    def run(line: str) -> list[str]:
        code = 'source <(edgecnn completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        code += '_edgecnn_completion edgecnn; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "-c", code, "bash", *line.split(" ")],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        )
        assert "Traceback" not in done.stderr
        return done.stdout.split()

    return run


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edgecnn qua", ["quantize"]),
        ("edgecnn he", ["help"]),
        ("edgecnn train le", ["lenet"]),
        ("edgecnn train lenet --data fa", ["fashion-mnist"]),
        ("edgecnn export resnet1", ["resnet18", "resnet101", "resnet152"]),
        ("edgecnn inspect vgg19", ["vgg19", "vgg19_bn"]),
        ("edgecnn train lenet --optim", ["--optimizer"]),
        ("edgecnn completion f", ["fish"]),
        ("edgecnn export model.pth --out", ["--out"]),
    ],
)
def test_bash_completes_words(complete: Callable, line: str, words: list[str]):
    assert complete(line) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_valid_in_its_shell(edgecnn: Callable, shell: str, tmp_path: Path):
    result = edgecnn("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert "_EDGECNN_COMPLETE" in result.out
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    (tmp_path / "script").write_text(result.out)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
