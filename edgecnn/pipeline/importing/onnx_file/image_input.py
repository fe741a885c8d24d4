"""Find the image among the inputs of a graph: its layout, size, channels and type."""

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from edgecnn.errors import OnnxFileError, UsageError
from edgecnn.hints import few
from edgecnn.pipeline.canonical.support import OTHER_FLOATS
from edgecnn.pipeline.importing.onnx_file.choices import Layout
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.options import network_size

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ImageInput:
    """The input of a graph.

    Attributes:
        name: its name in the graph.
        is_uint8: whether it takes pixels in 0..255 as uint8; else normalised float32.
        layout: order of its dimensions.
        is_guessed: whether the shape alone determines the layout.
        batch: number of images, if it is fixed.
        height: in pixels; None if it is not fixed.
        width: in pixels; None if it is not fixed.
        channels: 1, 3 or 4.
    """

    name: str
    is_uint8: bool
    layout: Layout
    is_guessed: bool
    batch: int | None
    height: int | None
    width: int | None
    channels: int


def true_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs of a graph that are not constants. Old exporters list the weights as inputs too."""
    constants = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in constants]


def other_float(kind: int) -> str | None:
    """Return the name of an element type if it is a float type other than float32; else None."""
    return {int(each): name for each, name in OTHER_FLOATS.items()}.get(kind)


def find_input(graph: onnx.GraphProto, layout: Layout | None) -> ImageInput:
    """Find the input of a graph that takes images.

    Args:
        graph: a whole graph.
        layout: order of the dimensions; None to conclude it from the shape.

    Raises:
        OnnxFileError: the graph has several inputs, or its input is not an image.
        UsageError: the layout is ambiguous, or does not fit the shape.
    """
    inputs = true_inputs(graph)
    if len(inputs) != 1:
        names = few([repr(each.name) for each in inputs]) or "none"
        raise OnnxFileError(
            f"the graph has {len(inputs)} inputs ({names}), expected one image: export the classifier alone"
        )
    (found,) = inputs
    kind = found.type.tensor_type
    what = f"the input {found.name!r}"
    if (wide := other_float(kind.elem_type)) is not None:
        raise OnnxFileError(f"{what} is {wide}, expected float32: add --widen to convert the graph")
    sizes = sizes_of(found)
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.UINT8) or len(sizes) != 4:
        raise OnnxFileError(
            f"{what} is not an image: expected float32 or uint8 with 4 dimensions, found {type_text(found)}"
        )
    chosen = layout or _layout(found.name, sizes)
    channels, other = (sizes[1], sizes[3]) if chosen == "nchw" else (sizes[3], sizes[1])
    if channels not in _CHANNELS:
        if layout is not None and other in _CHANNELS:
            raise UsageError(
                f"--layout {layout} does not fit {what} of shape {shape_text(sizes)}: expected 1, 3 or 4 channels"
            )
        raise OnnxFileError(
            f"{what} has the shape {shape_text(sizes)}: expected images with 1, 3 or 4 channels in [N, C, H, W] or "
            f"[N, H, W, C]; export the network with a fixed number of channels"
        )
    height, width = sizes[2:] if chosen == "nchw" else sizes[1:3]
    is_guessed = not (sizes[1] in _CHANNELS and sizes[3] in _CHANNELS)
    return ImageInput(
        found.name, kind.elem_type == TensorProto.UINT8, chosen, is_guessed, sizes[0], height, width, channels
    )


def _layout(name: str, sizes: list[int | None]) -> Layout:
    first, last = sizes[1] in _CHANNELS, sizes[3] in _CHANNELS
    if first and last:
        raise UsageError(
            f"the input {name!r} of shape {shape_text(sizes)} can be [N, C, H, W] or [N, H, W, C]: "
            f"add --layout nchw or nhwc"
        )
    return "nhwc" if last else "nchw"


def size_of(image: ImageInput, options: OnnxOptions) -> tuple[int, int]:
    """Return the height and width of the images, from the graph or the options.

    Raises:
        UsageError: they are unknown, or the options do not fit the graph.
    """
    weights = options.weights
    stated = weights.image_size or weights.crop
    if image.height is not None and image.width is not None:
        size = (image.height, image.width)
        stated = stated or size
    else:
        size = network_size(weights, 0)
        stated = size
    if size == (0, 0):
        sides = " × ".join("?" if side is None else str(side) for side in (image.height, image.width))
        raise UsageError(f"the graph takes images of any size ({sides}): add --image-size N or H,W")
    for known, side in ((image.height, stated[0]), (image.width, stated[-1])):
        if known not in (None, side):
            option = "--image-size" if weights.image_size else "--crop"
            sides = " × ".join("?" if side is None else str(side) for side in (image.height, image.width))
            raise UsageError(f"the graph takes images of {sides} pixels, found {option} {stated[0]},{stated[-1]}")
    return size


def sizes_of(info: onnx.ValueInfoProto) -> list[int | None]:
    """Return the sizes of an input or output; None for a size that is not fixed. Empty if the rank is unknown."""
    return [
        size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None
        for size in info.type.tensor_type.shape.dim
    ]


def shape_text(sizes: list[int | None]) -> str:
    """Return a shape as text: `[?, 3, 224, 224]`."""
    return "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"


def type_text(info: onnx.ValueInfoProto) -> str:
    """Return the element type and the shape of an input or output as text."""
    kind = info.type.tensor_type.elem_type
    known = kind in TensorProto.DataType.values()
    name = TensorProto.DataType.Name(kind).lower() if known and kind else "an unknown type"
    return f"{'float32' if name == 'float' else name} {shape_text(sizes_of(info))}"
