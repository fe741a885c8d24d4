"""Average pooling of a feature map to the input size of a classifier, for every image size."""

from torch import nn


def pooled_size(size: int, *, largest: int) -> int:
    """Return the largest size, at most `largest`, that divides one side of a feature map.

    Windows that divide the map are an ordinary average pooling, which every engine runs. Adaptive pooling to any other
    size has windows of unequal size and cannot be exported to ONNX.
    """
    return max(pooled for pooled in range(1, largest + 1) if size % pooled == 0)


def average_pool(size: tuple[int, int], pooled: tuple[int, int]) -> nn.Module:
    """Return the pooling from size [H, W] to size `pooled`, which must divide it."""
    if pooled == size:
        return nn.Identity()
    return nn.AvgPool2d((size[0] // pooled[0], size[1] // pooled[1]))
