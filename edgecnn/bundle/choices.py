"""Names of the ways to resize an image. Imports nothing heavy, because the command line shows them in its help."""

from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming", "opencv-bilinear", "opencv-area"]
"""Pillow's filters, with antialiasing except `nearest`, and OpenCV's `INTER_LINEAR` and `INTER_AREA`."""

Fit = Literal["longer", "letterbox"]
"""`longer` sets the longer side; `letterbox` fits the image into height and width and pads it."""

ResizeMode = Literal["shorter", "longer", "squash", "letterbox"]
"""`shorter` sets the shorter side; `squash` sets height and width, without regard to the image's shape."""
