"""What commands that take several bundles share."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path


def bundle_paths(paths: Iterable[Path]) -> list[Path]:
    """Return bundles for paths: a bundle stands for itself, a folder for the bundles in it; each once.

    Raises:
        BundleNotFound: a path is neither.
    """
    from edgecnn.bundle.store import bundles_in, is_bundle

    found = [each for path in paths for each in ([path] if is_bundle(path) else bundles_in(path))]
    return list({path.resolve(): path for path in found}.values())


def original_modules() -> dict[str, str]:
    """Return the module that times the PyTorch original; none where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        return {}
    from edgecnn.runtime.measuring.setting import PYTORCH

    return {PYTORCH: "edgecnn.pipeline.measured"}
