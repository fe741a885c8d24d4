"""Grad-CAM: which places of the last feature maps raise the logit of a class.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgecnn.explaining.explanation import Attention
from edgecnn.explaining.pictures import draw


@dataclass(frozen=True)
class _Place:
    """One call of a module: its name, and how often the module was called before."""

    name: str
    call: int


def grad_cam(network: nn.Module, image: torch.Tensor, targets: Sequence[int]) -> tuple[Attention, ...]:
    """Compute Grad-CAM for classes.

    The feature maps A, [C, h, w], are the output of the last convolution with more than one pixel, or of the last
    module behind it with maps of the same size, such as its ReLU or the residual block that ends with it. The result is
    ReLU(Σ a_c A_c), where a_c is the mean over h × w of the gradient of the class's logit.

    Args:
        network: in evaluation mode; returns logits [N, K].
        image: normalised float32 [1, C, H, W].
        targets: numbers of the classes.

    Returns:
        For each class a picture [h, w]; none if the network has no convolution with more than one pixel.
    """
    place = _last_maps(network, image)
    if place is None:
        return ()
    with torch.enable_grad(), _output_of(network, place) as kept, contextlib.redirect_stdout(sys.stderr):
        logits = network(image.detach().clone().requires_grad_())[0]
        maps = kept[0]
        found = []
        for target in targets:
            (gradient,) = torch.autograd.grad(logits[target], maps, retain_graph=True)
            weights = gradient.double().mean(dim=(2, 3), keepdim=True)
            cam = torch.relu((weights * maps.detach().double()).sum(dim=1))[0].numpy()
            found.append(Attention("grad-cam", target, draw(cam, 0.0, float(cam.max()))))
    return tuple(found)


def _last_maps(network: nn.Module, image: torch.Tensor) -> _Place | None:
    """Return the call whose output is the last one with the size of the last convolution's maps."""
    calls: list[tuple[_Place, bool, tuple[int, ...]]] = []

    def record(place: _Place, module: nn.Module, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            calls.append((place, isinstance(module, nn.Conv2d), tuple(output.shape[2:])))

    with torch.inference_mode(), _watched(network, record), contextlib.redirect_stdout(sys.stderr):
        network(image)
    sizes = [size for _, is_convolution, size in calls if is_convolution]
    places = [place for place, _, size in calls if sizes and size == sizes[-1]]
    return places[-1] if places else None


@contextlib.contextmanager
def _output_of(network: nn.Module, place: _Place) -> Iterator[list[torch.Tensor]]:
    """Yield a list to which the output of a call is added when the network runs.

    The following modules get a copy, because they may change it in place.
    """
    kept: list[torch.Tensor] = []

    def keep(found: _Place, module: nn.Module, output: Any) -> Any:
        if found != place:
            return None
        kept.append(output)
        return output.clone()

    with _watched(network, keep):
        yield kept


@contextlib.contextmanager
def _watched(network: nn.Module, use: Callable[[_Place, nn.Module, Any], Any]) -> Iterator[None]:
    """Call `use` after each call of an inner module. A result that is not None replaces the module's output."""
    calls: Counter[str] = Counter()

    def hook_for(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
            calls[name] += 1
            return use(_Place(name, calls[name]), module, output)

        return hook

    handles = [module.register_forward_hook(hook_for(name)) for name, module in network.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
