"""Names of the ways to prepare an image and to read outputs.

Imports nothing heavy, because the command line shows them in its help.
"""

from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming", "opencv-bilinear", "opencv-area"]
"""Pillow's filters, with antialiasing except `nearest`, and OpenCV's `INTER_LINEAR` and `INTER_AREA`."""

Fit = Literal["longer", "letterbox"]
"""`longer` sets the longer side; `letterbox` fits the image into height and width and pads it."""

ResizeMode = Literal["shorter", "longer", "squash", "letterbox"]
"""`shorter` sets the shorter side; `squash` sets height and width, without regard to the image's shape."""

PixelRange = Literal["0-1", "0-255"]
"""Range of the pixels from which the mean is subtracted."""

ScoresKind = Literal["softmax", "sigmoid", "multi-label", "logits"]
"""How the outputs of a network from elsewhere become scores: `sigmoid` of each with one label per image, or several
labels per image; `logits` are the outputs of a network without a last softmax."""
