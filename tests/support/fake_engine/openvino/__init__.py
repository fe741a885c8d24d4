"""A controllable engine that computes with ONNX Runtime and shadows the package `openvino`.

Files in the folder `HELD_ENGINE` control it: `hold` (runs wait until it is deleted), `hold-NAME` (the same for one
bundle, or for graphs in files of that name), `pace` (minimum seconds per run), `crash` (the next run ends the process
with this signal), `crash-NAME` (loading that bundle does), `memory` (bytes that each run allocates). It appends the
images of each run to `runs`.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__version__ = "2026.0.0"
_FOLDER = Path(os.environ["HELD_ENGINE"])
_PACE_S = 0.002
"""Minimum time of a run: long enough that the server cannot finish one between two requests."""
_PROPERTIES = {"EXECUTION_DEVICES": ["CPU"], "INFERENCE_PRECISION_HINT": "f32"}


class Tensor:
    def __init__(self, data: np.ndarray, *, shared_memory: bool) -> None:
        assert shared_memory
        self.data = data


class _Request:
    def __init__(self, session: onnxruntime.InferenceSession, path: Path) -> None:
        self._session = session
        self._holds = tuple(_FOLDER / name for name in ("hold", f"hold-{path.parent.name}", f"hold-{path.name}"))

        self._bound: Tensor | None = None

    def set_input_tensor(self, tensor: Tensor) -> None:
        self._input = tensor

    def set_output_tensor(self, tensor: Tensor) -> None:
        self._bound = tensor

    def infer(self, *, share_outputs: bool) -> None:
        images = self._input.data
        with (_FOLDER / "runs").open("a") as file:
            file.write(f"{len(images)}\n")
        while any(hold.exists() for hold in self._holds):
            time.sleep(0.002)
        time.sleep(float(_told("pace") or _PACE_S))
        crash = _told("crash")
        if crash:
            (_FOLDER / "crash").unlink()
            os.kill(os.getpid(), signal.Signals[crash])
        _more = bytearray(int(_told("memory") or 0))
        (logits,) = self._session.run(None, {self._session.get_inputs()[0].name: images})
        self._output = self._bound or Tensor(logits, shared_memory=share_outputs)
        np.copyto(self._output.data, logits)

    def get_output_tensor(self, _index: int) -> Tensor:
        return self._output


class _Compiled:
    def __init__(self, path: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._path = Path(path)
        self._properties = _PROPERTIES | {"INFERENCE_NUM_THREADS": threads}

    def get_property(self, name: str) -> Any:
        return self._properties[name]

    def create_infer_request(self) -> _Request:
        return _Request(self._session, self._path)


class Core:
    available_devices = ("CPU",)

    def get_property(self, _device: str, _name: str) -> str:
        return "held"

    def read_model(self, path: str) -> str:
        crash = _told(f"crash-{Path(path).parent.name}")
        if crash:
            os.kill(os.getpid(), signal.Signals[crash])
        return path

    def compile_model(self, path: str, _device: str, settings: dict[str, Any]) -> _Compiled:
        return _Compiled(path, settings["INFERENCE_NUM_THREADS"])


def _told(name: str) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (_FOLDER / name).read_text()
    return ""
