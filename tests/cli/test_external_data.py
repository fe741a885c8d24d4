"""Every command rejects a graph that refers to another file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from broken_models import external, linear, reseal
from command import Result
from repository import REPOSITORY
from watched_files import watching

IMAGE = REPOSITORY / "calibration" / "digits-sample" / "train" / "7" / "1.png"
COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "verify": lambda bundle: ["verify", bundle],
    "predict": lambda bundle: ["predict", bundle, IMAGE],
    "benchmark": lambda bundle: ["benchmark", bundle],
    "inspect": lambda bundle: ["inspect", bundle],
    "evaluate": lambda bundle: ["evaluate", bundle, "--data", "digits"],
    "quantize": lambda bundle: ["quantize", bundle, "--calibration", "digits", "--out", bundle.parent / "out"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_rejects_external_data(command: str, bundle_copy: Path, edgecnn: Callable[..., Result]):
    outside = bundle_copy.parent / "outside.bin"
    outside.write_bytes(np.ones(1024 * 10, np.float32).tobytes())
    reseal(bundle_copy, linear(external("../outside.bin")))
    with watching(outside) as was_opened:
        result = edgecnn(*COMMANDS[command](bundle_copy))
        assert not was_opened()
    assert result.code == 1
    assert "model.onnx: the data of the tensor 'weights' refers to another file" in result.error
