"""Words of the options of ONNX files. Imports nothing, because the command line shows them in its help."""

from typing import Literal

ChannelOrder = Literal["rgb", "bgr"]
"""Order of a network's colour channels; `bgr` is that of OpenCV."""

Layout = Literal["nchw", "nhwc"]
"""Order of the dimensions of a network's input: channels before or after height and width."""
