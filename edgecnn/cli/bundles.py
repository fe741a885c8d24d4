"""What commands that hold bundles against their reference share."""

import importlib.util


def reference_modules() -> dict[str, str]:
    """Return the module that times the PyTorch reference; none where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        return {}
    from edgecnn.runtime.setting import PYTORCH

    return {PYTORCH: "edgecnn.pipeline.measured"}
