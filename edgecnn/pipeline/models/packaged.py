"""Networks of torchvision and timm, by their names: `torchvision:NAME` and `timm:NAME`.

Installed packages define the names, so a checkpoint or a manifest may have them. Nothing is downloaded.
"""

import hashlib
import inspect
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import EdgecnnError, MissingExtra, UsageError
from edgecnn.hints import did_you_mean, few, install_command
from edgecnn.pipeline.models.registry import Architecture
from edgecnn.pipeline.models.words import PACKAGES

if TYPE_CHECKING:
    from torch import nn

    from edgecnn.bundle.manifest import Network

_AUX = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Heads of torchvision's networks that are used in training only."""

_HUB = ("hf-hub:", "hf_hub:", "local-dir:", "local_dir:")


def names(package: str) -> list[str]:
    """Return the names of the classifiers of torchvision or timm; none if the package is not installed."""
    try:
        if package == "torchvision":
            import torchvision

            return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]
        import timm

        return list(timm.list_models())
    except ImportError:
        return []


def packaged(name: str) -> Architecture:
    """Return the architecture `torchvision:NAME` or `timm:NAME`.

    Raises:
        UsageError: the name is unknown, or is a factory, which only the command line may name.
        MissingExtra: timm is not installed.
    """
    package, _, network = name.partition(":")
    if package not in PACKAGES:
        raise UsageError(
            f"{name} built this network, and a file must not make edgecnn run code: name the code yourself, as in "
            f"`edgecnn export {name} --weights CHECKPOINT`, or --arch {name}"
        )
    return _torchvision(network) if package == "torchvision" else _timm(network)


def _torchvision(name: str) -> Architecture:
    from torchvision.models import get_model_builder, get_model_weights

    _check_known("torchvision", name)
    builder: Any = get_model_builder(name)
    entries: Any = get_model_weights(name)
    (side,) = next(iter(entries)).transforms().crop_size
    return Architecture(
        f"torchvision:{name}",
        partial(_build, partial(_torchvision_module, builder, name)),
        side,
        min_image_size=1,
        optional_keys=_AUX.get(name, ()),
        kind="module",
        source_digest=_digest(builder, "torchvision"),
    )


def _torchvision_module(builder: Any, name: str, network: "Network") -> "nn.Module":
    from edgecnn.pipeline.models.outputs import with_channels

    height, width = network.image_size
    arguments: dict[str, Any] = {"num_classes": network.num_classes}
    if name in _AUX:
        arguments |= {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        if height != width:
            raise UsageError(f"torchvision:{name} takes square images, found --image-size {height},{width}")
        arguments["image_size"] = height
    if name.startswith("maxvit"):
        arguments["input_size"] = (height, width)
    module: nn.Module = builder(weights=None, **arguments)
    return with_channels(module, network.in_channels)


def _timm(name: str) -> Architecture:
    try:
        import timm
        from timm.data.config import resolve_data_config
        from timm.models import get_pretrained_cfg
    except ImportError:
        raise MissingExtra(f"timm:{name} needs timm: {install_command('timm')}") from None
    if name.startswith(_HUB) or "/" in name:
        raise UsageError(
            f"timm:{name} is a name of the Hugging Face hub, and edgecnn downloads nothing from it: download the "
            f"weights, and pass timm:NAME --weights FILE"
        )
    base, _, tag = name.partition(".")
    _check_known("timm", base)
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError:
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
        raise UsageError(f"timm:{base} has no weights {tag!r}: choose {few(tags, 8) or 'no tag'}") from None
    described: dict[str, Any] = {"input_size": (3, 224, 224)} if config is None else asdict(config)
    resolve: Any = resolve_data_config  # without types
    stated: dict[str, Any] = resolve({}, pretrained_cfg=described)
    return Architecture(
        f"timm:{name}",
        partial(_build, partial(_timm_module, name, tuple(stated["input_size"][1:]))),
        min(stated["input_size"][1:]),
        min_image_size=1,
        num_classes=described.get("num_classes") or 1000,
        kind="module",
        source_digest=_digest(timm.model_entrypoint(base), "timm"),
        stated=partial(_stated_by_timm, stated),
    )


def _timm_module(name: str, usual: tuple[int, int], network: "Network") -> "nn.Module":
    import timm

    arguments: dict[str, Any] = {"num_classes": network.num_classes, "in_chans": network.in_channels}
    make: Callable[..., nn.Module] = partial(timm.create_model, name, pretrained=False)
    if network.image_size == usual:
        return make(**arguments)
    try:
        return make(**arguments, img_size=network.image_size)  # transformers have position embeddings of one size
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    return make(**arguments)


def _stated_by_timm(config: dict[str, Any], size: tuple[int, int]) -> Preprocessing:
    """Return timm's preprocessing for evaluation, as `timm.data.create_transform` makes it from a data config."""
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in size)
    kind = config["interpolation"]
    if config["crop_mode"] == "border":
        resize = Resize(size, kind, "letterbox", tuple(round(255 * mean) for mean in config["mean"]))
    elif config["crop_mode"] == "squash":
        resize = Resize(scaled, kind)
    else:
        resize = Resize((max(scaled),), kind)
    return Preprocessing("RGB", resize, size, tuple(config["mean"]), tuple(config["std"]))


def _check_known(package: str, name: str) -> None:
    known = names(package)
    if name not in known:
        raise UsageError(
            f"{package} has no classifier {name!r}{did_you_mean(name, known)}: "
            f"expected one of {len(known)} names such as {package}:{known[0]}"
        )


def _build(make: "Callable[[Network], nn.Module]", network: "Network") -> "nn.Module":
    """Build a network on the current device of PyTorch. Some can be built on the CPU only, and are moved."""
    import torch

    from edgecnn.pipeline.models.outputs import take_logits

    device = torch.get_default_device()
    try:
        module = _made(make, network)
    except UsageError:
        raise
    except Exception:
        if device.type == "cpu":
            raise
        with torch.device("cpu"):
            module = _made(make, network).to(device)
    return take_logits(module, network.architecture)


def _made(make: "Callable[[Network], nn.Module]", network: "Network") -> "nn.Module":
    import torch

    try:
        return make(network)
    except (UsageError, NotImplementedError):
        raise
    except Exception as error:  # the packages check sizes with assertions and several exceptions
        if torch.get_default_device().type != "cpu":
            raise
        size = " × ".join(map(str, network.image_size))
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise EdgecnnError(f"{network.architecture} cannot be built for images of {size} pixels: {text}") from None


def _digest(builder: Any, package: str) -> str:
    """Return the SHA-256 of the version of a package and the file that defines a builder."""
    from importlib.metadata import version

    source = inspect.getsourcefile(inspect.unwrap(builder))
    content = b"" if source is None else Path(source).read_bytes()
    return hashlib.sha256(f"{package} {version(package)}\n".encode() + content).hexdigest()
