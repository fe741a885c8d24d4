"""Process that times the PyTorch reference: `python -m edgecnn.pipeline.measured`.

A bundle does not contain the reference's weights, and the time does not depend on them. The network is built from the
manifest with random weights, so no checkpoint is needed. Its logits are ignored.
"""

import importlib.util
from pathlib import Path

from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EngineError, PrecisionUnavailable
from edgecnn.runtime.engines.choices import PYTORCH
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.worker import Subject, self_test_batch, serve


def reference_modules() -> dict[str, str]:
    """Return the worker module with which `benchmark` and `tune` time the PyTorch reference; empty without PyTorch."""
    is_installed = importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision")
    return {PYTORCH: "edgecnn.pipeline.measured"} if is_installed else {}


def reference_of(path: Path, setting: Setting) -> Subject:
    """Build the network of a bundle in eager mode, in FP32 on the CPU.

    Raises:
        PrecisionUnavailable: the setting has another precision or device, or several streams.
        EngineError: the bundle was not exported from a registered network.
    """
    if (setting.device, setting.precision, setting.instances) != ("cpu", "fp32", 1):
        raise PrecisionUnavailable("the PyTorch reference is timed in FP32 on the CPU, one run at a time")
    from edgecnn.pipeline.models.registry import build
    from edgecnn.pipeline.torch_session import TorchSession

    bundle = open_bundle(path)
    manifest, network = bundle.manifest, bundle.manifest.network
    if network is None:
        raise EngineError(f"{path} was not exported from a registered network: PyTorch cannot build it")
    session = TorchSession(
        build(network).eval(), manifest.preprocessing, classes=len(manifest.labels), threads=setting.threads
    )
    return Subject(session, self_test_batch(bundle, setting.batch))


if __name__ == "__main__":
    serve(reference_of)
