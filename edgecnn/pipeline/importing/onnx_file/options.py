"""What an ONNX file does not say, or not clearly: options of the commands."""

from dataclasses import dataclass, field

from edgecnn.pipeline.importing.onnx_file.choices import ChannelOrder, Layout
from edgecnn.pipeline.importing.options import WeightsOptions


@dataclass(frozen=True)
class OnnxOptions:
    """Properties of an ONNX classifier.

    Attributes:
        weights: image size, preprocessing, labels and scores, as for weights. `mean` and `std` are in the order of the
            network's channels, as pipelines of Caffe, OpenCV and Paddle write them.
        channel_order: order of the network's channels. `bgr` is the order of OpenCV.
        layout: order of the dimensions of the input. Default: where 1, 3 or 4 channels are.
        output: the output with the classes, if the graph has several.
        widen: convert float16, bfloat16 and float64 to float32. The reference is then the converted graph.
    """

    weights: WeightsOptions = field(default_factory=WeightsOptions)
    channel_order: ChannelOrder = "rgb"
    layout: Layout | None = None
    output: str | None = None
    widen: bool = False
