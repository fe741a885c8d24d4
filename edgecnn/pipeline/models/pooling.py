"""How a feature map becomes small enough for a classifier, at every image size."""


def pooled_size(size: int, *, largest: int) -> int:
    """Return the largest size, at most `largest`, that divides a feature map of `size` × `size`.

    Averaging over windows that divide the map is an ordinary pooling, which every engine runs; adaptive pooling to a
    size that does not divide has windows of unequal size, and cannot be exported to ONNX.
    """
    return max(pooled for pooled in range(1, largest + 1) if size % pooled == 0)
