"""What commands that hold bundles against their original share."""

import importlib.util


def original_modules() -> dict[str, str]:
    """Return the module that times the PyTorch original; none where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        return {}
    from edgecnn.runtime.measuring.setting import PYTORCH

    return {PYTORCH: "edgecnn.pipeline.measured"}
