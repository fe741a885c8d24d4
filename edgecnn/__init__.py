"""edgecnn: deploy a convolutional network from PyTorch to an edge device, with proof.

The public API. Names are imported on first use, so that `edgecnn --help` and a device's cold start are fast.
"""

import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime 1.29 and later enables telemetry by default on Linux. It reads this variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgecnn import errors
    from edgecnn.bundle.preprocessing import Preprocessing, Resize
    from edgecnn.bundle.store import Bundle, open_bundle
    from edgecnn.client.client import Client
    from edgecnn.client.options import Retries
    from edgecnn.errors import EdgecnnError
    from edgecnn.explaining.explanation import Explanation
    from edgecnn.prediction import Prediction
    from edgecnn.runtime.classifier import Classifier, load
    from edgecnn.stages.batching import batch_predict
    from edgecnn.stages.building import build
    from edgecnn.stages.cascading import cascade
    from edgecnn.stages.comparing import compare_networks
    from edgecnn.stages.explaining import explain
    from edgecnn.stages.exporting import export, import_onnx
    from edgecnn.stages.inspecting import inspect
    from edgecnn.stages.measuring import benchmark, tune
    from edgecnn.stages.quantizing import quantize
    from edgecnn.stages.reporting import report
    from edgecnn.stages.training import train
    from edgecnn.stages.verifying import verify

__all__ = [
    "Bundle",
    "Classifier",
    "Client",
    "EdgecnnError",
    "Explanation",
    "Prediction",
    "Preprocessing",
    "Resize",
    "Retries",
    "__version__",
    "batch_predict",
    "benchmark",
    "build",
    "cascade",
    "compare_networks",
    "errors",
    "explain",
    "export",
    "import_onnx",
    "inspect",
    "load",
    "open_bundle",
    "quantize",
    "report",
    "train",
    "tune",
    "verify",
]

_HOME = {
    "Bundle": "edgecnn.bundle.store",
    "Classifier": "edgecnn.runtime.classifier",
    "Client": "edgecnn.client.client",
    "EdgecnnError": "edgecnn.errors",
    "Explanation": "edgecnn.explaining.explanation",
    "Prediction": "edgecnn.prediction",
    "Preprocessing": "edgecnn.bundle.preprocessing",
    "Resize": "edgecnn.bundle.preprocessing",
    "Retries": "edgecnn.client.options",
    "batch_predict": "edgecnn.stages.batching",
    "benchmark": "edgecnn.stages.measuring",
    "build": "edgecnn.stages.building",
    "cascade": "edgecnn.stages.cascading",
    "compare_networks": "edgecnn.stages.comparing",
    "explain": "edgecnn.stages.explaining",
    "export": "edgecnn.stages.exporting",
    "import_onnx": "edgecnn.stages.exporting",
    "inspect": "edgecnn.stages.inspecting",
    "load": "edgecnn.runtime.classifier",
    "open_bundle": "edgecnn.bundle.store",
    "quantize": "edgecnn.stages.quantizing",
    "report": "edgecnn.stages.reporting",
    "train": "edgecnn.stages.training",
    "tune": "edgecnn.stages.measuring",
    "verify": "edgecnn.stages.verifying",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    from importlib import import_module

    if name == "errors":
        return import_module("edgecnn.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'edgecnn' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
