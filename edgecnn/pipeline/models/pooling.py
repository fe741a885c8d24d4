"""How a feature map becomes small enough for a classifier, at every image size."""

from torch import nn


def pooled_size(size: int, *, largest: int) -> int:
    """Return the largest size, at most `largest`, that divides one side of a feature map.

    Averaging over windows that divide the map is an ordinary pooling, which every engine runs; adaptive pooling to a
    size that does not divide has windows of unequal size, and cannot be exported to ONNX.
    """
    return max(pooled for pooled in range(1, largest + 1) if size % pooled == 0)


def average_pool(size: tuple[int, int], pooled: tuple[int, int]) -> nn.Module:
    """Return the pooling from a feature map of one size, [H, W], to another that divides it."""
    if pooled == size:
        return nn.Identity()
    return nn.AvgPool2d((size[0] // pooled[0], size[1] // pooled[1]))
